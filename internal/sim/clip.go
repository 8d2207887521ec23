package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"trellis/wire/hang"
)

// Clip describes synthetic media: a VP8 video and an Opus sound that no decoder
// would enjoy, but whose headers are right. Every frame says which one it is and
// can be checked to the last byte, so a viewer knows what it missed, and how old
// a frame is by when it was due. A zero field means its default.
type Clip struct {
	// FrameRate is how many pictures there are in a second. Default 30.
	FrameRate int
	// GOP is how many pictures make a group, the first of which is a key frame.
	// Default 60.
	GOP int
	// KeyBytes and DeltaBytes are the sizes of pictures. Defaults 30,000 and
	// 8,000: 2 Mbit/s.
	KeyBytes, DeltaBytes int
	// SizeOf, if set, is the size of picture i, instead of the two above.
	SizeOf func(i int) int
	// AudioBytes is the size of a sound packet of 20 ms. Default 120, 48 kbit/s.
	AudioBytes int
	// AudioGroup is how many of them make a group, where we decide (over MoQ).
	// Default 1, as browsers publish.
	AudioGroup int
	// Take tells apart clips of the same shape.
	Take byte
	// NoVideo and NoAudio leave out one kind.
	NoVideo, NoAudio bool
}

// WithDefaults fills in what was left out; the other methods need that.
func (c Clip) WithDefaults() Clip {
	for _, f := range []struct {
		v   *int
		def int
	}{
		{&c.FrameRate, 30},
		{&c.GOP, 60},
		{&c.KeyBytes, 30_000},
		{&c.DeltaBytes, 8_000},
		{&c.AudioBytes, 120},
		{&c.AudioGroup, 1},
	} {
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	return c
}

// Media is the kind of a clip's track.
type Media uint8

// The two kinds.
const (
	Video Media = iota
	Audio
	mediaKinds
)

// String returns the word for messages.
func (m Media) String() string {
	if m == Audio {
		return "audio"
	}
	return "video"
}

// Track names of a clip where the publisher chooses them: over MoQ.
const (
	VideoTrack = "video/vp8"
	AudioTrack = "audio/opus"
)

const audioRate = 50 // packets per second

// At is when frame i is due, from the beginning of the clip.
func (c Clip) At(m Media, i int) time.Duration {
	rate := c.FrameRate
	if m == Audio {
		rate = audioRate
	}
	return time.Duration(i) * time.Second / time.Duration(rate)
}

func (c Clip) has(m Media) bool { return m == Video && !c.NoVideo || m == Audio && !c.NoAudio }

// IsKey reports whether decoding can begin at frame i.
func (c Clip) IsKey(m Media, i int) bool { return m == Audio || i%c.GOP == 0 }

// GroupSize is how many frames make a group over MoQ.
func (c Clip) GroupSize(m Media) int {
	if m == Audio {
		return c.AudioGroup
	}
	return c.GOP
}

func (c Clip) size(m Media, i int) int {
	switch {
	case m == Audio:
		return c.AudioBytes
	case c.SizeOf != nil:
		return c.SizeOf(i)
	case c.IsKey(m, i):
		return c.KeyBytes
	}
	return c.DeltaBytes
}

const (
	clipWidth, clipHeight = 640, 360
	// A VP8 key frame's header is 10 bytes long, the frame's number 4.
	minFrameBytes = 14
)

// Frame returns the bytes of frame i: a codec's header, the number, and a
// pattern that depends on it.
func (c Clip) Frame(m Media, i int) []byte {
	b := make([]byte, 0, max(c.size(m, i), minFrameBytes))
	switch {
	case m == Audio:
		b = append(b, 0xfc) // RFC 6716, Section 3.1: CELT, full band, 20 ms, stereo, one frame
	case c.IsKey(m, i):
		// RFC 6386, Section 9.1: a key frame that is shown, then start code and size.
		b = append(b, 0x10, 0, 0, 0x9d, 0x01, 0x2a)
		b = binary.LittleEndian.AppendUint16(b, clipWidth)
		b = binary.LittleEndian.AppendUint16(b, clipHeight)
	default:
		b = append(b, 0x11, 0, 0)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(i))
	fill := b[len(b):cap(b)]
	for j := range fill {
		fill[j] = byte(j*7+i*31) ^ c.Take
	}
	return b[:cap(b)]
}

var errDamaged = errors.New("frame differs from what was published")

// identify returns the number of a frame that was received, having compared all
// of it with what was published.
func (c Clip) identify(m Media, b []byte) (int, error) {
	header := 1
	if m == Video {
		if len(b) == 0 {
			return 0, errDamaged
		}
		header = 3
		if b[0]&1 == 0 {
			header = 10
		}
	}
	if len(b) < header+4 {
		return 0, errDamaged
	}
	number := binary.BigEndian.Uint32(b[header:])
	if number > math.MaxInt32 || !bytes.Equal(b, c.Frame(m, int(number))) {
		return 0, fmt.Errorf("%v of %d bytes: %w", m, len(b), errDamaged)
	}
	return int(number), nil
}

// Catalog describes the clip's tracks.
func (c Clip) Catalog() hang.Catalog {
	var catalog hang.Catalog
	if c.has(Video) {
		catalog.Video = &hang.Video{Renditions: map[string]hang.VideoConfig{VideoTrack: {
			Codec: "vp8", CodedWidth: clipWidth, CodedHeight: clipHeight, Framerate: float64(c.FrameRate),
		}}}
	}
	if c.has(Audio) {
		catalog.Audio = &hang.Audio{Renditions: map[string]hang.AudioConfig{AudioTrack: {
			Codec: "opus", SampleRate: 48_000, NumberOfChannels: 2,
		}}}
	}
	return catalog
}

// Play calls write for each frame when it is due, in one goroutine, until stop
// is closed or write fails. Where sound and picture are due together, sound goes
// first: it is small.
func (c Clip) Play(start time.Time, stop <-chan struct{}, write func(Media, int) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var next [mediaKinds]int
	for {
		m := Audio
		if !c.has(Audio) || c.has(Video) && c.At(Video, next[Video]) < c.At(Audio, next[Audio]) {
			m = Video
		}
		timer.Reset(time.Until(start.Add(c.At(m, next[m]))))
		select {
		case <-timer.C:
		case <-stop:
			return nil
		}
		if err := write(m, next[m]); err != nil {
			return fmt.Errorf("%v %d: %w", m, next[m], err)
		}
		next[m]++
	}
}
