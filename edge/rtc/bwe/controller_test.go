package bwe

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trellis/internal/impair"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		cfg, want Config
		ok        bool
	}{
		{Config{}, Config{Start: 1_000_000, Min: 30_000, Max: 50_000_000}, true},
		{Config{Max: 500_000}, Config{Start: 500_000, Min: 30_000, Max: 500_000}, true},
		{Config{Min: 2_000_000}, Config{Start: 2_000_000, Min: 2_000_000, Max: 50_000_000}, true},
		{Config{Start: 20_000}, Config{}, false},
		{Config{Min: -1}, Config{}, false},
		{Config{Max: 1e12}, Config{}, false},
	} {
		got, err := New(c.cfg, NewLog(epoch))
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.cfg, err)
			continue
		}
		if c.ok && got.cfg != c.want {
			t.Errorf("%+v became %+v, want %+v", c.cfg, got.cfg, c.want)
		}
	}
}

// TestAnyFeedback gives the controller results in any order, twice, late, of
// packets never sent, and with times that no clock shows.
func TestAnyFeedback(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLog(epoch)
		c, err := New(Config{}, l)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		wild := rapid.Bool().Draw(t, "wild") // arrivals at any time
		now := epoch
		var results []Result
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rng.IntN(200)) * ms)
			for range rng.IntN(20) {
				kind := Media
				if p, ok := c.Probe(now); ok {
					if p.Bytes < p.Packets || p.Packets < 1 || p.Bps <= 0 || p.Bytes > max(probeBytesMax, spreadBytesMax) || p.Duration < 0 || p.Duration > time.Second {
						t.Fatalf("a probe %+v", p)
					}
					kind = p.Kind()
				}
				l.Add(now, rng.IntN(1500), kind)
			}
			results = results[:0]
			for range rng.IntN(40) {
				// Around the newest packet, or anywhere.
				seq := uint16(l.Next()) - uint16(rng.IntN(64))
				if rng.IntN(10) == 0 {
					seq = uint16(rng.Uint32())
				}
				arrived := now.Sub(epoch) + time.Duration(rng.IntN(100))*ms
				if wild {
					arrived = time.Duration(rng.Uint64())
				}
				r, ok := l.Result(now, seq, rng.IntN(4) > 0, arrived)
				if ok {
					results = append(results, r)
				}
			}
			c.Wanted(rng.Int64N(10_000_000))
			c.Feedback(now, results)
			if rng.IntN(3) == 0 {
				c.Tick(now)
			}
			if rng.IntN(10) == 0 {
				c.SetRTT(time.Duration(rng.Uint64()))
			}
			e := c.Estimate()
			if e.Bps < c.cfg.Min || e.Bps > c.cfg.Max || math.IsNaN(c.bps) || math.IsNaN(c.capacity) || c.capacity < 0 ||
				!(e.Loss >= 0 && e.Loss <= 1) || e.RTT <= 0 || e.RTT > maxRTT || e.Threshold < 0 || e.SentBps < 0 || e.AckedBps < 0 {
				t.Fatalf("estimate %+v", e)
			}
		}
	})
}

// TestNoFeedbackAtAll: a client that never reports leads to an outage and the
// least estimate, and is tried now and then where nothing else is sent.
func TestNoFeedbackAtAll(t *testing.T) {
	l := NewLog(epoch)
	c, err := New(Config{}, l)
	if err != nil {
		t.Fatal(err)
	}
	now := epoch
	for range 10 {
		l.Add(now, 1000, Media)
	}
	probes := 0
	for range 100 {
		now = now.Add(100 * ms)
		c.Tick(now)
		if p, ok := c.Probe(now); ok {
			probes++
			for range p.Packets {
				l.Add(now, p.Bytes/p.Packets, p.Kind())
			}
		}
	}
	e := c.Estimate()
	if e.State != Outage || e.Bps != c.cfg.Min || e.Reason != ReasonSilence {
		t.Errorf("after 10 s without feedback: %+v", e)
	}
	if probes < 10 || probes > 20 {
		t.Errorf("%d attempts to reach the client in 10 s", probes)
	}
}

// TestNothingSent: without packets there is nothing to report on, and no outage.
func TestNothingSent(t *testing.T) {
	c, err := New(Config{}, NewLog(epoch))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		c.Tick(epoch.Add(time.Duration(i) * time.Second))
		c.Feedback(epoch.Add(time.Duration(i)*time.Second), nil)
	}
	if e := c.Estimate(); e.State != Hold || e.Bps != 1_000_000 || e.Decisions != 0 {
		t.Errorf("with nothing sent: %+v", e)
	}
	if p, ok := c.Probe(epoch.Add(time.Second)); ok {
		t.Errorf("with nothing wanted a probe: %+v", p)
	}
}

// feed is a controller on a path of 4 Mbit/s with messages of 30 results.
type feed struct {
	log     *Log
	reader  *Reader
	ctrl    *Controller
	now     time.Time
	link    *impair.Link
	recv    receiver
	results []Result
}

func newFeed(tb testing.TB) *feed {
	tb.Helper()
	l := NewLog(epoch)
	c, err := New(Config{}, l)
	if err != nil {
		tb.Fatal(err)
	}
	link, err := impair.NewLink(impair.Config{Delay: 25 * ms, RateBps: 4 * mbps}, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		tb.Fatal(err)
	}
	return &feed{
		log: l, reader: NewReader(l), ctrl: c, now: epoch, link: link,
		recv: receiver{arrived: make(map[uint64]time.Duration)}, results: make([]Result, 0, 64),
	}
}

// message sends 30 packets and returns the feedback on them.
func (f *feed) message(tb testing.TB) []byte {
	tb.Helper()
	for i := range 30 {
		if i%6 == 0 {
			f.now = f.now.Add(16 * ms)
		}
		index := f.log.Next()
		f.log.Add(f.now, 1200, Media)
		if at, drop := f.link.Send(f.now, 1200); drop == impair.DropNone {
			f.recv.receive(index, at.Sub(epoch))
		}
	}
	return f.recv.message(tb)
}

func (f *feed) read(tb testing.TB, b []byte) {
	tb.Helper()
	results, err := f.reader.Read(f.results[:0], f.now.Add(100*ms), b)
	if err != nil {
		tb.Fatal(err)
	}
	f.results = results
	f.ctrl.Feedback(f.now.Add(100*ms), results)
	f.ctrl.Tick(f.now.Add(100 * ms))
}

func TestFeedbackAllocatesNothing(t *testing.T) {
	f := newFeed(t)
	const runs = 100
	messages := make([][]byte, runs+1)
	for i := range messages {
		messages[i] = f.message(t)
	}
	i := 0
	if n := testing.AllocsPerRun(runs, func() {
		f.log.Add(f.now, 1200, Media)
		f.read(t, messages[i])
		i++
	}); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}

func BenchmarkFeedback(b *testing.B) {
	f := newFeed(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		m := f.message(b)
		b.StartTimer()
		f.read(b, m)
	}
	b.ReportMetric(30, "results/op")
}

// TestBeforeTheFirstReport: what a viewer missed of what was sent before it reported
// anything it may have missed because it had no keys yet; what it misses afterwards is lost.
func TestBeforeTheFirstReport(t *testing.T) {
	log := NewLog(epoch)
	c, err := New(Config{}, log)
	if err != nil {
		t.Fatal(err)
	}
	now := epoch
	report := func(packets int, received func(i int) bool) {
		var results []Result
		for i := range packets {
			seq := log.Next()
			log.Add(now, 1000, Media)
			sent := now.Sub(epoch)
			results = append(results, Result{Seq: seq, Sent: sent, Arrived: sent + 25*ms, Size: 1000, Received: received(i)})
			now = now.Add(10 * ms)
		}
		now = now.Add(50 * ms)
		c.Feedback(now, results)
	}
	report(20, func(i int) bool { return i >= 8 })
	for range 10 {
		report(20, func(int) bool { return true })
		if loss := c.Estimate().Loss; loss != 0 {
			t.Fatalf("%.2f of the packets count as lost", loss)
		}
	}
	for range 10 {
		report(20, func(i int) bool { return i%10 != 0 })
	}
	if loss := c.Estimate().Loss; loss < 0.08 || loss > 0.12 {
		t.Errorf("%.2f of the packets count as lost, want 0.1", loss)
	}
}

// TestOpening: the first train tells how fast it came out of the path, if it came in order.
func TestOpening(t *testing.T) {
	for name, c := range map[string]struct {
		arrived []time.Duration
		known   bool
		least   float64
		most    float64
	}{
		"too few":    {[]time.Duration{0, 10 * ms, 20 * ms, 30 * ms}, false, 0, 0},
		"1 Mbit/s":   {[]time.Duration{0, 10 * ms, 20 * ms, 30 * ms, 40 * ms}, true, 0.95 * mbps, 1.05 * mbps},
		"overtaking": {[]time.Duration{0, 30 * ms, 20 * ms}, true, 0, 0},
	} {
		var tr trains
		for _, at := range c.arrived {
			tr.open.add(&Result{Received: true, Arrived: at, Size: 1250})
		}
		tr.begin(0, false)
		if o := tr.opening; o.known != c.known || o.bps < c.least || o.bps > c.most {
			t.Errorf("%s: known %v, %.0f bit/s; want %v, %.0f to %.0f", name, o.known, o.bps, c.known, c.least, c.most)
		}
	}
}
