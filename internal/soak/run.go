package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v4"
)

// Run soaks. It must be called in a synctest bubble. The error says that it could
// not; what it found is in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n, err := newNode(cfg) //nolint:contextcheck // it ends when all others have
	if err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	r := &run{cfg: cfg, node: n, start: time.Now()}
	r.report.Config = cfg
	time.Sleep(settle)
	r.report.Idle = r.look(0)
	err = errors.Join(r.run(ctx), n.close())
	time.Sleep(settle) // virtual: pion's last timers run out
	if err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	r.judge()
	return &r.report, nil
}

// settle is how long what ended may take to be gone: the relay keeps tracks that
// nobody reads for a while, and so does ICE its sockets.
const settle = 20 * time.Second

type run struct {
	cfg    Config
	node   *node
	start  time.Time
	tally  tally
	report Report

	viewers atomic.Int64
	joins   atomic.Uint64

	mu   sync.Mutex
	errs []error
}

func (r *run) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) < 20 {
		r.errs = append(r.errs, err)
	}
}

func (r *run) run(ctx context.Context) error {
	publishing, unpublish := context.WithCancel(ctx)
	var publisher sync.WaitGroup
	publisher.Go(func() {
		if err := r.node.publish(publishing); err != nil {
			r.failed(err)
		}
	})
	time.Sleep(3 * time.Second)
	hosts := make([]transport.Net, r.cfg.Staying+r.cfg.Passing)
	for i := range hosts {
		var err error
		if hosts[i], err = r.node.host(); err != nil {
			unpublish()
			publisher.Wait()
			return err
		}
	}
	var staying []*viewer
	for _, h := range hosts[:r.cfg.Staying] {
		v, err := r.node.join(ctx, h, &r.tally)
		if err != nil {
			r.failed(err)
			continue
		}
		r.viewers.Add(1)
		staying = append(staying, v)
	}
	for time.Since(r.start) < r.cfg.Length {
		r.pass(ctx, hosts[r.cfg.Staying:], time.Now().Add(r.cfg.Every-settle))
		time.Sleep(settle)
		r.report.Points = append(r.report.Points, r.look(r.node.groups()))
		r.progress("viewers come and go")
	}
	for i, v := range staying {
		if v.seen.Load() == 0 {
			r.failed(fmt.Errorf("viewer %d, which stayed, received nothing", i))
		}
		if err := v.leave(ctx); err != nil {
			r.failed(err)
		}
		r.viewers.Add(-1)
	}
	unpublish()
	publisher.Wait()
	time.Sleep(settle)
	r.report.After = r.look(r.report.last().Groups)
	r.report.Packets, r.report.Repeated = r.tally.packets.Load(), r.tally.repeated.Load()
	r.report.Holes, r.report.Backwards, r.report.Wraps = r.tally.holes.Load(), r.tally.backwards.Load(), r.tally.wraps.Load()
	r.report.Joins, r.report.Signs = r.joins.Load(), r.tally.signs.Load()
	r.report.Behind = uint64(r.node.counted("trellis_rtc_dropped_total", "behind"))
	if h := r.tally.first.Load(); h != nil {
		r.failed(fmt.Errorf("the first hole is of %d packets of %s, after %d packets and %v; the node counts %s",
			h.size, h.codec, h.packet, h.after, r.node.reasons()))
	}
	return nil
}

// pass has viewers join and leave until then.
func (r *run) pass(ctx context.Context, hosts []transport.Net, until time.Time) {
	var places sync.WaitGroup
	for i, h := range hosts {
		places.Go(func() {
			time.Sleep(time.Duration(i) * r.cfg.Stay / time.Duration(len(hosts)))
			for time.Until(until) > r.cfg.Stay {
				v, err := r.node.join(ctx, h, &r.tally)
				if err != nil {
					r.failed(err)
					return
				}
				r.joins.Add(1)
				r.viewers.Add(1)
				r.progress("viewers come and go")
				time.Sleep(r.cfg.Stay/2 + rand.N(r.cfg.Stay/2))
				if v.seen.Load() == 0 {
					r.failed(errors.New("a viewer received nothing"))
				}
				if err := v.leave(ctx); err != nil {
					r.failed(err)
				}
				r.viewers.Add(-1)
			}
		})
	}
	places.Wait()
	time.Sleep(time.Until(until))
}

func (r *run) progress(phase string) {
	r.cfg.Progress(phase, time.Since(r.start), r.cfg.Length, int(r.viewers.Load()))
}

// look counts what is there.
func (r *run) look(groups uint64) Point {
	runtime.GC()
	runtime.GC() // what finalizers and pools held in the first
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/objects:objects"}}
	metrics.Read(sample)
	pubs, viewers := r.node.edge.Sessions()
	return Point{
		At: time.Since(r.start), Groups: groups, Heap: sample[0].Value.Uint64(), Objects: sample[1].Value.Uint64(),
		Goroutines: runtime.NumGoroutine(), Publishers: pubs, Viewers: viewers,
		Lanes: int(r.node.count("trellis_rtc_lanes")), Tracks: r.tracks(),
	}
}

func (r *run) tracks() int {
	n := 0
	for _, b := range r.node.table.Status() {
		n += len(b.Tracks)
	}
	return n
}
