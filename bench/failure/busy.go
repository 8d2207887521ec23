package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/node"
	"trellis/internal/relay"
	"trellis/routing/discovery"
	"trellis/wire"
)

// busy counts the links that go down, between three nodes of this process that
// carry media over real sockets, while spinners keep the processors busy.
func busy(ctx context.Context, length time.Duration, spinners int, progress io.Writer) (*report, error) {
	rep := newReport(ctx, options{kind: "busy"})
	ctx, cancel := context.WithTimeout(ctx, length+5*time.Second)
	defer cancel()
	watch := &linkLog{down: &atomic.Int64{}, suspect: &atomic.Int64{}, counting: &atomic.Bool{}}
	c, err := startTriangle(ctx, slog.New(watch))
	if err != nil {
		return nil, err
	}
	track, err := c.carry()
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	objects := atomic.Int64{}
	c.group.Go(func() error { return write(c.ctx, track) })
	for i := 1; i < len(c.nodes); i++ {
		c.group.Go(func() error { return read(c.ctx, c.nodes[i].Table(), track.Name(), &objects) })
	}
	// Links come up in peace; then the load begins.
	if err := wait(ctx, 3*time.Second); err != nil {
		return nil, errors.Join(err, c.close())
	}
	watch.counting.Store(true)
	for range spinners {
		c.group.Go(func() error { return spin(c.ctx) })
	}
	lag := lagHistogram(ctx, length, func(left time.Duration) {
		_, _ = fmt.Fprintf(progress, "%v left: %d links down, %d times suspect, %d objects\n", // for whoever watches
			left.Round(time.Second), watch.down.Load(), watch.suspect.Load(), objects.Load())
	})
	watch.counting.Store(false)
	if err := c.close(); err != nil {
		return nil, err
	}
	rep.Took = length.String()
	rep.figure("false_link_downs", float64(watch.down.Load()), 0)
	rep.figure("suspicions", float64(watch.suspect.Load()))
	rep.figure("busy_goroutines", float64(spinners))
	rep.figure("minutes", length.Minutes())
	rep.figure("links", 3)
	rep.figure("objects_received", float64(objects.Load()))
	rep.figure("timer_lag_p50_ms", quantile(lag, 0.5))
	rep.figure("timer_lag_p99_ms", quantile(lag, 0.99))
	rep.figure("timer_lag_max_ms", quantile(lag, 1))
	return rep, nil
}

// lagHistogram measures how late timers of 50 ms are, for as long as told, and
// reports every half minute.
func lagHistogram(ctx context.Context, length time.Duration, report func(left time.Duration)) []float64 {
	const period = 50 * time.Millisecond
	var lag []float64
	end := time.Now().Add(length)
	next := time.Now().Add(30 * time.Second)
	for now := time.Now(); now.Before(end); {
		if ctx.Err() != nil {
			break
		}
		time.Sleep(period)
		after := time.Now()
		lag = append(lag, ms(after.Sub(now)-period))
		now = after
		if now.After(next) {
			next = now.Add(30 * time.Second)
			report(end.Sub(now))
		}
	}
	return lag
}

// spin uses a processor.
func spin(ctx context.Context) error {
	x := uint64(1)
	for ctx.Err() == nil {
		for range 1 << 20 {
			x = x*6364136223846793005 + 1 // any work that cannot be left out
		}
	}
	if x == 0 {
		return errors.New("an odd number became even")
	}
	return nil
}

// triangle is three nodes, each linked with the others.
type triangle struct {
	ctx    context.Context //nolint:containedctx // of what runs in the background; a measurement is short
	cancel context.CancelFunc
	group  *errgroup.Group
	nodes  []*node.Node
}

func startTriangle(ctx context.Context, log *slog.Logger) (*triangle, error) {
	authority, err := ca.NewAuthority("failure", time.Now())
	if err != nil {
		return nil, err
	}
	const n = 3
	socks := make([]node.Sockets, n)
	entries := make([]discovery.Node, n)
	for i := range n {
		if socks[i], err = node.Listen(ctx, node.Addresses{QUIC: "127.0.0.1:0", HTTP: "127.0.0.1:0", WebRTC: "127.0.0.1:0"}); err != nil {
			return nil, err
		}
		entries[i] = discovery.Node{ID: fmt.Sprintf("node-%d", i), Region: "loopback", Addr: socks[i].QUIC.LocalAddr().String()}
	}
	snapshot, err := discovery.NewSnapshot(entries)
	if err != nil {
		return nil, err
	}
	c := &triangle{}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.group, c.ctx = errgroup.WithContext(c.ctx)
	for i := range n {
		credentials, err := authority.Issue("loopback", entries[i].ID, time.Hour, time.Now())
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		nd, err := node.New(node.Config{
			ID: entries[i].ID, Region: "loopback", Cluster: "failure", Sockets: socks[i],
			Verifier: auth.Open{}, Certificates: ca.NewEphemeral("127.0.0.1"), Credentials: ca.NewStore(credentials),
			Peers: everybody{snapshot}, Shutdown: -1, Log: log,
		})
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.nodes = append(c.nodes, nd)
		c.group.Go(func() error { return nd.Run(c.ctx) })
	}
	return c, nil
}

func (c *triangle) close() error {
	c.cancel()
	return c.group.Wait()
}

// carry publishes a track at the first node.
func (c *triangle) carry() (*relay.Track, error) {
	b, err := c.nodes[0].Table().Announce(relay.Announcement{
		Name: broadcastName, Epoch: uint64(time.Now().UnixMicro()), PublisherID: 1, Origin: "node-0", Local: true,
	}, nil)
	if err != nil {
		return nil, err
	}
	return b.PushTrack(streams[0].track, wire.TrackInfo{Kind: streams[0].kind, Priority: wire.PriorityVideo, Timescale: wire.MicrosecondTimescale})
}

// write writes pictures into the track.
func write(ctx context.Context, track *relay.Track) error {
	s := streams[0]
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	var g *relay.Group
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if n%s.group == 0 {
			if g != nil {
				g.Close()
			}
			var err error
			if g, err = track.Group(uint64(n / s.group)); err != nil {
				return err
			}
		}
		now := time.Now().UnixMicro()
		body := make([]byte, s.size)
		binary.BigEndian.PutUint64(body, uint64(n))
		if err := g.Write(uint64(n%s.group), relay.ObjectHeader{Time: now, Ingress: now}, body); err != nil {
			return err
		}
	}
}

// read reads a track for as long as there is one, and again when there is
// another.
func read(ctx context.Context, table *relay.Table, name wire.TrackName, objects *atomic.Int64) error {
	for ctx.Err() == nil {
		sub, err := table.Subscribe(name, relay.SubscribeOptions{Kind: relay.ReaderLocal, Viewers: 1})
		if err == nil {
			readSubscription(ctx, sub, objects)
			sub.Close()
		}
		_ = wait(ctx, poll) // the loop looks
	}
	return nil
}

func readSubscription(ctx context.Context, sub *relay.Subscription, objects *atomic.Int64) {
	for {
		g, err := sub.NextGroup(ctx)
		if err != nil {
			return
		}
		for {
			c, err := g.Next(ctx)
			if err != nil {
				break
			}
			if c.Last {
				objects.Add(1)
			}
		}
		g.Close()
	}
}

// everybody is a source that knows all from the beginning.
type everybody struct{ snapshot discovery.Snapshot }

// Watch implements discovery.Source.
func (e everybody) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	seen(e.snapshot)
	<-ctx.Done()
	return context.Cause(ctx)
}

// linkLog counts what the nodes' logs say of links. It is a slog.Handler.
type linkLog struct {
	down, suspect *atomic.Int64
	counting      *atomic.Bool
}

// Enabled implements slog.Handler: suspicions are logged for debugging.
func (l *linkLog) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (l *linkLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *linkLog) WithGroup(string) slog.Handler { return l }

// Handle implements slog.Handler.
func (l *linkLog) Handle(_ context.Context, r slog.Record) error {
	if !l.counting.Load() {
		return nil
	}
	switch r.Message {
	case "link down":
		l.down.Add(1)
	case "liveness":
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "suspect" && a.Value.Bool() {
				l.suspect.Add(1)
			}
			return true
		})
	}
	return nil
}
