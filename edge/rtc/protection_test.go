package rtc

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/transport"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

func TestProtectionFollowsLoss(t *testing.T) {
	var p protection
	now := time.Unix(1_700_000_000, 0)
	for _, step := range []struct {
		after       time.Duration
		loss        float64
		on, changed bool
	}{
		{0, 0, false, false},
		{time.Second, 0.015, false, false},
		{time.Second, 0.05, true, true},
		{time.Second, 0, true, false},
		{redCalm - 2*time.Second, 0.015, true, false},
		{redCalm - time.Second, 0, true, false},
		{2 * time.Second, 0, false, true},
		{time.Second, 0, false, false},
	} {
		now = now.Add(step.after)
		if on, changed := p.observe(now, step.loss); on != step.on || changed != step.changed {
			t.Errorf("after %v with loss %v: %v, %v", step.after, step.loss, on, changed)
		}
	}
}

// soundLane returns a lane of sound with live viewers, driven by hand.
func soundLane(tb testing.TB, viewers ...*viewer) *lane {
	tb.Helper()
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	b, err := table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 1, Origin: "a", Local: true}, noUpstream{})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := b.PushTrack("audio/data", mediaInfo(wire.KindAudio)); err != nil {
		tb.Fatal(err)
	}
	m, err := newMetrics(nil, func(Role) int { return 0 })
	if err != nil {
		tb.Fatal(err)
	}
	e := newEgress(table, nil, m, slog.New(slog.DiscardHandler))
	key := laneKey{broadcast: "room/alice", codec: framing.Opus, track: "audio/data"}
	l, err := e.open(key, []rendition{{track: "audio/data", codec: "opus"}})
	if err != nil {
		tb.Fatal(err)
	}
	la := l.layers[0]
	tb.Cleanup(la.close)
	for _, v := range viewers {
		v.begin(la.packets, la.packets.head, 0)
		v.state, v.layer, v.aim = viewerLive, la, aim{layer: la}
		l.viewers = append(l.viewers, v)
	}
	l.count()
	return l
}

// speak gives a lane packets of sound, 20 ms apart, that say their number.
func speak(l *lane) func() {
	now := time.Unix(1_700_000_000, 0)
	i := 0
	return func() {
		pts := uint64(1_000_000 + i*20_000)
		object := append(hang.AppendLegacyHeader(make([]byte, 0, 100), pts), 0xfc, byte(i))
		object = append(object, make([]byte, 78)...)
		l.layers[0].append(laneInput{
			ObjectHeader: relay.ObjectHeader{Time: int64(pts), Ingress: now.UnixMicro()}, payload: object, first: i%5 == 0,
		}, now)
		now = now.Add(20 * time.Millisecond)
		i++
	}
}

func soundViewer(out packetOut, pt, redPT uint8) *viewer {
	return newViewer(viewerConfig{out: out, ssrc: 1, pt: pt, redPT: redPT, clockRate: 48_000, audio: true})
}

// TestSoundIsSentTwice has two viewers with loss and one without: those get each
// packet together with the one before it, in their own payload types.
func TestSoundIsSentTwice(t *testing.T) {
	out := []*recorder{{}, {}, {}}
	l := soundLane(t, soundViewer(out[0], 111, 63), soundViewer(out[1], 109, 108), soundViewer(out[2], 111, 63))
	next := speak(l)
	next()
	for _, v := range l.viewers[:2] {
		if err := l.command(laneCommand{kind: commandProtect, viewer: v, protect: true}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	const n = 20
	for range n {
		next()
	}
	for i, r := range out {
		opus, red := []uint8{111, 109, 111}[i], []uint8{63, 108, 0}[i]
		if len(r.packets) != n+1 {
			t.Fatalf("viewer %d got %d packets", i, len(r.packets))
		}
		for j, p := range r.packets {
			if j == 0 || red == 0 {
				if p.PayloadType != opus || p.payload[1] != byte(j) {
					t.Errorf("viewer %d, packet %d: type %d", i, j, p.PayloadType)
				}
				continue
			}
			blocks, err := framing.ParseRED(p.payload, nil)
			if err != nil || p.PayloadType != red || len(blocks) != 2 {
				t.Fatalf("viewer %d, packet %d: type %d, %d blocks, %v", i, j, p.PayloadType, len(blocks), err)
			}
			for k, b := range blocks {
				if b.PayloadType != opus || b.Data[1] != byte(j-1+k) || int(b.Offset) != 960*(1-k) {
					t.Errorf("viewer %d, packet %d: block %d of type %d is number %d, %d earlier", i, j, k, b.PayloadType, b.Data[1], b.Offset)
				}
			}
		}
		for j, p := range r.packets[1:] {
			if last := r.packets[j]; p.SequenceNumber != last.SequenceNumber+1 || p.Timestamp != last.Timestamp+960 {
				t.Errorf("viewer %d: packet %d at %d follows %d at %d", i, p.SequenceNumber, p.Timestamp, last.SequenceNumber, last.Timestamp)
			}
		}
	}
	// It is not sent again as something else under the same number.
	before := len(out[0].packets)
	if err := l.command(laneCommand{kind: commandResend, viewer: l.viewers[0], lost: lostOf(out[0].packets[3].SequenceNumber)}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(out[0].packets) != before {
		t.Error("a packet was sent again in another form")
	}
}

// BenchmarkSoundTwice has a hundred viewers that are sent sound twice.
func BenchmarkSoundTwice(b *testing.B) {
	out := &discard{}
	var viewers []*viewer
	for range 100 {
		v := soundViewer(out, 111, 63)
		v.red = true
		viewers = append(viewers, v)
	}
	next := speak(soundLane(b, viewers...))
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(out.packets), "ns/packet")
}

func TestAnswerTakesRedundancy(t *testing.T) {
	o, err := parseOffer(sessionLines + section("audio", "recvonly", "opus/48000/2 minptime=10;useinbandfec=1", "red/48000/2 100/100"))
	if err != nil {
		t.Fatal(err)
	}
	m := o.section(true)
	if len(m.codecs) != 1 || m.codecs[0].pt != 100 || m.codecs[0].red != 0 {
		t.Fatalf("codecs %+v: 200 is no payload type", m.codecs)
	}
	text := strings.ReplaceAll(sessionLines+section("audio", "recvonly", "opus/48000/2 minptime=10;useinbandfec=1", "red/48000/2 100/100"), "200", "63")
	if o, err = parseOffer(text); err != nil {
		t.Fatal(err)
	}
	m = o.section(true)
	track := newViewerTrack(m, m.codecs[0], nil)
	answer, err := writeAnswer(o, []answered{{media: m, codec: m.codecs[0], track: track}}, transport.Local{}, "sha-256 AB")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SAVPF 100 63\r\n", "a=rtpmap:63 red/48000/2\r\n", "a=fmtp:63 100/100\r\n"} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %q in\n%s", want, answer)
		}
	}
}

// verbatim keeps the bytes of packets.
type verbatim struct{ packets map[uint64][]string }

func (r *verbatim) Send(_ *transport.Batch, header, payload []byte, _ uint32, index uint64) error {
	r.packets[index] = append(r.packets[index], string(header)+string(payload))
	return nil
}

func (r *verbatim) SendRTCP(*transport.Batch, []byte) error { return nil }

// TestRepeatedPacketsAreTheSame has a viewer ask again without the retransmission
// format: what is sealed under one index must be the same each time.
func TestRepeatedPacketsAreTheSame(t *testing.T) {
	out := &verbatim{packets: map[uint64][]string{}}
	v := soundViewer(out, 111, 0)
	v.cfg.capture = 3
	l := soundLane(t, v)
	l.layers[0].captured.learn(hang.Capture{OffsetUs: 1, IngressUs: 2}) // told with some packets
	next := speak(l)
	for range 10 {
		next()
	}
	first := v.run.firstSeq
	if err := l.command(laneCommand{kind: commandResend, viewer: v, lost: lostOf(uint16(first+2), uint16(first+5))}, time.Unix(1_700_000_001, 0)); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(10) {
		got := out.packets[first+i]
		if want := map[uint64]int{2: 2, 5: 2}[i]; len(got) != max(want, 1) {
			t.Errorf("packet %d was sent %d times", i, len(got))
		}
		if len(got) == 2 && got[0] != got[1] {
			t.Errorf("packet %d: %x, then %x", i, got[0], got[1])
		}
	}
	// Pictures without the format are not sent again at all.
	if c := (viewerConfig{transport: 1}); c.repeatable() {
		t.Error("pictures could be sent again as other bytes")
	}
}

func lostOf(seqs ...uint16) *lostPackets {
	l := newLostPackets(nil)
	for _, seq := range seqs {
		l.add(seq)
	}
	return l
}
