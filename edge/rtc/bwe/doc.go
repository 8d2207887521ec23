// Package bwe estimates what the path to one WebRTC viewer carries, from what was
// sent and the viewer's transport-wide feedback.
//
//	Log         what was sent: numbers packets, shared by the lanes that send
//	Reader      feedback messages to results, by the Log
//	Controller  results to an estimate, and to probes that are to be sent
//
// It is pure: time is an argument, and the packets of a probe are the caller's to
// send.
package bwe
