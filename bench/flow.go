package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
)

// flow is one track of equal objects, written by us at one end of a chain and
// read by us further down. Objects are numbered through: number n is object
// n%group of group n/group.
type flow struct {
	track   *relay.Track
	group   int
	payload []byte
	open    *relay.Group
	next    int // number of the object to write next; owned by the writer
}

func newFlow(b *relay.Broadcast, name string, kind wire.Kind, size, group int) (*flow, error) {
	track, err := b.PushTrack(name, wire.TrackInfo{Kind: kind, Timescale: 1_000_000, MaxLatency: 2 * time.Second})
	if err != nil {
		return nil, err
	}
	return &flow{track: track, group: group, payload: make([]byte, size)}, nil
}

// write adds the next object.
func (f *flow) write() error {
	index := uint64(f.next % f.group)
	if index == 0 {
		if f.open != nil {
			f.open.Close()
		}
		var err error
		if f.open, err = f.track.Group(uint64(f.next / f.group)); err != nil {
			return err
		}
	}
	now := time.Now().UnixMicro()
	f.next++
	return f.open.Write(index, relay.ObjectHeader{Time: now, Ingress: now}, f.payload)
}

// follow reads a subscription, group after group, and calls whole with the
// number of each object when its last byte is there, until ctx ends.
func (f *flow) follow(ctx context.Context, sub *relay.Subscription, whole func(n int, at time.Time)) error {
	for {
		g, err := sub.NextGroup(ctx)
		if err != nil {
			return stopped(ctx, err)
		}
		if err := f.followGroup(ctx, g, whole); err != nil {
			return stopped(ctx, err)
		}
	}
}

func (f *flow) followGroup(ctx context.Context, g *relay.GroupReader, whole func(n int, at time.Time)) error {
	defer g.Close()
	for {
		c, err := g.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if c.Last {
			whole(int(g.Seq())*f.group+int(c.Object), time.Now())
		}
	}
}

// stopped drops the error of a reader that was told to stop.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// delays collects latencies from many goroutines.
type delays struct {
	mu     sync.Mutex
	values []time.Duration
}

func (d *delays) add(v time.Duration) {
	d.mu.Lock()
	d.values = append(d.values, v)
	d.mu.Unlock()
}

// take returns what was collected, sorted, and forgets it.
func (d *delays) take() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	values := d.values
	d.values = nil
	slices.Sort(values)
	return values
}

// micros is the value in microseconds that a share of sorted values does not
// exceed, zero if there are none.
func micros(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	v := sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
	return float64(v) / float64(time.Microsecond)
}
