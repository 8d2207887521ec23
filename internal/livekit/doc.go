// Package livekit runs livekit-server as a peer of comparisons, and speaks as much
// of its signalling as a viewer needs.
//
//	Find     where the server and its browser SDK are installed
//	Server   a process of it, on loopback, as like our node as its settings allow
//	Grant    who somebody is and what they may do, signed with the server's key
//	Signal   a viewer's WebSocket, over which the server offers its tracks
//
// Media is none of its business. `make livekit-server` installs both programs.
package livekit
