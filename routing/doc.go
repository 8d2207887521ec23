// Package routing decides which way each track goes: from a snapshot of the
// graph, the demand and the running plan it makes a plan, a tree per track with
// a standby tree beside it. It is pure: no network, no clock that it was not
// given, no randomness that it was not given.
//
// The objective is lexicographic ([Score]): first as many viewers in bound as
// the graph allows, then as many served, then as little lateness, then as
// little money, then as little delay.
//
// How a plan is made, and where to read:
//
//   - [Graph] is the immutable snapshot: nodes, and directed arcs in explicit or
//     in compact (site matrix) form.
//   - A problem (problem.go) is what one track sees of it: its terminals, a few
//     representatives of each class of interchangeable relays, and for each node
//     how many children it may still have.
//   - Small problems are solved to proven optimality (exact.go). Others are
//     constructed (construct.go), improved by local search (improve.go) and by
//     ruin and recreate (lns.go), all by one primitive: the cheapest path that
//     attaches a subtree within its bound (attach.go).
//   - Bounds (bound.go, layered.go) say how good the result is, and steer.
//   - [Plan] holds the trees of all tracks, whose shared capacities multi.go keeps.
//   - [Live] holds a running tree: join, leave, loss, with no garbage.
//
// Sub-packages: scenario reads and writes the files, check validates a plan by
// independent means, draw makes pictures of it.
//
// Nothing in this package is safe for concurrent use unless it says so; a Graph
// is immutable, and may be shared.
package routing
