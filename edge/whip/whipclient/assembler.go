package whipclient

import (
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
)

// keyframePause is the least time between two requests for a key frame.
const keyframePause = 500 * time.Millisecond

// assembler makes whole frames of the events of one track, and like a decoder
// takes only those that can be decoded.
type assembler struct {
	player *Player
	codec  framing.Codec
	kind   int
	frame  Received
	skip   bool // the open frame cannot be decoded
	wait   bool // for a key frame
	gap    bool // frames were lost since the last whole one
	asked  time.Time
}

var _ stream.Sink = (*assembler)(nil)

// Begin implements stream.Sink.
func (a *assembler) Begin(f stream.FrameInfo) {
	a.skip = a.wait && !f.Key
	if a.skip {
		a.player.skipped[a.kind].Add(1)
		a.ask()
		return
	}
	a.wait = false
	a.frame = Received{
		Codec: a.codec, PTS: time.Duration(f.PTS) * time.Microsecond, Key: f.Key,
		FirstArrival: f.Arrival, Gap: a.gap,
	}
	if c := f.Capture; c.Extended {
		a.frame.Captured = c.At
		a.frame.Age, a.frame.Aged = c.Now.Sub(c.At), c.Offset && !c.Now.IsZero()
	}
	a.gap = false
}

// Data implements stream.Sink.
func (a *assembler) Data(b []byte, last bool) {
	if a.skip {
		return
	}
	a.frame.Data = append(a.frame.Data, b...)
	if last {
		a.frame.Arrival = time.Now()
		a.frame.Age += a.frame.Arrival.Sub(a.frame.FirstArrival)
		a.player.push(a.kind, a.frame)
		a.frame = Received{}
	}
}

// Broken implements stream.Sink.
func (a *assembler) Broken() { a.Lost() }

// Lost implements stream.Sink.
func (a *assembler) Lost() {
	a.frame, a.gap = Received{}, true
	if a.kind == kindVideo {
		a.wait = true
		a.ask()
	}
}

// Switched implements stream.Sink.
func (a *assembler) Switched(c framing.Codec) {
	a.codec = c
	a.Lost()
}

// ask requests a key frame, unless that was just done.
func (a *assembler) ask() {
	if now := time.Now(); now.Sub(a.asked) >= keyframePause {
		a.asked = now
		// An error means that the session is over, which Next tells.
		_ = a.player.RequestKeyframe()
	}
}
