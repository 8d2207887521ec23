// Package world builds worlds: nodes in the regions of a measured latency matrix,
// a session with many viewers, faults by script, an oracle that looks at every
// object, and a report. What runs are real nodes (package sim) in virtual time;
// every figure from here is simulated.
package world
