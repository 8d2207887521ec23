package moqlite

// StreamType is the first varint of a bidirectional stream: what transaction
// the stream is.
type StreamType uint64

// Types of bidirectional streams.
const (
	StreamAnnounce  StreamType = 0x1
	StreamSubscribe StreamType = 0x2
	StreamFetch     StreamType = 0x3
	StreamProbe     StreamType = 0x4
	StreamGoaway    StreamType = 0x5 // 04 and 05
	StreamTrack     StreamType = 0x6 // 05
)

// String returns the word used in logs and metrics.
func (t StreamType) String() string {
	switch t {
	case StreamAnnounce:
		return "announce"
	case StreamSubscribe:
		return "subscribe"
	case StreamFetch:
		return "fetch"
	case StreamProbe:
		return "probe"
	case StreamGoaway:
		return "goaway"
	case StreamTrack:
		return "track"
	default:
		return "unknown"
	}
}

// UniStreamType is the first varint of a unidirectional stream.
type UniStreamType uint64

// Types of unidirectional streams.
const (
	UniStreamGroup UniStreamType = 0x0
	UniStreamSetup UniStreamType = 0x1 // 05
)

// String returns the word used in logs and metrics.
func (t UniStreamType) String() string {
	switch t {
	case UniStreamGroup:
		return "group"
	case UniStreamSetup:
		return "setup"
	default:
		return "unknown"
	}
}
