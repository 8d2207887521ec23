package impair

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Unix(1_800_000_000, 0)

func newLink(t *testing.T, cfg Config, seed uint64) *Link {
	t.Helper()
	l, err := NewLink(cfg, rand.New(rand.NewPCG(seed, 0)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// wantArrival sends a datagram at t0+after and says when it must arrive.
func wantArrival(t *testing.T, l *Link, after time.Duration, size int, want time.Duration) {
	t.Helper()
	at, drop := l.Send(t0.Add(after), size)
	if drop != DropNone {
		t.Fatalf("%d bytes at %v dropped: %v", size, after, drop)
	}
	if got := at.Sub(t0); got != want {
		t.Errorf("%d bytes at %v arrive at %v, want %v", size, after, got, want)
	}
}

func wantDrop(t *testing.T, l *Link, after time.Duration, size int, want Drop) {
	t.Helper()
	if at, drop := l.Send(t0.Add(after), size); drop != want {
		t.Errorf("%d bytes at %v: drop %v (arrives %v), want %v", size, after, drop, at.Sub(t0), want)
	}
}

const ms = time.Millisecond

func TestLinkDelay(t *testing.T) {
	l := newLink(t, Config{Delay: 20 * ms}, 1)
	wantArrival(t, l, 0, 1200, 20*ms)
	wantArrival(t, l, 0, 1200, 20*ms)
	wantArrival(t, l, 7*ms, 50, 27*ms)
}

func TestLinkSerialises(t *testing.T) {
	l := newLink(t, Config{Delay: 20 * ms, RateBps: 50_000_000}, 1)
	// 1,250 bytes are 10,000 bits: 200 us at 50 Mbit/s.
	for i := range 120 {
		wantArrival(t, l, 0, 1250, 20*ms+time.Duration(i+1)*200*time.Microsecond)
	}
	// 150 kB took 24 ms of the line; afterwards it is idle again.
	wantArrival(t, l, 30*ms, 1250, 50*ms+200*time.Microsecond)
}

func TestLinkQueueOverflows(t *testing.T) {
	l := newLink(t, Config{RateBps: 8_000_000, QueueBytes: 3000}, 1) // a byte a microsecond
	wantArrival(t, l, 0, 1000, 1*ms)
	wantArrival(t, l, 0, 1000, 2*ms)
	wantArrival(t, l, 0, 1000, 3*ms)
	wantDrop(t, l, 0, 1000, DropQueue)
	wantDrop(t, l, ms/2, 1000, DropQueue)
	wantArrival(t, l, ms/2, 500, 3*ms+ms/2)
	wantArrival(t, l, 2*ms, 1000, 4*ms+ms/2)
	if got := l.Counts().Dropped(DropQueue); got != 2 {
		t.Errorf("%d drops by the queue, want 2", got)
	}
	if c := l.Counts(); c.Packets != 5 || c.Bytes != 4500 || c.Lost() != 2 {
		t.Errorf("counts %+v, want 5 packets, 4500 bytes and 2 lost", c)
	}
}

func TestLinkLimits(t *testing.T) {
	l := newLink(t, Config{MTU: 1400}, 1)
	wantArrival(t, l, 0, 1400, 0)
	wantDrop(t, l, 0, 1401, DropMTU)
	if err := l.Set(Config{Down: true}); err != nil {
		t.Fatal(err)
	}
	wantDrop(t, l, ms, 100, DropDown)
	if err := l.Set(Config{}); err != nil {
		t.Fatal(err)
	}
	wantArrival(t, l, 2*ms, 100, 2*ms)
}

func TestLinkKeepsOrderWhenDelayShrinks(t *testing.T) {
	l := newLink(t, Config{Delay: 50 * ms}, 1)
	wantArrival(t, l, 0, 100, 50*ms)
	if err := l.Set(Config{Delay: 10 * ms}); err != nil {
		t.Fatal(err)
	}
	wantArrival(t, l, 1*ms, 100, 50*ms)
	wantArrival(t, l, 60*ms, 100, 70*ms)
	if err := l.Set(Config{Delay: 5 * ms, Reorder: true}); err != nil {
		t.Fatal(err)
	}
	wantArrival(t, l, 61*ms, 100, 66*ms)
}

func TestLossShare(t *testing.T) {
	const n = 100_000
	for _, tc := range []struct {
		name  string
		loss  Loss
		share float64
		run   float64 // mean length of a run of losses
	}{
		{"independent", Independent(0.02), 0.02, 1 / 0.98},
		{"bursts of 5", Bursts(0.02, 5), 0.02, 5},
		{"all", Independent(1), 1, n},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const seed = 42
			l := newLink(t, Config{Loss: tc.loss}, seed)
			lost, runs, inRun := 0, 0, false
			for range n {
				_, drop := l.Send(t0, 100)
				if drop == DropLoss {
					lost++
					if !inRun {
						runs++
					}
				}
				inRun = drop == DropLoss
			}
			if got := float64(lost) / n; math.Abs(got-tc.share) > tc.share/10 {
				t.Errorf("seed %d: lost %.4f of the datagrams, want %.4f", seed, got, tc.share)
			}
			if got := float64(lost) / float64(runs); math.Abs(got-tc.run) > tc.run/10 {
				t.Errorf("seed %d: mean run of losses %.2f, want %.2f", seed, got, tc.run)
			}
		})
	}
}

// Whatever the configuration and however it changes: nothing arrives before its
// delay and serialisation, order is kept unless given up, what is counted adds
// up, and the same seed gives the same arrivals.
func TestLinkProperties(t *testing.T) {
	config := rapid.Custom(func(t *rapid.T) Config {
		return Config{
			Delay:      time.Duration(rapid.Int64Range(0, int64(200*ms)).Draw(t, "delay")),
			Jitter:     time.Duration(rapid.SampledFrom([]int64{0, int64(ms), int64(50 * ms)}).Draw(t, "jitter")),
			Reorder:    rapid.Bool().Draw(t, "reorder"),
			RateBps:    rapid.SampledFrom([]int64{0, 1_000_000, 50_000_000}).Draw(t, "rate"),
			QueueBytes: rapid.IntRange(0, 20_000).Draw(t, "queue"),
			Loss:       Independent(rapid.SampledFrom([]float64{0, 0.1, 1}).Draw(t, "loss")),
			MTU:        rapid.SampledFrom([]int{0, 1400}).Draw(t, "mtu"),
			Down:       rapid.IntRange(0, 9).Draw(t, "down") == 0,
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		cfg := config.Draw(t, "config")
		one, err := NewLink(cfg, rand.New(rand.NewPCG(seed, 0)))
		if err != nil {
			t.Fatal(err)
		}
		two, _ := NewLink(cfg, rand.New(rand.NewPCG(seed, 0)))
		now, last := t0, time.Time{}
		for n := range uint64(rapid.IntRange(1, 60).Draw(t, "packets")) {
			if rapid.IntRange(0, 19).Draw(t, "change") == 0 {
				cfg = config.Draw(t, "config")
				if one.Set(cfg) != nil || two.Set(cfg) != nil {
					t.Fatal("a valid config was refused")
				}
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*ms)).Draw(t, "pause")))
			size := rapid.IntRange(1, 1500).Draw(t, "size")
			at, drop := one.Send(now, size)
			if again, againDrop := two.Send(now, size); !again.Equal(at) || againDrop != drop {
				t.Fatalf("the same seed gave %v %v and %v %v", at, drop, again, againDrop)
			}
			if c := one.Counts(); c.Packets+c.Lost() != n+1 {
				t.Fatalf("%d packets and %d lost after %d", c.Packets, c.Lost(), n+1)
			}
			if drop != DropNone {
				continue
			}
			least := now.Add(cfg.Delay)
			if cfg.RateBps > 0 {
				least = least.Add(time.Duration(int64(size) * 8 * int64(time.Second) / cfg.RateBps))
			}
			if at.Before(least) {
				t.Fatalf("sent at %v, arrives at %v, before %v", now, at, least)
			}
			if !cfg.Reorder && at.Before(last) {
				t.Fatalf("arrives at %v, the one before it at %v", at, last)
			}
			last = at
		}
	})
}

func TestConfigValidate(t *testing.T) {
	for _, bad := range []Config{
		{Delay: -1},
		{Delay: 2 * time.Hour},
		{Jitter: -1},
		{RateBps: -1},
		{RateBps: math.MaxInt64},
		{QueueBytes: -1},
		{MTU: -1},
		{Loss: Independent(1.1)},
		{Loss: Loss{Bad: math.NaN()}},
	} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if _, err := NewLink(Config{Delay: -1}, nil); err == nil {
		t.Error("NewLink accepts a negative delay")
	}
}

func TestSendDoesNotAllocate(t *testing.T) {
	l := newLink(t, Config{Delay: ms, Jitter: ms, RateBps: 1e9, Loss: Bursts(0.01, 3)}, 1)
	if n := testing.AllocsPerRun(1000, func() { l.Send(t0, 1200) }); n != 0 {
		t.Errorf("%v allocations per datagram", n)
	}
}
