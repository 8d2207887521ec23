// Package transport ends the ICE, DTLS and SRTP of one client, below a peer
// connection, so that media can be sealed straight into a send buffer, and opened
// where it is read.
//
//	Demux   the node's UDP socket: whose is what comes, and may it
//	Port    one per node: the Demux, both multiplexers, the certificate
//	Conn    one client: an ice.Agent (lite), a DTLS association, its SRTP keys
//	Batch   the send buffer of one egress lane: packets of one viewer at a time
//
// A packet is written once: Batch.Packet puts header and sealed payload behind
// one another into the buffer, and Batch.Flush hands the kernel all of them in
// one call with UDP_SEGMENT, so that the stack is walked once for up to 64
// packets. Where the kernel or the device cannot do that, the batch falls back
// to one call per packet by itself, for good, and says so.
//
// A packet that comes is opened in place, in the buffer that it was read into, and
// given to the Conn's Handler. pion does everything that is not per packet:
// connectivity checks and handshake.
//
// # Goroutines
//
// A Conn has one for the life of the association, and one that reads where the client
// came by TCP, besides those of pion's agent and DTLS. What comes over UDP comes on the
// multiplexer's, through Demux. A Batch has none and belongs to its lane.
package transport
