// Package rtc is the WebRTC edge: it ends the connections of publishers and viewers,
// and joins them to the relay.
//
//	Edge      one per node: the UDP and the TCP port, all sessions, all lanes
//	Session   one client's connection, publishing (Edge.Publish) or viewing (Edge.Play)
//	reception what a publisher sends, packet by packet, and is told of it
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
// Edge.Run owns the accept side and waits for all sessions. What clients send is read
// by one goroutine for the port, or one for each TCP connection (edge/rtc/transport): it
// takes a publisher's packets into the relay, under the lock of its reception, and what
// viewers ask to their lanes. A publisher has one more, for what its layers are
// wanted for, and a lane has one that owns its log and its viewers.
//
// Locks are taken in this order: a Conn's inbox, the reception, the ingest, its tracks,
// the relay's.
package rtc
