// Package framing turns RTP packets into objects and objects into RTP payloads,
// for Opus, VP8, VP9, H.264 and AV1. It is the only package that knows both, and
// it is pure: no I/O, no timers, no goroutines; time is an argument.
//
// On the way in, packets pass through:
//
//	Reorder       puts them in order and says how many were given up
//	Losses        remembers which are missing, and when to ask for them again
//	Depacketizer  turns them into frame events, chunk by chunk
//	Clock         maps RTP timestamps of audio and video to one timeline
//
// On the way out, a Packetizer splits a whole frame into payloads of equal size,
// once for all viewers.
//
// The bytes of a frame are those of the hang "legacy" container after its
// timestamp: H.264 an Annex B access unit with its parameter sets before each key
// picture; VP8 a frame; VP9 a frame or superframe; AV1 a temporal unit with a
// temporal delimiter, size fields, and a sequence header in each key unit; Opus a
// packet.
//
// Describe reads the WebCodecs codec string and the picture size from such bytes.
//
// No type here is safe for concurrent use: each belongs to one track's goroutine,
// except Clock, which belongs to one publisher's.
package framing
