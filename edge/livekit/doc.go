// Package livekit is the door for clients of LiveKit's SDKs: its signalling in front
// of edge/rtc. Unmodified clients join a room and receive what is published there.
//
//	GET /rtc/v1            WebSocket: a session with one peer connection
//	GET /rtc/v1/validate   the same checks, and no session
//	GET /rtc, /rtc/validate  404: a connection for each direction is not spoken here
//	GET /                  200, by which SDKs warm up
//
// A room is a prefix of broadcasts: in the room "demo" the broadcast "demo/alice" is
// the participant "alice", with a track for its picture and one for its sound. The
// broadcast that has the room's own name is a participant of that name. Rooms need not
// be made; one without a broadcast is empty. Those who watch do not see one another.
//
//	Handler      HTTP, tokens, limits: who may join. Run ends it
//	room         what is published below a prefix, for all sessions of the node there
//	session      one client's WebSocket, from join to leave
//	signal/      the messages
//
// Clients only receive: what they would publish is refused in the protocol's own
// words, their data channels open and say that they take nothing (edge/rtc/channels),
// and a session that has lost its WebSocket begins anew.
//
// # Goroutines
//
// A room has one that follows announcements, and one for the catalog of each
// broadcast. A session runs on its request's, which owns all of its state; one reads
// the WebSocket for it, another writes.
package livekit
