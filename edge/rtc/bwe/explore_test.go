package bwe

import (
	"os"
	"testing"
	"time"

	"trellis/internal/impair"
)

func TestExplore(t *testing.T) {
	type sc struct {
		name string
		cfg  worldConfig
		src  source
		run  func(w *world)
	}
	long := func(w *world) { w.run(30 * time.Second) }
	link := func(bps int64) worldConfig {
		return worldConfig{seed: 1, forward: impair.Config{Delay: 25 * ms, RateBps: bps}, back: 25 * ms}
	}
	with := func(c worldConfig, f func(*worldConfig)) worldConfig { f(&c); return c }
	for _, s := range []sc{
		{"300k", link(300 * kbps), adaptive(4 * mbps), long},
		{"1M", link(1 * mbps), adaptive(4 * mbps), long},
		{"4M", link(4 * mbps), adaptive(8 * mbps), long},
		{"20M", link(20 * mbps), adaptive(40 * mbps), long},
		{"1M-loss2", with(link(1*mbps), func(c *worldConfig) { c.forward.Loss = impair.Independent(.02) }), adaptive(4 * mbps), long},
		{"1M-jitter", with(link(1*mbps), func(c *worldConfig) { c.forward.Jitter = 200 * ms }), adaptive(4 * mbps), long},
		{"1M-jitter-reorder", with(link(1*mbps), func(c *worldConfig) { c.forward.Jitter = 200 * ms; c.forward.Reorder = true }), adaptive(4 * mbps), long},
		{"drop", link(4 * mbps), adaptive(8 * mbps), func(w *world) {
			w.run(10 * time.Second)
			w.set(func(c *impair.Config) { c.RateBps = 500 * kbps })
			w.run(10 * time.Second)
			w.set(func(c *impair.Config) { c.RateBps = 4 * mbps })
			w.run(10 * time.Second)
		}},
		{"layers-1M", link(1 * mbps), layered(150*kbps, 500*kbps, 2*mbps), long},
		{"layers-drop", link(4 * mbps), layered(150*kbps, 500*kbps, 2*mbps), func(w *world) {
			w.run(10 * time.Second)
			w.set(func(c *impair.Config) { c.RateBps = 500 * kbps })
			w.run(10 * time.Second)
			w.set(func(c *impair.Config) { c.RateBps = 4 * mbps })
			w.run(10 * time.Second)
		}},
		{"outage", link(2 * mbps), adaptive(4 * mbps), func(w *world) {
			w.run(10 * time.Second)
			w.set(func(c *impair.Config) { c.Down = true })
			w.run(3 * time.Second)
			w.set(func(c *impair.Config) { c.Down = false })
			w.run(10 * time.Second)
		}},
		{"outage-held", with(link(2*mbps), func(c *worldConfig) { c.held = true }), adaptive(4 * mbps), func(w *world) {
			w.run(10 * time.Second)
			w.set(func(c *impair.Config) { c.Down = true })
			w.run(3 * time.Second)
			w.set(func(c *impair.Config) { c.Down = false })
			w.run(10 * time.Second)
		}},
		{"limited", link(4 * mbps), constant(300 * kbps), long},
		{"limited-1M", link(1 * mbps), constant(600 * kbps), long},
		{"rtt300-loss5", with(link(1*mbps), func(c *worldConfig) {
			c.forward.Loss = impair.Independent(.05)
			c.forward.Delay, c.back = 150*ms, 150*ms
		}), adaptive(4 * mbps), long},
		{"lumps-2M", with(link(2*mbps), func(c *worldConfig) { c.lump = 10 * ms }), adaptive(8 * mbps), long},
		{"lumps20-bursts", with(link(2*mbps), func(c *worldConfig) { c.lump = 20 * ms; c.bursts = true }), layered(150*kbps, 500*kbps, 8*mbps), long},
		{"rival", with(link(4*mbps), func(c *worldConfig) { c.forward.QueueBytes = 100_000 }), adaptive(8 * mbps), func(w *world) {
			w.run(5 * time.Second)
			w.bulk = newBulk(25 * ms)
			w.run(55 * time.Second)
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, s.cfg, s.src)
			s.run(w)
			l, m, h := w.rates(w.now/2, w.now)
			t.Logf("last half: %d %d %d kbit/s, %d probes, padding %d", int(l/kbps), int(m/kbps), int(h/kbps), w.probes, w.padding)
			if w.bulk != nil {
				t.Logf("bulk %d kbit/s", w.bulk.received*8/int((w.now-5*time.Second)/ms))
			}
			if os.Getenv("TRACE") != "" {
				t.Log("\n" + w.trace.String())
			}
		})
	}
}
