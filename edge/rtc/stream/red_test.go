package stream

import (
	"log/slog"
	"testing"
	"time"

	"github.com/pion/rtp"

	"trellis/edge/framing"
	"trellis/edge/rtc/packet"
)

// heard is a Sink that keeps frames of sound.
type heard struct{ frames []byte }

func (h *heard) Begin(FrameInfo)          {}
func (h *heard) Data(b []byte, _ bool)    { h.frames = append(h.frames, b[0]) }
func (h *heard) Broken()                  {}
func (h *heard) Lost()                    {}
func (h *heard) Switched(_ framing.Codec) {}

// newTestInbound returns an Inbound whose peer retransmits nothing unless the format says so.
func newTestInbound(t *testing.T, f Format) *Inbound {
	t.Helper()
	in, err := NewInbound(InboundConfig{
		SSRC: 1, Format: f, Lookup: func(uint8) (Format, bool) { return Format{}, false }, Timeline: NewTimeline(),
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// received is a packet as it comes from the network.
func received(t *testing.T, b []byte, now time.Time) packet.Packet {
	t.Helper()
	h, err := packet.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	return packet.Packet{Header: h, Payload: b[h.Size:], Arrival: now}
}

// TestRedundantSoundRepairsItself loses every third packet of sound that repeats
// itself: nothing is missing.
func TestRedundantSoundRepairsItself(t *testing.T) {
	const opus, red = 111, 63
	in := newTestInbound(t, Format{PayloadType: red, Codec: framing.Opus, RED: true})
	sink := &heard{}
	now := time.Unix(1_700_000_000, 0)
	const n = 60
	for i := range byte(n) {
		blocks := []framing.REDBlock{{PayloadType: opus, Data: []byte{i, 1, 2}}}
		if i > 0 {
			blocks = append([]framing.REDBlock{{PayloadType: opus, Offset: 960, Data: []byte{i - 1, 1, 2}}}, blocks...)
		}
		p := rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: red, SequenceNumber: 65_500 + uint16(i), Timestamp: uint32(i) * 960, SSRC: 1},
			Payload: framing.AppendRED(nil, blocks),
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(20 * time.Millisecond)
		if i%3 != 1 {
			in.Receive(received(t, b, now), false, sink)
		}
		in.Tick(now, sink)
	}
	if len(sink.frames) != n {
		t.Fatalf("%d of %d packets: %v", len(sink.frames), n, sink.frames)
	}
	for i, f := range sink.frames {
		if int(f) != i {
			t.Errorf("packet %d is number %d", i, f)
		}
	}
	if s := in.Stats(); s.Repeated != n/3 || s.Lost != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestRedundantSoundWithPadding has a sender that probes its path with padding in the
// sound's sequence, as Chromium does, and loses packets of both: what a packet repeats is
// that of the sound before it, whatever number that had, nothing is heard twice, and
// padding that was lost holds up nothing.
func TestRedundantSoundWithPadding(t *testing.T) {
	const opus, red = 111, 63
	in := newTestInbound(t, Format{PayloadType: red, Codec: framing.Opus, RED: true})
	sink := &heard{}
	now := time.Unix(1_700_000_000, 0)
	seq := uint16(65_500)
	send := func(h rtp.Header, payload []byte, lost bool) {
		h.Version, h.PayloadType, h.SequenceNumber, h.SSRC = 2, red, seq, 1
		seq++
		p := rtp.Packet{Header: h, Payload: payload}
		if h.Padding {
			p.PaddingSize = 200
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !lost {
			in.Receive(received(t, b, now), false, sink)
		}
		in.Tick(now, sink)
	}
	const n = 90
	for i := range byte(n) {
		blocks := []framing.REDBlock{{PayloadType: opus, Data: []byte{i, 1, 2}}}
		if i > 0 {
			blocks = append([]framing.REDBlock{{PayloadType: opus, Offset: 960, Data: []byte{i - 1, 1, 2}}}, blocks...)
		}
		ts := uint32(i) * 960
		send(rtp.Header{Timestamp: ts}, framing.AppendRED(nil, blocks), i%5 == 3)
		for j := range int(i % 3) { // none, one or two, of which the first is lost now and then
			send(rtp.Header{Timestamp: ts, Padding: true}, nil, i%4 == 1 && j == 0)
		}
		if got, least := len(sink.frames), int(i); got < least {
			t.Errorf("%d packets are held up after number %d: %v", least-got, i, sink.frames)
		}
		now = now.Add(20 * time.Millisecond)
	}
	for i, f := range sink.frames {
		if int(f) != i {
			t.Fatalf("packet %d is number %d: %v", i, f, sink.frames)
		}
	}
	if s := in.Stats(); s.Repeated != n/5 {
		t.Errorf("stats %+v", s)
	}
}
