package framing

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
	"time"
)

// The bitstreams in testdata are one second of colour bars, 192x108 at 30 frames
// per second with a key frame every 15, encoded by libx264 (two slices per
// picture), libvpx, libvpx-vp9 and libaom.
var videoStreams = []videoStream{
	{VP8, "bars-vp8.ivf"},
	{VP9, "bars-vp9.ivf"},
	{H264, "bars.h264"},
	{AV1, "bars-av1.ivf"},
}

type videoStream struct {
	codec Codec
	file  string
}

// load returns the codec and the frames, of which there are 30.
func (s videoStream) load(tb testing.TB) (Codec, [][]byte) {
	tb.Helper()
	frames := loadFrames(tb, s.codec, s.file)
	if len(frames) != 30 {
		tb.Fatalf("%d frames in %s, want 30", len(frames), s.file)
	}
	return s.codec, frames
}

// loadFrames returns the frames of a test stream in the form that a depacketizer makes.
func loadFrames(tb testing.TB, c Codec, file string) [][]byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	if c == H264 {
		return accessUnits(b)
	}
	var frames [][]byte
	for b = b[32:]; len(b) > 12; {
		n := int(binary.LittleEndian.Uint32(b))
		frames = append(frames, b[12:12+n])
		b = b[12+n:]
	}
	return frames
}

// accessUnits splits an Annex B stream before each first slice, parameter sets and
// messages going with what follows them, and writes every start code in its long form.
func accessUnits(b []byte) [][]byte {
	var units [][]byte
	var unit []byte
	slices := false
	for rest := b; ; {
		var nal []byte
		if nal, rest = nextNAL(rest); nal == nil {
			break
		}
		first := !isVCL(nal[0]&nalTypeMask) || nal[1]&0x80 != 0
		if slices && first {
			units, unit, slices = append(units, unit), nil, false
		}
		slices = slices || isVCL(nal[0]&nalTypeMask)
		unit = append(append(unit, startCode...), nal...)
	}
	return append(units, unit)
}

// testTime is an arbitrary fixed moment.
var testTime = time.Unix(1_700_000_000, 0)

// packetizeAll makes RTP packets of frames, 3000 ticks apart.
func packetizeAll(tb testing.TB, p Packetizer, c Codec, frames [][]byte) []Packet {
	tb.Helper()
	var packets []Packet
	seq := uint16(65_500) // wraps early
	for i, frame := range frames {
		var out Payloads
		if err := p.Packetize(frame, IsKey(c, frame), &out); err != nil {
			tb.Fatalf("frame %d: %v", i, err)
		}
		for j := range out.Len() {
			packets = append(packets, Packet{
				Seq: seq, Timestamp: uint32(i * 3000), Marker: j == out.Len()-1,
				Arrival: testTime.Add(time.Duration(i) * time.Second / 30), Payload: out.At(j),
			})
			seq++
		}
	}
	return packets
}

// frame is what a test collects from events.
type frame struct {
	key       bool
	timestamp uint32
	data      []byte
	ended     bool
	broken    bool
}

// collector joins events to frames, and checks that they come in the order promised.
type collector struct {
	tb     testing.TB
	frames []frame
	open   bool
	losses int
}

func (c *collector) take(events []Event) {
	c.tb.Helper()
	for _, e := range events {
		switch e.Kind {
		case FrameBegin:
			if c.open {
				c.tb.Fatalf("frame begins at %d inside another", e.Timestamp)
			}
			c.open = true
			c.frames = append(c.frames, frame{key: e.Key, timestamp: e.Timestamp})
			if e.Arrival.IsZero() {
				c.tb.Fatalf("frame at %d has no arrival", e.Timestamp)
			}
			continue
		case FramesLost:
			if c.open {
				c.tb.Fatalf("frames lost inside a frame at %d", e.Timestamp)
			}
			c.losses++
			continue
		}
		if !c.open {
			c.tb.Fatalf("%s at %d outside a frame", e.Kind, e.Timestamp)
		}
		f := &c.frames[len(c.frames)-1]
		switch e.Kind {
		case FrameData:
			f.data = append(f.data, e.Data...)
		case FrameBroken:
			f.broken, c.open = true, false
		case FrameEnd:
			f.ended, c.open = true, false
		}
	}
}

// depacketizeAll runs packets, in the order given, through Reorder and Depacketizer.
// Payload memory is overwritten after use, as a receive buffer would be.
func depacketizeAll(tb testing.TB, c Codec, packets []Packet) *collector {
	tb.Helper()
	d, err := NewDepacketizer(c, DepacketizerConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	r, err := NewReorder(ReorderConfig{MaxWait: 100 * time.Millisecond})
	if err != nil {
		tb.Fatal(err)
	}
	got := &collector{tb: tb}
	var events []Event
	buffer := make([]byte, 10_000)
	drain := func(now time.Time) {
		for {
			q, ok := r.Pop(now)
			if !ok {
				return
			}
			events = d.Push(q, events[:0])
			got.take(events)
		}
	}
	for _, p := range packets {
		p.Payload = buffer[:copy(buffer, p.Payload)]
		r.Push(p)
		drain(p.Arrival)
		for i := range buffer {
			buffer[i] = 0xee
		}
	}
	drain(testTime.Add(time.Hour))
	return got
}

// whole counts the frames that ended well.
func (c *collector) whole() int {
	n := 0
	for _, f := range c.frames {
		if f.ended {
			n++
		}
	}
	return n
}

// wantFrames compares whole frames with those of a stream, by timestamp.
func (c *collector) wantFrames(codec Codec, frames [][]byte) {
	c.tb.Helper()
	for _, f := range c.frames {
		want := frames[f.timestamp/3000]
		if !f.ended {
			if !bytes.HasPrefix(want, f.data) && codec != AV1 {
				c.tb.Errorf("frame %d: broken, and not the beginning of what was sent", f.timestamp/3000)
			}
			continue
		}
		if !bytes.Equal(f.data, want) {
			c.tb.Errorf("frame %d: %d bytes differ from the %d sent", f.timestamp/3000, len(f.data), len(want))
		}
		if f.key != IsKey(codec, want) {
			c.tb.Errorf("frame %d: key %v", f.timestamp/3000, f.key)
		}
		if f.broken {
			c.tb.Errorf("frame %d: ended and broken", f.timestamp/3000)
		}
	}
}
