// Package stream is what both ends of a WebRTC connection share: the table of
// codecs that we negotiate, what turns the packets of a stream into frames with
// its losses repaired, and the bridge from pion's logger to ours.
//
// The edge uses it for publishers, the WHEP client for what it plays.
package stream
