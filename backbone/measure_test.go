package backbone

import (
	"math/rand/v2"
	"testing"
	"time"

	"trellis/wire/peer"
)

// TestClockFilter: probes over a path with random queues, both clocks drifting
// apart. The estimate stays within its stated error.
func TestClockFilter(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var f clockFilter
		epoch := time.Unix(1000, 0)
		base := rng.Int64N(100_000) // µs, one way
		offset := rng.Int64N(20_000_000) - 10_000_000
		drift := rng.Float64()*40 - 20 // ppm
		for i := range 600 {
			now := epoch.Add(time.Duration(i) * 100 * time.Millisecond)
			truth := offset + int64(drift*float64(i)*0.1)
			there, back := base, base
			if rng.IntN(3) > 0 {
				there += rng.Int64N(30_000)
			}
			if rng.IntN(3) > 0 {
				back += rng.Int64N(30_000)
			}
			// What the two clocks show when a probe goes there and back at once.
			t1 := int64(1_000_000_000)
			t2 := t1 + there + truth
			t4 := t1 + there + back
			f.add(now, ((t2-t1)+(t2-t4))/2, there+back)
			got, ok := f.estimate(now)
			if !ok {
				t.Fatalf("seed %d: no estimate after %d probes", seed, i+1)
			}
			if i < 20 {
				continue // the floor is not known before some probes were fast
			}
			if off := max(got.offset-truth, truth-got.offset); off > got.err {
				t.Fatalf("seed %d, probe %d: offset %d, truth %d, stated error %d", seed, i, got.offset, truth, got.err)
			}
			if got.err > 2*base/asymmetryPart+5000 {
				t.Fatalf("seed %d: error %d is stated for a path of %d", seed, got.err, base)
			}
		}
	}
}

func TestClockStep(t *testing.T) {
	var f clockFilter
	now := time.Unix(1000, 0)
	for range 50 {
		now = now.Add(100 * time.Millisecond)
		f.add(now, 1000, 20_000)
	}
	f.add(now.Add(100*time.Millisecond), 5_000_000, 20_000) // somebody set the clock
	if got, ok := f.estimate(now.Add(100 * time.Millisecond)); !ok || got.offset != 5_000_000 {
		t.Errorf("%+v, %v; want the new offset at once", got, ok)
	}
	if _, ok := f.estimate(now.Add(2 * time.Minute)); ok {
		t.Error("an old sample is still believed")
	}
	f.add(now, 3, -5)
	f.add(now, 3, int64(time.Hour/time.Microsecond))
	if got, _ := f.estimate(now); got.offset == 3 {
		t.Error("an impossible round trip was believed")
	}
}

// TestMeasure runs two ends against one another over 30 and 10 ms, with loss.
func TestMeasure(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var a, b measure
	now := time.Unix(1000, 0)
	const there, back, ahead = 30 * time.Millisecond, 10 * time.Millisecond, 5 * time.Second // b's clock
	wall := func(t time.Time) uint64 { return uint64(t.UnixMicro()) }
	for range 1000 {
		now = now.Add(100 * time.Millisecond)
		if p := a.next(100*time.Millisecond, wall(now)); rng.Float64() >= 0.10 {
			at := now.Add(there)
			b.receive(p, at, wall(at.Add(ahead)))
		}
		sent := now.Add(50 * time.Millisecond)
		if p := b.next(100*time.Millisecond, wall(sent.Add(ahead))); rng.Float64() >= 0.02 {
			at := sent.Add(back)
			a.receive(p, at, wall(at))
		}
	}
	q := a.quality(now)
	if q.DelayMin != 20*time.Millisecond || q.DelayP50 != 20*time.Millisecond || q.Jitter != 0 {
		t.Errorf("%+v, want 20 ms: half of the round trip", q)
	}
	if q.LossOut < 0.05 || q.LossOut > 0.16 || q.LossIn > 0.05 {
		t.Errorf("loss %.3f out, %.3f in; want about 0.10 and 0.02", q.LossOut, q.LossIn)
	}
	// The path is not symmetric: the offset is wrong by half of the difference.
	off, ok := a.clock.estimate(now)
	if want := (ahead + (there-back)/2).Microseconds(); !ok || off.offset != want {
		t.Errorf("offset %d, want %d", off.offset, want)
	}
}

// TestMeasureNonsense: probes that no honest peer sends change nothing.
func TestMeasureNonsense(t *testing.T) {
	var m measure
	now := time.Unix(1000, 0)
	m.next(time.Second, 1)
	m.receive(peer.Probe{Seq: 5, EchoSeq: 1 << 60, EchoSent: 1, EchoHeard: 1, Sent: 1}, now, 10)
	m.receive(peer.Probe{Seq: 5, EchoSeq: 1}, now, 10)
	m.receive(peer.Probe{Seq: 1, EchoSeq: 1}, now, 10)
	if q := m.quality(now); q.Samples != 0 {
		t.Errorf("%+v, want nothing measured", q)
	}
	m.receive(peer.Probe{Seq: 6, EchoSeq: 1, EchoSent: 1 << 59, Sent: 1 << 59, Heard: 1 << 61}, now, 10)
	if q := m.quality(now); q.LossOut < 0 || q.LossOut > 1 {
		t.Errorf("loss %v", q.LossOut)
	}
}

func TestSilenceLimits(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		name                   string
		srtt, rttvar, lag, per time.Duration
		suspect, down          time.Duration
	}{
		{"near, with media", 20 * ms, 2 * ms, 0, 100 * ms, 200 * ms, 500 * ms},
		{"far", 280 * ms, 10 * ms, 0, 100 * ms, 320 * ms, 600 * ms},
		{"busy node", 20 * ms, 2 * ms, 150 * ms, 100 * ms, 350 * ms, 650 * ms},
		{"idle", 20 * ms, 2 * ms, 0, time.Second, 1100 * ms, 1400 * ms},
		{"nothing known yet", 0, 0, 0, 0, 200 * ms, 500 * ms},
	} {
		s, d := silenceLimits(tc.srtt, tc.rttvar, tc.lag, tc.per)
		if s != tc.suspect || d != tc.down {
			t.Errorf("%s: suspect after %v, down after %v; want %v, %v", tc.name, s, d, tc.suspect, tc.down)
		}
	}
}

func TestLagMeter(t *testing.T) {
	var l lagMeter
	now := time.Unix(1000, 0)
	l.add(now.Add(-80*time.Millisecond), now)
	if got := l.value(now.Add(time.Second)); got != 80*time.Millisecond {
		t.Errorf("lag %v a second later, want 80ms", got)
	}
	if got := l.value(now.Add(3 * time.Second)); got != 0 {
		t.Errorf("lag %v three seconds later, want none", got)
	}
}
