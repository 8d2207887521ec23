// Package moqlite holds the bytes of moq-lite 03, 04 and 05, the protocol that
// browsers speak over WebTransport. It is pure: no streams are opened, no clock
// is read, nothing is logged. Only [Reader] touches I/O, through the io.Reader
// that it is given.
//
// A bidirectional stream is one transaction. It begins with a [StreamType] and
// carries messages, each behind its length:
//
//	stream   = type varint, message...
//	message  = length varint, body
//	0x1 Announce   -> ANNOUNCE_REQUEST    <- [05: ANNOUNCE_OK], ANNOUNCE...
//	0x2 Subscribe  -> SUBSCRIBE, SUBSCRIBE_UPDATE...
//	               <- (response type varint, message)...
//	0x3 Fetch      -> FETCH               <- frames
//	0x4 Probe      -> [PROBE]...          <- PROBE...
//	0x5 Goaway     -> GOAWAY                            (04, 05)
//	0x6 Track      -> TRACK               <- TRACK_INFO (05)
//
// A unidirectional stream is a group, or on 05 each side's single SETUP:
//
//	0x0 Group      GROUP, then frames until the end of the stream
//	0x1 Setup      SETUP
//	frame        = [05: delta varint (zigzag)], size varint, payload
//
// Every message type has Append, which writes its body, and a ParseX, which
// wants the body exactly: a byte too few or too many is a [ProtocolError].
// Both take the [Version], because layouts differ between versions; what does
// not exist in a version is not sent in it, which is the caller's to observe.
// [AppendMessage] puts the length in front.
package moqlite
