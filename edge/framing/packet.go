package framing

import "time"

// Packet is an RTP packet as far as framing needs it.
type Packet struct {
	Seq       uint16
	Timestamp uint32
	Marker    bool
	// Arrival is when the packet was received.
	Arrival time.Time
	// Lost is how many packets right before this one were given up. Reorder sets it.
	Lost int
	// Payload is the RTP payload without padding; empty for a packet that is only padding.
	Payload []byte
	// Dependency is the dependency descriptor, empty without.
	Dependency []byte
}

// EventKind says what an Event means.
type EventKind uint8

// What happens to frames. Between FrameBegin and FrameEnd or FrameBroken come
// FrameData events only.
const (
	// FrameBegin opens a frame: Key, Timestamp and Arrival are set.
	FrameBegin EventKind = iota + 1
	// FrameData carries the next bytes of the open frame.
	FrameData
	// FrameEnd closes the open frame: all its bytes were delivered.
	FrameEnd
	// FrameBroken closes the open frame: the rest of it is lost.
	FrameBroken
	// FramesLost says that one or more frames of which nothing was delivered are
	// missing here. Video after it cannot be decoded rightly until a key frame.
	FramesLost
)

// String returns the word used in logs and tests.
func (k EventKind) String() string {
	switch k {
	case FrameBegin:
		return "begin"
	case FrameData:
		return "data"
	case FrameEnd:
		return "end"
	case FrameBroken:
		return "broken"
	case FramesLost:
		return "lost"
	default:
		return "unknown"
	}
}

// Event is one step in the life of the frames of a track.
type Event struct {
	Kind EventKind
	// Key marks a frame from which decoding can begin. Every Opus frame is one.
	Key bool
	// Timestamp is the RTP timestamp of the frame.
	Timestamp uint32
	// Arrival is when the first packet of the frame was received.
	Arrival time.Time
	// Layer is that of the frame: set with FrameBegin, if DepacketizerConfig.Layers is.
	Layer Layer
	// Data aliases the packet's payload or memory of the depacketizer: it is valid
	// until the next Push, and the caller must not change it.
	Data []byte
}

// Depacketizer turns the packets of one RTP stream into frames. Bytes are handed
// on with the packet that brought them, where the codec allows it; AV1 needs each
// OBU whole, because its size comes first.
type Depacketizer interface {
	// Push takes the next packet in order (p.Lost tells of gaps) and appends what
	// follows from it to out. It never fails: what cannot be parsed is a lost frame.
	Push(p Packet, out []Event) []Event
}

// DepacketizerConfig has the settings of a Depacketizer.
type DepacketizerConfig struct {
	// MaxFrameBytes is the size at which a frame is given up. Zero means 4 MiB.
	MaxFrameBytes int
	// ParameterSets are H.264 SPS and PPS NAL units that came out of band
	// (sprop-parameter-sets, RFC 6184, Section 8.1).
	ParameterSets [][]byte
	// Layers makes a frame of each layer's part of a picture, where a VP9 or AV1 stream
	// has layers. An AV1 frame has no temporal delimiter then. Otherwise the layers of a
	// picture are one frame.
	Layers bool
}

const (
	defaultMaxFrameBytes = 4 << 20
	// maxHeldBytes bounds what is held back until the kind of frame is known:
	// parameter sets, delimiters and messages, not pictures.
	maxHeldBytes = 64 << 10
)

// NewDepacketizer returns a Depacketizer for c.
func NewDepacketizer(c Codec, cfg DepacketizerConfig) (Depacketizer, error) {
	if cfg.MaxFrameBytes == 0 {
		cfg.MaxFrameBytes = defaultMaxFrameBytes
	}
	f := frames{max: cfg.MaxFrameBytes}
	switch c {
	case Opus:
		return &opusDepacketizer{}, nil
	case VP8:
		return &vp8Depacketizer{frames: f}, nil
	case VP9:
		return &vp9Depacketizer{frames: f, apart: cfg.Layers}, nil
	case H264:
		return newH264Depacketizer(f, cfg.ParameterSets), nil
	case AV1:
		return &av1Depacketizer{frames: f, apart: cfg.Layers}, nil
	default:
		return nil, codecError(c)
	}
}
