package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"trellis/internal/impair"
)

// way is a proxy by which one node dials another.
type way struct {
	from, to string
	proxy    *impair.Proxy // nil where there is none
	target   netip.AddrPort
	delay    time.Duration
}

// network holds the proxies between the nodes of a run, two for each link: both
// ends may dial.
type network struct {
	direct  bool // no proxies: nodes reach one another at once
	ways    []*way
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// connect opens the ways between two nodes. The addresses are where they listen.
func (n *network) connect(a, b string, at map[string]netip.AddrPort, delay time.Duration, seed uint64) error {
	for _, ends := range [][2]string{{a, b}, {b, a}} {
		if n.direct {
			n.ways = append(n.ways, &way{from: ends[0], to: ends[1], target: at[ends[1]]})
			continue
		}
		path := impair.Config{Delay: delay}
		p, err := impair.NewProxy(impair.ProxyConfig{Target: at[ends[1]], Forward: path, Back: path, Seed: seed})
		if err != nil {
			return err
		}
		n.ways = append(n.ways, &way{from: ends[0], to: ends[1], proxy: p, target: p.Addr(), delay: delay})
	}
	return nil
}

func (n *network) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	n.cancel = cancel
	for _, w := range n.ways {
		if w.proxy == nil {
			continue
		}
		n.running.Go(func() { _ = w.proxy.Run(ctx) }) // the cause of ctx, which is ours
	}
}

func (n *network) close() {
	if n.cancel != nil {
		n.cancel()
		n.running.Wait()
		return
	}
	for _, w := range n.ways {
		if w.proxy != nil {
			_ = w.proxy.Close() // Close cannot fail
		}
	}
}

// addr returns the address at which one node dials another, false if they have
// no link.
func (n *network) addr(from, to string) (netip.AddrPort, bool) {
	for _, w := range n.ways {
		if w.from == from && w.to == to {
			return w.target, true
		}
	}
	return netip.AddrPort{}, false
}

// silence lets nothing pass from one node to the other any more, whoever dialled.
func (n *network) silence(from, to string) error {
	done := 0
	for _, w := range n.ways {
		down := impair.Config{Delay: w.delay, Down: true}
		var err error
		switch {
		case w.from == from && w.to == to:
			err = w.proxy.SetForward(down)
		case w.from == to && w.to == from:
			err = w.proxy.SetBack(down)
		default:
			continue
		}
		if err != nil {
			return err
		}
		done++
	}
	if done == 0 {
		return fmt.Errorf("there is no link from %s to %s", from, to)
	}
	return nil
}
