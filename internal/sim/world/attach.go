package world

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/internal/sim"
	"trellis/wire"
)

// openRetry is how long after a refusal a viewer asks again, as clients do.
const (
	openRetry = 250 * time.Millisecond
	openTries = 20
)

// openSinks asks a node for the broadcast, as often as a client would.
func (w *World) openSinks(ctx context.Context, at int) (*rtc.Sinks, error) {
	edge := w.cluster.Node(w.places[at].ID).WebRTC()
	for try := 1; ; try++ {
		sinks, err := edge.OpenSinks(ctx, wire.Broadcast(broadcast))
		if err == nil || ctx.Err() != nil || try == openTries {
			return sinks, err
		}
		w.note("%s: a viewer was told: %v", w.places[at].ID, err)
		if !pause(ctx, openRetry) {
			return nil, context.Cause(ctx)
		}
	}
}

// writer makes the sinks of one viewer, who wished to watch at a time.
func (c *crowd) writer(wished time.Time) func(framing.Codec) rtc.SinkWriter {
	return func(codec framing.Codec) rtc.SinkWriter {
		m := sim.Video
		if codec.Audio() {
			m = sim.Audio
		}
		return c.sink(m, wished)
	}
}

// watcher is a real client, with all that belongs to one.
type watcher struct {
	node   int
	kind   string
	wished time.Time // when it wished to watch
	client *sim.Client
	watch  *sim.Watch
}

// joinMs is the time from the wish to watch to the first picture, all handshakes
// included; negative if none came.
func (r *watcher) joinMs() float64 {
	if got := r.watch.Arrivals(sim.Video); len(got) > 0 {
		return millis(got[0].At.Sub(r.wished))
	}
	return -1
}

func (r *watcher) close() error {
	var errs []error
	if r.watch != nil {
		errs = append(errs, r.watch.Stop())
	}
	return errors.Join(append(errs, r.client.Close())...)
}

// attachClients lets real clients in, at nodes that are spread evenly over the
// regions, over both protocols in turn and at any time while viewers come.
func (w *World) attachClients() {
	var wg sync.WaitGroup
	for k := range w.cfg.Clients {
		at := k * len(w.places) / w.cfg.Clients
		id := w.places[at].ID
		r := &watcher{node: at, kind: "moq"}
		watch := (*sim.Client).WatchMoQ
		if k%2 == 1 {
			r.kind, watch = "whep", (*sim.Client).WatchWHEP
		}
		r.client = sim.NewClient(w.net.Host(fmt.Sprintf("viewer-%d@%s", k, id)), w.cluster.Node(id).Door(), "viewer")
		w.real = append(w.real, r)
		wish := time.Duration(w.rng.Int64N(int64(w.cfg.JoinOver)))
		wg.Go(func() {
			if !pause(w.ctx, wish) {
				return
			}
			r.wished = time.Now()
			ctx, cancel := context.WithTimeout(w.ctx, clientPatience)
			defer cancel()
			var err error
			if r.watch, err = watch(r.client, ctx, w.publish); err != nil {
				w.note("%s: a %s client did not get in: %v", id, r.kind, err)
			}
		})
	}
	wg.Wait()
}

// clientPatience is how long a real client tries to get in.
const clientPatience = 15 * time.Second
