package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/node"
	"trellis/internal/relay"
	"trellis/routing/discovery"
	"trellis/wire"
)

// chain is a line of nodes on loopback, each linked to the next, on real sockets.
type chain struct {
	nodes  []*node.Node
	socks  []node.Sockets
	cancel context.CancelCauseFunc
	group  *errgroup.Group
}

var errMeasured = errors.New("the measurement is over")

// startChain starts n nodes and waits until the last knows of the first.
func startChain(ctx context.Context, n int) (*chain, error) {
	now := time.Now()
	authority, err := ca.NewAuthority("bench", now)
	if err != nil {
		return nil, err
	}
	c := &chain{}
	entries := make([]discovery.Node, n)
	for i := range n {
		socks, err := node.Listen(ctx, node.Addresses{QUIC: "127.0.0.1:0", HTTP: "127.0.0.1:0", WebRTC: "127.0.0.1:0"})
		if err != nil {
			return nil, err
		}
		c.socks = append(c.socks, socks)
		entries[i] = discovery.Node{ID: nodeID(i), Region: "loopback", Addr: socks.QUIC.LocalAddr().String()}
	}
	running, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	c.cancel = cancel
	c.group, running = errgroup.WithContext(running)
	for i := range n {
		credentials, err := authority.Issue("loopback", nodeID(i), time.Hour, now)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		peers, err := discovery.NewSnapshot(entries[max(0, i-1):min(n, i+2)])
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		nd, err := node.New(node.Config{
			ID: nodeID(i), Region: "loopback", Cluster: "bench",
			Sockets:      c.socks[i],
			Verifier:     auth.Open{},
			Certificates: ca.NewEphemeral("127.0.0.1"),
			Credentials:  ca.NewStore(credentials),
			Peers:        fixedPeers{peers},
			Shutdown:     -1,
			Log:          slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.nodes = append(c.nodes, nd)
		c.group.Go(func() error { return nd.Run(running) })
	}
	return c, nil
}

func nodeID(i int) string { return fmt.Sprintf("node-%d", i) }

// close ends the nodes and waits for them.
func (c *chain) close() error {
	c.cancel(errMeasured)
	return c.group.Wait()
}

// publish announces a broadcast at the first node.
func (c *chain) publish(name string) (*relay.Broadcast, error) {
	b, err := wire.ParseBroadcast(name)
	if err != nil {
		return nil, err
	}
	return c.nodes[0].Table().Announce(relay.Announcement{
		Name: b, Epoch: uint64(time.Now().UnixMicro()), PublisherID: 1, Origin: nodeID(0), Local: true,
	}, nil)
}

// subscribe joins a track at a node, once the news of its broadcast is there,
// and returns when the track has come.
func (c *chain) subscribe(ctx context.Context, at int, name wire.TrackName) (*relay.Subscription, error) {
	table := c.nodes[at].Table()
	watch := table.WatchAnnounced("")
	defer watch.Close()
	for {
		sub, err := table.Subscribe(name, relay.SubscribeOptions{Kind: relay.ReaderLocal, Viewers: 1})
		switch {
		case errors.Is(err, relay.ErrNotFound):
			if _, err := watch.Next(ctx); err != nil {
				return nil, fmt.Errorf("%v at %s: %w", name, nodeID(at), err)
			}
			continue
		case err != nil:
			return nil, err
		}
		if _, err := sub.Info(ctx); err != nil {
			sub.Close()
			return nil, err
		}
		return sub, nil
	}
}

// fixedPeers is a source that knows everything from the beginning.
type fixedPeers struct{ snapshot discovery.Snapshot }

// Watch implements discovery.Source.
func (f fixedPeers) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	seen(f.snapshot)
	<-ctx.Done()
	return context.Cause(ctx)
}
