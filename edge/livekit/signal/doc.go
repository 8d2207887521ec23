// Package signal has the messages of LiveKit's signalling that a node needs for
// viewers: protocol buffers of the public protocol's package "livekit" (proto3), with
// the numbers that its fields have there. What is not needed is not read, and a
// message or field that is not known here is passed over, as the protocol wants it.
//
//	WrappedJoinRequest, JoinRequest   in the URL of the WebSocket, packed
//	Request                           what a client says (livekit.SignalRequest)
//	Response                          what a node says (livekit.SignalResponse)
//
// Of each message one field is set, named by Kind. Parsing never panics, and bounds
// what it unpacks.
package signal
