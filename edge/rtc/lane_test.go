package rtc

import (
	"log/slog"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/transport"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

// discard is a viewer's transport that costs nothing.
type discard struct{ packets int }

func (d *discard) Send(*transport.Batch, []byte, []byte, uint32, uint64) error {
	d.packets++
	return nil
}

func (d *discard) SendRTCP(*transport.Batch, []byte) error { return nil }

// newTestLane returns a lane with viewers that are live on its only layer, driven
// by hand.
func newTestLane(tb testing.TB, viewers int, out packetOut) *lane {
	tb.Helper()
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	b, err := table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 1, Origin: "a", Local: true}, noUpstream{})
	if err != nil {
		tb.Fatal(err)
	}
	tr, err := b.PushTrack("video/hd", mediaInfo(wire.KindVideo))
	if err != nil {
		tb.Fatal(err)
	}
	m, err := newMetrics(nil, func(Role) int { return 0 })
	if err != nil {
		tb.Fatal(err)
	}
	e := newEgress(table, nil, m, slog.New(slog.DiscardHandler))
	l, err := e.open(laneKey{broadcast: "room/alice", codec: framing.VP8}, []rendition{{track: tr.Name().Track, codec: "vp8"}})
	if err != nil {
		tb.Fatal(err)
	}
	la := l.layers[0]
	tb.Cleanup(la.close)
	for range viewers {
		v := newViewer(viewerConfig{
			out: out, ssrc: 1, pt: 96, capture: 3, clockRate: 90_000,
		})
		v.begin(la.packets, la.packets.head, 0)
		v.state, v.layer, v.aim = viewerLive, la, aim{layer: la}
		l.viewers = append(l.viewers, v)
	}
	l.count()
	return l
}

// feed gives a lane objects of n bytes, 33 ms apart, with a group every 30.
func feed(l *lane, n int) func() {
	frame := make([]byte, n)
	now := time.Unix(1_700_000_000, 0)
	i := 0
	return func() {
		pts := uint64(1_000_000 + i*33_333)
		object := hang.AppendLegacyHeader(make([]byte, 0, 8+n), pts)
		object = append(object, frame...)
		l.layers[0].append(laneInput{
			ObjectHeader: relay.ObjectHeader{Time: int64(pts), Ingress: now.UnixMicro()}, payload: object, first: i%30 == 0,
		}, now)
		now = now.Add(33_333 * time.Microsecond)
		i++
	}
}

// TestMalformedObject has a lane skip what it cannot packetize, up to the next group.
func TestMalformedObject(t *testing.T) {
	out := &discard{}
	l := newTestLane(t, 1, out)
	now := time.Unix(1_700_000_000, 0)
	for _, payload := range [][]byte{nil, {0xff}, {0x40}} {
		l.layers[0].append(laneInput{payload: payload, first: true}, now)
	}
	l.layers[0].append(laneInput{payload: []byte{1, 2, 3}}, now) // not the first of a group
	if out.packets != 0 {
		t.Errorf("%d packets were made of nothing", out.packets)
	}
	next := feed(l, 100)
	next()
	if out.packets != 1 {
		t.Errorf("%d packets after the next group began", out.packets)
	}
}

// reporting counts the reports that a viewer is sent.
type reporting struct {
	discard

	reports int
}

func (r *reporting) SendRTCP(*transport.Batch, []byte) error {
	r.reports++
	return nil
}

// TestReportsLeaveWithPackets: a viewer is told the time with its first packets, then about
// every second together with others, and alone only where there are none.
func TestReportsLeaveWithPackets(t *testing.T) {
	out := &reporting{}
	l := newTestLane(t, 1, out)
	next, now := feed(l, 10_000), time.Unix(1_700_000_000, 0)
	for i := range 120 { // four seconds
		before := out.reports
		next()
		if i == 0 && out.reports != 1 {
			t.Errorf("%d reports with the first packets", out.reports)
		}
		if out.reports > before+1 {
			t.Errorf("frame %d: %d reports at once", i, out.reports-before)
		}
		before = out.reports
		if l.advance(now); out.reports != before {
			t.Errorf("frame %d: a report without packets", i)
		}
		now = now.Add(33_333 * time.Microsecond)
	}
	if out.reports < 4 || out.reports > 5 {
		t.Errorf("%d reports in four seconds", out.reports)
	}
	before := out.reports
	for range 3 {
		now = now.Add(reportEvery)
		l.advance(now)
	}
	if out.reports != before+3 {
		t.Errorf("%d reports in three seconds without packets", out.reports-before)
	}
}

func BenchmarkLane(b *testing.B) {
	for _, viewers := range []int{1, 100} {
		b.Run(map[int]string{1: "viewers=1", 100: "viewers=100"}[viewers], func(b *testing.B) {
			out := &discard{}
			next := feed(newTestLane(b, viewers, out), 10_000)
			next()
			b.ReportAllocs()
			before := out.packets
			for b.Loop() {
				next()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(out.packets-before), "ns/packet")
		})
	}
}

// BenchmarkLaneRepairs is BenchmarkLane with viewers that are sent three repair packets
// for ten.
func BenchmarkLaneRepairs(b *testing.B) {
	out := &discard{}
	next := feed(protectedLane(b, 100, out, 0.3), 10_000)
	next()
	b.ReportAllocs()
	before := out.packets
	for b.Loop() {
		next()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(out.packets-before), "ns/packet")
}

// TestVoidPath: who has not been heard of for long is not sent again what was lost, and
// begins with the cached group once it is heard, however old that is.
func TestVoidPath(t *testing.T) {
	out := &discard{}
	l := newTestLane(t, 1, out)
	la, v := l.layers[0], l.viewers[0]
	v.cfg.rtxSSRC, v.cfg.rtxPT, la.settled = 2, 97, true
	next := feed(l, 100)
	for range 20 {
		next()
	}
	now := time.Unix(1_700_000_001, 0)
	l.take(v, aim{layer: la, void: true}, now)
	before := out.packets
	if l.resend(v, uint16(v.seq-1), now); out.packets != before {
		t.Error("a packet was sent again on a path on which nothing is heard")
	}
	l.take(v, aim{layer: la, burst: 1}, now)
	if v.next != la.packets.groupStart || v.state != viewerCatchingUp {
		t.Errorf("it goes on with object %d, state %v; want %d, the first of its group", v.next, v.state, la.packets.groupStart)
	}
	if v.restartAfter.Before(now) {
		t.Error("a request for a key frame that it has sent meanwhile makes it begin once more")
	}
}

// TestCatchUpAsTold: what a viewer catches up on leaves no sooner than its timestamps say, though
// its path is found to be wider meanwhile.
func TestCatchUpAsTold(t *testing.T) {
	out := &discard{}
	l := newTestLane(t, 1, out)
	la, v := l.layers[0], l.viewers[0]
	la.settled = true
	next := feed(l, 1000)
	for range 20 {
		next()
	}
	now := time.Unix(1_700_000_001, 0)
	v.aim = aim{layer: la, slice: 4, gap: 80 * time.Millisecond}
	l.begin(v, now)
	l.catchUp(v, now)
	v.aim.gap = 8 * time.Millisecond
	now = now.Add(80 * time.Millisecond)
	l.catchUp(v, now)
	if gap := v.nextBurst.Sub(now); gap < 79*time.Millisecond || gap > 80*time.Millisecond {
		t.Errorf("the next packets leave after %v, want 80 ms as told", gap)
	}
}
