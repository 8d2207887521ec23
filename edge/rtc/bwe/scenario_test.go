package bwe

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"trellis/internal/impair"
)

// scenario is a path, what is sent on it, and what the estimate must be like.
type scenario struct {
	name string
	cfg  worldConfig
	src  func() source
	run  func(w *world)
	want []want
}

// want is a figure of the run: from least to most.
type want struct {
	what        string
	get         func(w *world) float64
	least, most float64
}

func TestScenarios(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			for seed := range seeds() {
				s.cfg.seed = seed
				w := newWorld(t, s.cfg, s.src())
				s.run(w)
				failed := false
				figures := ""
				for _, want := range s.want {
					got := want.get(w)
					figures += fmt.Sprintf("  %s %.2f", want.what, got)
					if !(got >= want.least && got <= want.most) {
						t.Errorf("seed %d: %s is %.3f, want from %v to %v", seed, want.what, got, want.least, want.most)
						failed = true
					}
				}
				t.Logf("seed %d:%s  probes %d, %d kB", seed, figures, w.probes, w.padding/1000)
				if failed || trace {
					t.Log("\n" + w.trace.String())
				}
			}
		})
	}
}

// seeds is how many worlds a scenario is played in: BWE_SEEDS for a survey.
func seeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("BWE_SEEDS"), 10, 16); err == nil {
		return n
	}
	return 8
}

// path is a link of some rate and 50 ms of round trip.
func path(bps int64, changes ...func(*worldConfig)) worldConfig {
	cfg := worldConfig{forward: impair.Config{Delay: 25 * ms, RateBps: bps}, back: 25 * ms}
	for _, change := range changes {
		change(&cfg)
	}
	return cfg
}

// steady lets 40 s pass.
func steady(w *world) { w.run(40 * time.Second) }

// settled wants the second half of the time to be about the link's rate: on
// average, and nearly always.
func settled(bps float64) []want {
	return []want{
		{"mean", func(w *world) float64 {
			_, mean, _ := w.rates(w.now/2, w.now)
			return mean / bps
		}, 0.85, 1.05},
		{"time within", func(w *world) float64 { return w.within(w.now/2, w.now, 0.85*bps, 1.05*bps) }, 0.95, 1},
		quickly(bps),
	}
}

// quickly wants it to be near the link's rate after a second.
func quickly(bps float64) want {
	return want{"after 1 s", func(w *world) float64 {
		_, mean, _ := w.rates(1000*ms, 1500*ms)
		return mean / bps
	}, 0.6, 1.1}
}

// soon wants the same of what is known to be left once the queue has drained that
// the first guess has filled.
func soon(bps float64) want {
	return want{"known after 1 s", func(w *world) float64 {
		sum, samples := 0.0, w.between(1000*ms, 1500*ms)
		for _, s := range samples {
			sum += float64(s.est.SustainedBps)
		}
		return sum / float64(len(samples)) / bps
	}, 0.6, 1.1}
}

// within is the share of the time in which the estimate is between two rates.
func (w *world) within(from, to time.Duration, least, most float64) float64 {
	samples := w.between(from, to)
	n := 0
	for _, s := range samples {
		if bps := float64(s.est.Bps); bps >= least && bps <= most {
			n++
		}
	}
	return float64(n) / float64(len(samples))
}

// mean wants the mean estimate over a time to be some share of a rate.
func mean(what string, from, to time.Duration, bps, least, most float64) want {
	return want{what, func(w *world) float64 {
		_, mean, _ := w.rates(from, to)
		return mean / bps
	}, least, most}
}

// after wants something to be within some seconds after a time.
func after(what string, from time.Duration, is func(Estimate) bool, seconds float64) want {
	return want{what, func(w *world) float64 { return w.first(from, is).Seconds() }, 0, seconds}
}

func atLeast(bps float64) func(Estimate) bool {
	return func(e Estimate) bool { return float64(e.Bps) >= bps }
}

func below(bps float64) func(Estimate) bool {
	return func(e Estimate) bool { return float64(e.Bps) < bps }
}

func during(s State) func(Estimate) bool { return func(e Estimate) bool { return e.State == s } }

func greedy() source { return adaptive(40 * mbps) }

func layers() source { return layered(150*kbps, 500*kbps, 2*mbps) }

// change runs to a time and then changes the link.
func (w *world) at(t time.Duration, change func(*impair.Config)) {
	w.run(t - w.now)
	w.set(change)
}

func toRate(bps int64) func(*impair.Config) { return func(c *impair.Config) { c.RateBps = bps } }

func down(d bool) func(*impair.Config) { return func(c *impair.Config) { c.Down = d } }

func scenarios() []scenario {
	random := func(share float64) func(*worldConfig) {
		return func(c *worldConfig) { c.forward.Loss = impair.Independent(share) }
	}
	drop := func(w *world) {
		w.at(10*time.Second, toRate(500*kbps))
		w.at(20*time.Second, toRate(4*mbps))
		w.run(10 * time.Second)
	}
	dropped := []want{
		after("s to notice", 10*time.Second, during(Decrease), 0.3),
		after("s to 0.5 Mbit/s", 10*time.Second, below(0.5*mbps), 0.4),
		mean("drained", 15*time.Second, 20*time.Second, 0.5*mbps, 0.85, 1.05),
	}
	out := func(w *world) {
		w.at(10*time.Second, down(true))
		w.at(13*time.Second, down(false))
		w.run(7 * time.Second)
	}
	outages := []want{
		after("s to outage", 10*time.Second, during(Outage), 1),
		after("s to 80 %", 13*time.Second, atLeast(1.5*mbps), 2),
		mean("after", 16*time.Second, 20*time.Second, 2*mbps, 0.85, 1.05),
	}
	lumps := func(lump time.Duration, bursts bool) func(*worldConfig) {
		return func(c *worldConfig) { c.lump, c.bursts = lump, bursts }
	}
	bounded := func(bps, least float64) want {
		return want{"most", func(w *world) float64 {
			_, _, most := w.rates(0, w.now)
			return most / bps
		}, least, 1.1}
	}
	rival := func(w *world) {
		w.run(5 * time.Second)
		w.bulk = newBulk(25 * ms)
		w.run(60 * time.Second)
	}
	return []scenario{
		// The first guess is thrice what the link carries: until 1.5 s its queue drains.
		{"steady 300 kbit/s", path(300 * kbps), greedy, steady, append(settled(300 * kbps)[:2], soon(300*kbps))},
		{"steady 1 Mbit/s", path(1 * mbps), greedy, steady, settled(1 * mbps)},
		{"steady 4 Mbit/s", path(4 * mbps), greedy, steady, settled(4 * mbps)},
		{"steady 20 Mbit/s", path(20 * mbps), greedy, steady, settled(20 * mbps)},
		{"feedback every 100 ms", path(1*mbps, func(c *worldConfig) { c.interval = 100 * ms }), greedy, steady, settled(1 * mbps)},
		{"probes at once", path(1*mbps, func(c *worldConfig) { c.bursts = true }), greedy, steady, settled(1 * mbps)},
		{"layers on 1 Mbit/s", path(1 * mbps), layers, steady, settled(1 * mbps)},
		{"2 % random loss", path(1*mbps, random(0.02)), greedy, steady, settled(1 * mbps)},
		{"10 % of the feedback lost", path(1*mbps, func(c *worldConfig) { c.backLoss = 0.1 }), greedy, steady, settled(1 * mbps)},
		{"clock fast by 200 ppm", path(1*mbps, func(c *worldConfig) { c.drift = 200e-6 }), greedy, steady, settled(1 * mbps)},
		{"clock slow by 200 ppm", path(1*mbps, func(c *worldConfig) { c.drift = -200e-6 }), greedy, steady, settled(1 * mbps)},
		{"queue of 50 ms", path(1*mbps, func(c *worldConfig) { c.forward.QueueBytes = 6250 }), greedy, steady, settled(1 * mbps)[:1]},
		{"jitter", path(1*mbps, func(c *worldConfig) { c.forward.Jitter = 200 * ms }), greedy, steady, settled(1 * mbps)[:1]},
		{"jitter that reorders", path(1*mbps, func(c *worldConfig) {
			c.forward.Jitter, c.forward.Reorder = 200*ms, true
		}), greedy, steady, settled(1 * mbps)[:1]},
		{"jitter that reorders, layers", path(4*mbps, func(c *worldConfig) {
			c.forward.Jitter, c.forward.Reorder, c.ctrl.Start = 200*ms, true, 500*kbps
		}), func() source { return layered(150*kbps, 500*kbps, 1700*kbps) }, steady, []want{
			after("s to the highest", 0, atLeast(1.7*mbps), 5), mean("mean", 10*time.Second, 40*time.Second, 4*mbps, 0.4, 1),
		}},
		{"300 ms, 5 % loss", path(1*mbps, random(0.05), func(c *worldConfig) {
			c.forward.Delay, c.back = 150*ms, 150*ms
		}), greedy, steady, settled(1 * mbps)[:1]},
		{"drop and rise", path(4 * mbps), greedy, drop, append(slices.Clone(dropped),
			after("s to rise", 20*time.Second, atLeast(3.4*mbps), 3))},
		{"drop and rise, layers", path(4 * mbps), layers, drop, append(dropped[:2:2],
			after("s to rise", 20*time.Second, atLeast(2*mbps), 3))},
		{"outage", path(2 * mbps), greedy, out, outages},
		{"feedback held up", path(2*mbps, func(c *worldConfig) { c.held = true }), greedy, out, outages},
		{"application limited", path(4 * mbps), func() source { return constant(300 * kbps) }, steady, []want{
			mean("mean", 20*time.Second, 40*time.Second, 4*mbps, 0.24, 1.05), bounded(4*mbps, 0.24),
		}},
		{"application limited, key frames", path(4 * mbps), func() source {
			m := constant(600 * kbps)
			m.keyEvery = 2 * time.Second
			return m
		}, steady, []want{mean("mean", 20*time.Second, 40*time.Second, 4*mbps, 0.24, 1.05), bounded(4*mbps, 0.24)}},
		{"lumps of 5 ms", path(2*mbps, lumps(5*ms, false)), greedy, steady, append(settled(2 * mbps)[:1], bounded(2*mbps, 0.8))},
		{"lumps of 10 ms", path(2*mbps, lumps(10*ms, true)), greedy, steady, append(settled(2 * mbps)[:1], bounded(2*mbps, 0.8))},
		{
			"lumps of 20 ms, layers", path(2*mbps, lumps(20*ms, true)), func() source { return layered(150*kbps, 500*kbps, 8*mbps) },
			steady,
			[]want{mean("mean", 20*time.Second, 40*time.Second, 2*mbps, 0.5, 1.1), bounded(2*mbps, 0.5)},
		},
		{
			"lumps of 10 ms, limited", path(2*mbps, lumps(10*ms, true)), func() source { return constant(600 * kbps) },
			steady,
			[]want{mean("mean", 20*time.Second, 40*time.Second, 2*mbps, 0.4, 1.1), bounded(2*mbps, 0.4)},
		},
		{
			"drop and rise, feedback every 100 ms", path(4*mbps, func(c *worldConfig) { c.interval = 100 * ms }), greedy, drop,
			append(dropped[1:2:2], after("s to rise", 20*time.Second, atLeast(3.4*mbps), 3)),
		},
		{
			"drop and rise, 300 ms", path(4*mbps, func(c *worldConfig) { c.forward.Delay, c.back = 150*ms, 150*ms }), greedy, drop,
			append(dropped[2:3:3], after("s to rise", 20*time.Second, atLeast(3.4*mbps), 5)),
		},
		{"drop, policer", path(4*mbps, func(c *worldConfig) { c.forward.QueueBytes = 3000 }), greedy, drop, dropped[2:3:3]},
		{"20 % random loss", path(1*mbps, random(0.2)), greedy, steady, []want{mean("mean", 20*time.Second, 40*time.Second, 1*mbps, 0.3, 1.05)}},
		{"route longer by 80 ms", path(4 * mbps), func() source { return constant(600 * kbps) }, func(w *world) {
			w.at(10*time.Second, func(c *impair.Config) { c.Delay += 80 * ms })
			w.run(30 * time.Second)
		}, []want{mean("mean", 20*time.Second, 40*time.Second, 1*mbps, 0.5, 4.2)}},
		{"route longer by 80 ms, filled", path(4 * mbps), greedy, func(w *world) {
			w.at(10*time.Second, func(c *impair.Config) { c.Delay += 80 * ms })
			w.run(30 * time.Second)
		}, []want{mean("mean", 10*time.Second, 40*time.Second, 4*mbps, 0.5, 1.05)}},
		{"idle", path(4 * mbps), func() source {
			m := adaptive(40 * mbps)
			return pausing{m}
		}, func(w *world) { w.run(30 * time.Second) }, []want{mean("mean", 10*time.Second, 30*time.Second, 4*mbps, 0.85, 1.05)}},
		{
			"stall", path(2*mbps, func(c *worldConfig) { c.stall = stall{from: 10 * time.Second, to: 13 * time.Second} }), greedy,
			func(w *world) { w.run(20 * time.Second) }, outages,
		},
		{"rival on 1 Mbit/s", path(1*mbps, func(c *worldConfig) { c.forward.QueueBytes = 40_000 }), greedy, rival, []want{
			mean("ours", 15*time.Second, 65*time.Second, 1*mbps, 0.2, 0.8),
			{"its", func(w *world) float64 { return float64(w.bulk.received) * 8 / 60 / (1 * mbps) }, 0.2, 0.8},
		}},
		{"rival, short queue", path(10*mbps, func(c *worldConfig) { c.forward.QueueBytes = 60_000 }), greedy, rival, []want{
			mean("ours", 15*time.Second, 65*time.Second, 10*mbps, 0.2, 0.8),
			{"its", func(w *world) float64 { return float64(w.bulk.received) * 8 / 60 / (10 * mbps) }, 0.2, 0.8},
		}},
		{"shaper", path(100*mbps, func(c *worldConfig) {
			c.bucket = bucket{rate: 1 * mbps, size: 20_000, tokens: 20_000}
		}), layers, steady, []want{mean("mean", 20*time.Second, 40*time.Second, 1*mbps, 0.7, 1.3)}},
		{"rival", path(4*mbps, func(c *worldConfig) { c.forward.QueueBytes = 100_000 }), greedy, rival, []want{
			mean("ours", 15*time.Second, 65*time.Second, 4*mbps, 0.2, 0.8),
			{"its", func(w *world) float64 { return float64(w.bulk.received) * 8 / 60 / (4 * mbps) }, 0.2, 0.8},
		}},
	}
}

var trace = os.Getenv("BWE_TRACE") != ""
