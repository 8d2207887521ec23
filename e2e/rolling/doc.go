// Package rolling holds what is shown with real node processes and real viewers:
// six nodes are restarted one after the other, and a second signal ends a node at
// once. Its tests want the build tag e2e, and the binary that `make e2e-rolling`
// builds and names in TRELLIS.
package rolling
