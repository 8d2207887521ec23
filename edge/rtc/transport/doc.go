// Package transport ends the ICE, DTLS and SRTP of one viewer, below a peer
// connection, so that media can be sealed straight into a send buffer.
//
//	Port    one per node: the UDP socket, both multiplexers, the certificate
//	Conn    one viewer: an ice.Agent (lite), a DTLS association, its SRTP keys
//	Stream  one SSRC towards a viewer: sequence numbers, roll-over counter, cipher
//	Batch   the send buffer of one egress lane: packets of one viewer at a time
//
// A packet is written once: Batch.Packet puts header and sealed payload behind
// one another into the buffer, and Batch.Flush hands the kernel all of them in
// one call with UDP_SEGMENT, so that the stack is walked once for up to 64
// packets. Where the kernel or the device cannot do that, the batch falls back
// to one call per packet by itself, for good, and says so.
//
// pion does everything that is not per packet: connectivity checks, handshake,
// RTCP in both directions.
//
// # Goroutines
//
// A Conn has two, besides those of pion's agent and DTLS: one that reads from
// the agent and tells DTLS from RTCP (RFC 7983), and one for the life of the
// association. A Batch has none and belongs to its lane.
package transport
