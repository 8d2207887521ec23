// Package wire says what crosses the network: names of broadcasts and tracks,
// what a track is like, and the codes with which one side tells the other why
// something ended. It is pure: no I/O, no clock, no goroutines.
//
// Its children hold the bytes: wire/peer the backbone protocol trellis/1,
// wire/moqlite the browsers' protocol, wire/hang the catalog and its containers.
package wire
