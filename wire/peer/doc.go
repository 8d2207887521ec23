// Package peer holds the bytes of trellis/1, the protocol between two nodes:
// control messages, group streams and probe datagrams, as drawn in docs/wire.md.
//
// It is pure: no I/O, no clock, no goroutines. Every message is a struct with
// Append, and a ParseX that checks each length before it is used. Bytes behind
// the known fields of a control message are ignored: they belong to a later
// revision of the protocol.
package peer

// ALPN is the protocol's name in the TLS handshake.
const ALPN = "trellis/1"

// Revision is the highest revision of the protocol that this package knows.
const Revision = 1
