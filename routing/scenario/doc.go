// Package scenario reads and writes the planner's files: a scenario is a
// [routing.Demand] with a name, a plan names the trees by node ids. Reading is
// strict: whatever is wrong is reported with its line and its field. Fields
// that the format does not know are ignored.
package scenario
