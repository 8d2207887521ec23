package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
)

// fanoutScenario asks what a relay's log costs for each reader, without any
// network: readers that one goroutine walks, as an egress lane does, and
// readers that each sleep in a goroutine of their own, as MoQ viewers do.
func fanoutScenario() scenario {
	const derived = "alloc_per_object_and_reader"
	return scenario{
		name:  "fanout",
		title: "relay: 1,200 B objects from one writer to 1, 10 and 1,000 readers, in memory",
		open:  openFanout,
		derive: func(round map[string]metrics) metrics {
			// The log allocates now and then whatever the number of readers; what
			// each reader adds is the slope.
			m := metrics{}
			for _, way := range []string{"walked", "woken"} {
				few, many := round[way+"/1"], round[way+"/1000"]
				m[way+"_"+derived] = max(0, many["alloc_per_object"]-few["alloc_per_object"]) / 999
			}
			return m
		},
		targets: []target{
			// Not zero, because the runtime itself allocates while we look.
			{derivedCase, "walked_" + derived, 0.0005},
			{derivedCase, "woken_" + derived, 0.0005},
		},
	}
}

func openFanout(context.Context) ([]benchCase, func() error, error) {
	counts := []int{1, 10, 1000}
	cases := make([]benchCase, 0, 2*len(counts))
	for _, readers := range counts {
		objects := max(2_000, 600_000/readers/10)
		cases = append(cases,
			benchCase{fmt.Sprintf("walked/%d", readers), func(context.Context, time.Duration) (metrics, error) {
				return fanout(readers, objects, (*fanoutRun).walk)
			}},
			benchCase{fmt.Sprintf("woken/%d", readers), func(context.Context, time.Duration) (metrics, error) {
				return fanout(readers, objects, (*fanoutRun).wake)
			}})
	}
	return cases, func() error { return nil }, nil
}

const (
	fanoutObjectBytes  = 1200
	fanoutGroupObjects = 60
	fanoutWarmUp       = 300 // objects, so that buffers have been made
)

// fanout measures one way of reading.
func fanout(readers, objects int, drive func(*fanoutRun, int) (used, error)) (metrics, error) {
	f, err := newFanoutRun(readers)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if _, err := drive(f, fanoutWarmUp); err != nil {
		return nil, err
	}
	u, err := drive(f, objects)
	if err != nil {
		return nil, err
	}
	n := float64(objects)
	return metrics{
		"cpu_ns_per_object":            float64(u.cpu) / n,
		"cpu_ns_per_object_and_reader": float64(u.cpu) / n / float64(readers),
		"alloc_per_object":             float64(u.mallocs) / n,
	}, nil
}

// fanoutRun is a track with its writer and readers.
type fanoutRun struct {
	track   *relay.Track
	subs    []*relay.Subscription
	readers []*relay.GroupReader
	payload []byte
	group   *relay.Group
	seq     uint64
	object  uint64
}

func newFanoutRun(readers int) (*fanoutRun, error) {
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		return nil, err
	}
	name, err := wire.ParseBroadcast("bench/fanout")
	if err != nil {
		return nil, err
	}
	b, err := table.Announce(relay.Announcement{Name: name, Epoch: 1, PublisherID: 1, Origin: "bench", Local: true}, nil)
	if err != nil {
		return nil, err
	}
	track, err := b.PushTrack("video", wire.TrackInfo{Kind: wire.KindVideo, Timescale: 1_000_000})
	if err != nil {
		return nil, err
	}
	f := &fanoutRun{track: track, payload: make([]byte, fanoutObjectBytes), readers: make([]*relay.GroupReader, readers)}
	for range readers {
		s, err := table.Subscribe(track.Name(), relay.SubscribeOptions{Kind: relay.ReaderMoQ, Viewers: 1})
		if err != nil {
			return nil, err
		}
		f.subs = append(f.subs, s)
	}
	return f, nil
}

func (f *fanoutRun) close() {
	for i, s := range f.subs {
		if f.readers[i] != nil {
			f.readers[i].Close()
		}
		s.Close()
	}
	f.track.Close(nil)
}

func (f *fanoutRun) write() error {
	if f.group == nil || f.object == fanoutGroupObjects {
		if f.group != nil {
			f.group.Close()
		}
		var err error
		if f.group, err = f.track.Group(f.seq); err != nil {
			return err
		}
		f.seq, f.object = f.seq+1, 0
	}
	err := f.group.Write(f.object, relay.ObjectHeader{}, f.payload)
	f.object++
	return err
}

// walk lets one goroutine visit all readers after each object.
func (f *fanoutRun) walk(objects int) (used, error) {
	return metered(func() error {
		for range objects {
			if err := f.write(); err != nil {
				return err
			}
			for i := range f.subs {
				if err := f.take(i); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// take reads reader i's next object, which is there already.
func (f *fanoutRun) take(i int) error {
	for {
		if f.readers[i] == nil {
			r, err := f.subs[i].TryNextGroup()
			if err != nil {
				return err
			}
			if r == nil {
				return fmt.Errorf("reader %d finds no group", i)
			}
			f.readers[i] = r
		}
		_, ok, err := f.readers[i].TryNext()
		switch {
		case errors.Is(err, io.EOF):
			f.readers[i].Close()
			f.readers[i] = nil
		case err != nil:
			return err
		case !ok:
			return fmt.Errorf("reader %d finds no object", i)
		default:
			return nil
		}
	}
}

// wake lets each reader sleep in its own goroutine until the object is there;
// the writer goes on when all have it.
func (f *fanoutRun) wake(objects int) (used, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var waiting atomic.Int64
	all := make(chan struct{}, 1)
	var started, running sync.WaitGroup
	started.Add(len(f.subs))
	for i := range f.subs {
		running.Go(func() {
			started.Done()
			for range objects {
				if err := f.await(ctx, i); err != nil {
					cancel(err)
					return
				}
				if waiting.Add(-1) == 0 {
					all <- struct{}{}
				}
			}
		})
	}
	started.Wait()
	u, err := metered(func() error {
		for range objects {
			waiting.Store(int64(len(f.subs)))
			if err := f.write(); err != nil {
				return err
			}
			select {
			case <-all:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	if err != nil {
		cancel(err)
	}
	running.Wait()
	return u, err
}

// await waits for reader i's next object.
func (f *fanoutRun) await(ctx context.Context, i int) error {
	for {
		if f.readers[i] == nil {
			r, err := f.subs[i].NextGroup(ctx)
			if err != nil {
				return err
			}
			f.readers[i] = r
		}
		_, err := f.readers[i].Next(ctx)
		if !errors.Is(err, io.EOF) {
			return err
		}
		f.readers[i].Close()
		f.readers[i] = nil
	}
}
