package fanout

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// Load is what is published.
type Load struct {
	// Bitrate of the video in bit/s.
	Bitrate int `json:"bitrate_bps"`
	// Paced spreads the packets evenly: each is a frame of its own.
	Paced bool `json:"paced"`
	// GRO lets the kernel hand datagrams to viewers in batches, as it does to
	// browsers; Linux only. The sender is then charged for less of the way.
	GRO bool `json:"gro"`
	// Light viewers take media off their sockets themselves, for audiences that the
	// load would not manage otherwise. A packet that finds its reader asleep has the
	// sender wake it, and these sleep again at once: where they do not take datagrams
	// in batches, each costs the server a wake-up that browsers, who are slower,
	// would not.
	Light bool `json:"light,omitempty"`
	// Kind says what the viewers are: WebRTC, MoQ or Mixed.
	Kind Kind `json:"kind"`
	// Arrivals: viewers of ours over WebRTC report when each packet has arrived, ten
	// times a second, as browsers do.
	Arrivals bool `json:"arrivals,omitempty"`
	// Silent viewers over QUIC take the picture alone.
	Silent bool `json:"silent,omitempty"`

	// For the processes of the load: the one that publishes, and where viewers over
	// WebTransport go.
	Publishes bool   `json:"publishes,omitempty"`
	MoQ       string `json:"moq,omitempty"`
}

// Kind is what viewers are.
type Kind string

// The kinds.
const (
	WebRTC Kind = "webrtc"
	MoQ    Kind = "moq"   // WebTransport
	Mixed  Kind = "mixed" // every other one
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{WebRTC, MoQ, Mixed} }

// arg is the last argument of LoadCommand and ServerCommand.
func (l Load) arg() string {
	b, err := json.Marshal(l)
	if err != nil {
		panic(err) // there is nothing in it that has no JSON
	}
	return string(b)
}

// ParseLoad reads the last argument of LoadCommand and ServerCommand.
func ParseLoad(arg string) (l Load, err error) {
	if err := json.Unmarshal([]byte(arg), &l); err != nil {
		return l, fmt.Errorf("load %q: %w", arg, err)
	}
	return l, nil
}

const (
	frameRate = 30
	// pacedBytes is a frame that fits into one packet everywhere.
	pacedBytes = 1100
	gop        = 2 * time.Second
	audioEvery = 20 * time.Millisecond
	audioBytes = 120
)

// video returns the time between frames and their size.
func (l Load) video() (every time.Duration, size int) {
	if l.Paced {
		return time.Duration(pacedBytes) * 8 * time.Second / time.Duration(l.Bitrate), pacedBytes
	}
	return time.Second / frameRate, l.Bitrate / 8 / frameRate
}

// mark precedes the time at which a frame was due, in its first bytes.
var mark = []byte("\x9ddue\xc1\x5a\x07\xe3")

const stampBytes = 16

// videoFrame builds a VP8 frame that no decoder would enjoy, but whose header is
// right (RFC 6386, Section 9.1).
func videoFrame(buf []byte, key bool, height int, due time.Time, size int) []byte {
	if key {
		buf = append(buf[:0], 0x10, 0, 0, 0x9d, 0x01, 0x2a)
		buf = binary.LittleEndian.AppendUint16(buf, uint16(height*16/9))
		buf = binary.LittleEndian.AppendUint16(buf, uint16(height))
	} else {
		buf = append(buf[:0], 0x11, 0, 0)
	}
	buf = stamp(buf, due)
	for len(buf) < size {
		buf = append(buf, byte(len(buf)))
	}
	return buf
}

// audioFrame builds an Opus packet (RFC 6716, Section 3.1).
func audioFrame(buf []byte, due time.Time) []byte {
	buf = stamp(append(buf[:0], 0xfc), due)
	for len(buf) < audioBytes {
		buf = append(buf, byte(len(buf)))
	}
	return buf
}

func stamp(b []byte, due time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(b, mark...), uint64(due.UnixMicro()))
}

// dueOf finds the time at which a frame was due in the payload of its first packet.
func dueOf(payload []byte) (time.Time, bool) {
	i := bytes.Index(payload[:min(len(payload), 64)], mark)
	if i < 0 || len(payload) < i+stampBytes {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(payload[i+len(mark):]))), true
}
