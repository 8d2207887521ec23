package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// sweepEvery is how often the table is swept, and how often the node proves
	// that it makes progress.
	sweepEvery = 100 * time.Millisecond
	// stuckAfter is far above what a busy machine does to a timer.
	stuckAfter = 5 * time.Second
)

// health is what a node knows of itself, by its own clock alone: nothing of it
// depends on another service or node.
type health struct {
	beat     atomic.Int64 // the last sweep, in nanoseconds since start
	start    time.Time    // has a monotonic reading
	draining atomic.Bool
	lag      prometheus.Histogram
}

func newHealth() *health {
	return &health{
		start: time.Now(),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "trellis_node_timer_lag_seconds",
			Help:    "How late the node's own timers fire: a busy processor delays everything by as much.",
			Buckets: []float64{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1},
		}),
	}
}

// alive reports whether the node made progress lately.
func (h *health) alive() bool {
	return time.Since(h.start)-time.Duration(h.beat.Load()) < stuckAfter
}

// ready reports whether new work should come here, as far as the node itself
// knows.
func (h *health) ready() bool { return h.alive() && !h.draining.Load() }

// run sweeps until ctx ends.
func (h *health) run(ctx context.Context, sweep func(time.Time)) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case due := <-ticker.C:
			now := time.Now()
			h.lag.Observe(now.Sub(due).Seconds())
			h.beat.Store(int64(now.Sub(h.start)))
			sweep(now)
		}
	}
}
