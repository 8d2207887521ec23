// Package rtc is the WebRTC edge: it ends the peer connections of publishers and
// viewers, and joins them to the relay.
//
//	Edge      one per node: the UDP and the TCP port, all sessions, all lanes
//	Session   one client's peer connection, publishing (Edge.Publish) or viewing (Edge.Play)
//	ingest    what a publishing session feeds: a relay.Broadcast with its catalog
//	lane      one track on its way to all viewers of the node: packetized once,
//	          written to each viewer with its own SSRC, sequence and timestamps
//
// RTP exists only here. A publisher's packets become objects in a relay.Track
// (edge/framing does the translation); a lane reads objects and makes packets.
// Losses are repaired here on both sides and never across the backbone: the
// ingest asks its publisher again, the lane answers its viewers from the packets
// that it keeps.
//
// # Goroutines
//
// Edge.Run owns the accept side and waits for all sessions. Each session has a
// goroutine for its life and deadline, besides those of pion. An ingested track
// has one that reads packets and owns everything about them. A lane has one that
// owns its log and its viewers; a viewer has one per track that reads its RTCP
// and passes on what the lane must know.
package rtc
