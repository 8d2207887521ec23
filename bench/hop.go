package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/wire"
)

const (
	frameBytes  = 10_400 // 2.5 Mbit/s
	pictureRate = 30     // per second
	cameras     = 40     // 100 Mbit/s together
	packetSize  = 1_200  // to compare with the cost of a packet
)

// hopScenario asks what a byte costs that one node hands to the next, against a
// byte of a plain QUIC stream: both ends together, in one process.
func hopScenario() scenario {
	const cost = "cpu_ns_per_1200_bytes"
	return scenario{
		name:  "hop",
		title: "backbone: from node to node object by object, beside a bulk QUIC stream; real sockets on loopback",
		open:  openHop,
		derive: func(round map[string]metrics) metrics {
			return metrics{
				"flat_out_by_bulk_ratio":    round["flat out"][cost] / round["bulk"][cost],
				"paced_by_paced_bulk_ratio": round["paced"][cost] / round["paced bulk"][cost],
				"paced_by_bulk_ratio":       round["paced"][cost] / round["bulk"][cost],
			}
		},
		// Like is compared with like. The third ratio is mostly what it costs to be
		// woken for every frame, whoever sends it, and has no target.
		targets: []target{{derivedCase, "flat_out_by_bulk_ratio", 2}, {derivedCase, "paced_by_paced_bulk_ratio", 2}},
	}
}

func openHop(ctx context.Context) ([]benchCase, func() error, error) {
	c, err := startChain(ctx, 2)
	if err != nil {
		return nil, nil, err
	}
	pair, err := dialBulk(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, c.close())
	}
	cases := []benchCase{
		{"bulk", pair.flatOut},
		{"paced bulk", pair.paced},
		{"flat out", func(ctx context.Context, slice time.Duration) (metrics, error) { return flatOut(ctx, c, slice) }},
		{"paced", func(ctx context.Context, slice time.Duration) (metrics, error) { return paced(ctx, c, slice) }},
	}
	return cases, func() error { return errors.Join(pair.close(), c.close()) }, nil
}

// flatOut forwards one track as fast as it goes, with a few objects under way.
func flatOut(ctx context.Context, c *chain, slice time.Duration) (metrics, error) {
	const ahead = 16
	p, err := openFlows(ctx, c, 1, frameBytes)
	if err != nil {
		return nil, err
	}
	defer p.close()
	f := p.flows[0]
	credit := make(chan struct{}, 1<<16)
	if err := p.follow(1, func(int, int, time.Time) { credit <- struct{}{} }); err != nil {
		return nil, err
	}
	send := func(d time.Duration) (int, error) {
		sent, flying := 0, 0
		for end := time.Now().Add(d); time.Now().Before(end) || flying > 0; {
			if flying == ahead || !time.Now().Before(end) {
				select {
				case <-credit:
					flying--
				case <-p.ctx.Done():
					return sent, context.Cause(p.ctx)
				}
				continue
			}
			if err := f.write(); err != nil {
				return sent, err
			}
			sent++
			flying++
		}
		return sent, nil
	}
	if _, err := send(slice / 4); err != nil { // to open the window
		return nil, err
	}
	var objects int
	u, err := metered(func() (err error) {
		objects, err = send(slice)
		return err
	})
	if err != nil {
		return nil, err
	}
	return hopMetrics(u, objects, frameBytes), nil
}

// paced forwards forty cameras: each a frame every 33 ms, evenly shifted against
// one another, 100 Mbit/s in all.
func paced(ctx context.Context, c *chain, slice time.Duration) (metrics, error) {
	p, err := openFlows(ctx, c, cameras, frameBytes)
	if err != nil {
		return nil, err
	}
	defer p.close()
	var arrived atomic.Int64
	if err := p.follow(1, func(int, int, time.Time) { arrived.Add(1) }); err != nil {
		return nil, err
	}
	if _, err := p.play(time.Now(), slice/4, cameras*pictureRate); err != nil {
		return nil, err
	}
	arrived.Store(0)
	u, err := metered(func() error {
		_, err := p.play(time.Now(), slice, cameras*pictureRate)
		return err
	})
	if err != nil {
		return nil, err
	}
	return hopMetrics(u, int(arrived.Load()), frameBytes), nil
}

func hopMetrics(u used, objects, size int) metrics {
	bytes := float64(objects) * float64(size)
	return metrics{
		"cpu_ns_per_1200_bytes": float64(u.cpu) / bytes * packetSize,
		"cpu_us_per_object":     float64(u.cpu) / float64(objects) / 1e3,
		"alloc_per_object":      float64(u.mallocs) / float64(objects),
		"mbit_per_s":            bytes * 8 / u.wall.Seconds() / 1e6,
	}
}

// flows are several tracks of a broadcast that a chain carries.
type flows struct {
	ctx    context.Context //nolint:containedctx // of the readers; a measurement is short
	cancel context.CancelCauseFunc
	group  *errgroup.Group
	chain  *chain
	flows  []*flow
	end    func()
}

// openFlows publishes n tracks of one-second groups at the chain's first node.
func openFlows(ctx context.Context, c *chain, n, size int) (*flows, error) {
	b, err := c.publish(fmt.Sprintf("bench/%d", time.Now().UnixNano()))
	if err != nil {
		return nil, err
	}
	p := &flows{chain: c, end: func() { b.End(nil) }}
	ctx, p.cancel = context.WithCancelCause(ctx)
	p.group, p.ctx = errgroup.WithContext(ctx)
	kind := wire.KindVideo
	if size < packetSize {
		kind = wire.KindAudio
	}
	for i := range n {
		f, err := newFlow(b, fmt.Sprintf("track-%d", i), kind, size, 30)
		if err != nil {
			return nil, err
		}
		p.flows = append(p.flows, f)
	}
	return p, nil
}

// follow reads all flows at a node. It returns when they have come there.
func (p *flows) follow(at int, whole func(flow, n int, at time.Time)) error {
	for i, f := range p.flows {
		sub, err := p.chain.subscribe(p.ctx, at, f.track.Name())
		if err != nil {
			return err
		}
		p.group.Go(func() error {
			defer sub.Close()
			return f.follow(p.ctx, sub, func(n int, at time.Time) { whole(i, n, at) })
		})
	}
	return nil
}

// play writes objects of all flows in turn, so many a second from start on, each
// when it is due, and returns how late each was.
func (p *flows) play(start time.Time, d time.Duration, perSecond int) ([]time.Duration, error) {
	var late delays
	for i := 0; ; i++ {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		if due.Sub(start) >= d {
			return late.take(), nil
		}
		time.Sleep(time.Until(due))
		if p.ctx.Err() != nil {
			return nil, context.Cause(p.ctx)
		}
		late.add(time.Since(due))
		if err := p.flows[i%len(p.flows)].write(); err != nil {
			return nil, err
		}
	}
}

func (p *flows) close() {
	p.cancel(errMeasured)
	_ = p.group.Wait() // what ended it early was returned where it was noticed
	p.end()
}
