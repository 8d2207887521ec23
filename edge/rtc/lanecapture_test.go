package rtc

import (
	"encoding/binary"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
	"trellis/edge/rtc/transport"
	"trellis/internal/relay"
	"trellis/wire/hang"
)

// captureWatch reads the capture times that a viewer is sent, and its reports.
type captureWatch struct {
	recorder
	told    []toldCapture
	reports [][]byte
	last    uint32 // timestamp
	size    int    // of the header of the last packet
	uneven  int    // packets whose header is not as long as others' of their frame
}

type toldCapture struct {
	timestamp uint32
	at        time.Time
	offset    *time.Duration
}

func (w *captureWatch) Send(b *transport.Batch, header, payload []byte, ssrc uint32, index uint64) error {
	err := w.recorder.Send(b, header, payload, ssrc, index)
	p := &w.packets[len(w.packets)-1]
	if p.Timestamp == w.last && len(header) != w.size && len(w.packets) > 1 {
		w.uneven++
	}
	fresh := p.Timestamp != w.last || len(w.packets) == 1
	w.last, w.size = p.Timestamp, len(header)
	if ext := p.GetExtension(3); ext != nil && fresh {
		t := toldCapture{timestamp: p.Timestamp}
		t.at, t.offset, _ = stream.ParseCaptureTime(ext)
		w.told = append(w.told, t)
	}
	return err
}

func (w *captureWatch) SendRTCP(_ *transport.Batch, b []byte) error {
	w.reports = append(w.reports, append([]byte(nil), b...))
	return nil
}

// captureStory feeds a lane objects that took age from ingress to here, 40 ms apart: their
// presentation times are since at.
type captureStory struct {
	l   *lane
	now time.Time
	age time.Duration
	n   int
}

func (s *captureStory) step() {
	pts := int64(1_000_000 + s.n*40_000)
	object := append(hang.AppendLegacyHeader(nil, uint64(pts)), make([]byte, 3_000)...)
	h := relay.ObjectHeader{Time: pts, Ingress: s.now.Add(-s.age).UnixMicro()}
	s.l.layers[0].append(laneInput{ObjectHeader: h, payload: object, first: s.n%50 == 0}, s.now)
	s.l.advance(s.now)
	s.n++
	s.now = s.now.Add(40 * time.Millisecond)
}

func newCaptureStory(t *testing.T, out packetOut) (*captureStory, *viewer) {
	t.Helper()
	l := newTestLane(t, 1, out)
	return &captureStory{l: l, now: time.Unix(1_700_000_000, 0), age: 70 * time.Millisecond}, l.viewers[0]
}

// TestCaptureTimesAreTold on all packets of a frame each half second, when what is known
// changes, and while a viewer catches up; with an offset from the clock of the sender reports.
func TestCaptureTimesAreTold(t *testing.T) {
	out := &captureWatch{}
	s, v := newCaptureStory(t, out)
	la := s.l.layers[0]
	for range 3 {
		s.step()
	}
	for i, c := range out.told {
		ingress := s.now.Add(-s.age).Add(time.Duration(i-3) * 40 * time.Millisecond)
		if c.offset != nil || !c.at.Equal(ingress) || la.captured.source.Load() != uint32(captureAtIngress) {
			t.Errorf("frame %d: captured %v, %v; want the time of ingress", i, c.at, c.offset)
		}
	}
	if len(out.told) != 3 {
		t.Errorf("%d of 3 frames say when they came in", len(out.told))
	}

	// The publisher's clock says 1,234 s at the presentation time zero, and what is captured takes
	// 50 ms until it comes in.
	know := func(offset time.Duration) {
		la.captured.learn(hang.Capture{OffsetUs: offset.Microseconds(), IngressUs: (offset + 50*time.Millisecond).Microseconds(), ErrorUs: 9})
		out.told, out.reports = nil, nil
	}
	know(1234 * time.Second)
	first := s.n
	for range 50 {
		s.step()
	}
	if n := len(out.told); n < 4 || n > 5 || out.uneven > 0 {
		t.Errorf("told %d times in 2 s, %d packets of the size of no other", n, out.uneven)
	}
	for _, c := range out.told {
		frame := int64(c.timestamp-v.tsBase)/90 - 1000 // ms
		if want := time.UnixMilli(1_234_000 + 1000 + frame); !c.at.Equal(want) || c.offset == nil || *c.offset != 1234*time.Second+50*time.Millisecond {
			t.Errorf("frame at %d ms: captured %v, offset %v; want %v", frame, c.at, c.offset, want)
		}
	}
	if c := out.told[0]; c.timestamp != v.tsBase+uint32(90*(1000+40*first)) {
		t.Error("the first frame does not tell")
	}
	// Who reads a report when it is sent knows what the capturer's clock says.
	for i, b := range out.reports {
		sender := stream.NTPTime(binary.BigEndian.Uint64(b[8:]))
		// One a second: with the frame that was appended then.
		frame := int64(int32(binary.BigEndian.Uint32(b[16:])-v.tsBase)) / 90 // of what is presented now, ms
		capturer := time.UnixMilli(1_234_000 + frame + 50)
		if d := sender.Add(*out.told[0].offset).Sub(capturer).Abs(); d > time.Millisecond {
			t.Errorf("report %d: %v and the offset are %v off", i, sender, d)
		}
		// What enters the backbone now comes in s.age later: 70 ms more than the newest frame.
		if newest := int64(1000+40*(first+25*i)) - frame + 70; i > 0 && (newest > 1000 || newest < -1000) {
			t.Errorf("report %d: of %d ms", i, frame)
		}
	}
	if len(out.reports) < 2 {
		t.Errorf("%d reports", len(out.reports))
	}

	know(1334 * time.Second) // it was set
	s.step()
	if len(out.told) != 1 || *out.told[0].offset != 1334*time.Second+50*time.Millisecond {
		t.Errorf("told %v at once", out.told)
	}

	// A viewer that begins in the group is told with each frame until it is live.
	for range 9 {
		s.step()
	}
	out.told = nil
	v.begin(la.packets, la.packets.groupStart, 0)
	behind := int(la.packets.head - la.packets.groupStart)
	for range behind {
		s.l.send(v, 1<<20, s.now)
	}
	v.state = viewerLive
	for range 3 {
		s.step()
	}
	if n := len(out.told); n != behind+1 {
		t.Errorf("told with %d frames, want %d and the first after them", n, behind)
	}

	// Where clocks are not synchronised nothing is told.
	out.told = nil
	pts := int64(1_000_000 + s.n*40_000)
	la.append(laneInput{
		ObjectHeader: relay.ObjectHeader{Time: pts, Ingress: 5, IngressErr: -1},
		payload:      append(hang.AppendLegacyHeader(nil, uint64(pts)), 1, 2, 3), first: true,
	}, s.now)
	if len(out.told) != 0 || la.captured.source.Load() != uint32(captureUnknown) {
		t.Errorf("told %v", out.told)
	}
}

// TestReportsAreOfWhatEntersNow: a report's time less its arrival is the same however long media
// takes to come here, so that clocks are told by it.
func TestReportsAreOfWhatEntersNow(t *testing.T) {
	for _, age := range []time.Duration{0, 70 * time.Millisecond, 400 * time.Millisecond} {
		out := &captureWatch{}
		s, v := newCaptureStory(t, out)
		s.age = age
		began := s.now
		for range 30 {
			s.step()
		}
		for _, b := range out.reports {
			sender := stream.NTPTime(binary.BigEndian.Uint64(b[8:])).Sub(time.Unix(0, 0))
			ticks := int64(int32(binary.BigEndian.Uint32(b[16:]) - v.tsBase))
			if d := sender - time.Duration(ticks)*time.Second/90_000; d.Abs() > time.Millisecond {
				t.Errorf("the time %v and the timestamp %d are %v apart", sender, ticks, d)
			}
		}
		last := stream.NTPTime(binary.BigEndian.Uint64(out.reports[len(out.reports)-1][8:])).Sub(time.Unix(1, 0))
		var ok bool
		for i := range 30 { // at one of the steps
			at := time.Duration(i) * 40 * time.Millisecond
			ok = ok || (last-at-age).Abs() < time.Millisecond
		}
		if !ok || began.After(s.now) {
			t.Errorf("with an age of %v the last report is of %v", age, last)
		}
	}
}

// TestSoundIsTold: its lane is told by the catalog like that of a picture.
func TestSoundIsTold(t *testing.T) {
	out := &captureWatch{}
	v := soundViewer(out, 111, 0)
	v.cfg.capture = 3
	l := soundLane(t, v)
	next := speak(l)
	next()
	is := hang.Capture{OffsetUs: -5_000_000, IngressUs: -4_980_000}
	c := hang.Catalog{Audio: &hang.Audio{Renditions: map[string]hang.AudioConfig{
		"audio/data": {Codec: "opus", SampleRate: 48_000, NumberOfChannels: 2, Capture: is},
	}}}
	if err := l.command(laneCommand{kind: commandLadder, renditions: renditionsOf(c, l.key)}, time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	out.told = nil
	for range 50 {
		next()
	}
	if len(out.told) != 2 {
		t.Errorf("told %d times in a second", len(out.told))
	}
	for _, c := range out.told {
		pts := int64(c.timestamp-v.tsBase) * 1000 / 48
		if want := time.UnixMicro(pts + is.OffsetUs); c.at.Sub(want).Abs() > 21*time.Microsecond || *c.offset != -4_980*time.Millisecond {
			t.Errorf("captured %v with %v, want %v", c.at, *c.offset, want)
		}
	}
	if l.key.codec != framing.Opus {
		t.Errorf("%v", l.key)
	}
}
