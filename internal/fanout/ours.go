package fanout

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/node"
	"trellis/routing/discovery"
)

// serveOurs runs one node until ctx ends, as "trellis serve" does.
func serveOurs(ctx context.Context, ready func(Served)) error {
	socks, err := node.Listen(ctx, node.Addresses{QUIC: "127.0.0.1:0", HTTP: "127.0.0.1:0", WebRTC: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	now := time.Now()
	authority, err := ca.NewAuthority("fanout", now)
	if err != nil {
		return err
	}
	credentials, err := authority.Issue("here", "node", 24*time.Hour, now)
	if err != nil {
		return err
	}
	peers, err := discovery.NewSnapshot([]discovery.Node{{ID: "node", Region: "here", Addr: socks.QUIC.LocalAddr().String()}})
	if err != nil {
		return err
	}
	n, err := node.New(node.Config{
		ID: "node", Region: "here", Cluster: "fanout", Sockets: socks, Verifier: auth.Open{},
		Certificates: ca.NewEphemeral("127.0.0.1"), Credentials: ca.NewStore(credentials), Peers: alone{peers},
		Limits:   node.Limits{SessionsPerIdentity: 1 << 20}, // all viewers are nobody
		Shutdown: -1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	media, err := netip.ParseAddrPort(socks.WebRTC.LocalAddr().String())
	if err != nil {
		return err
	}
	ready(Served{
		URL: "http://" + socks.HTTP.Addr().String(), PID: os.Getpid(), Media: media,
		MoQ: "https://" + socks.QUIC.LocalAddr().String(), Admin: "http://" + socks.Admin.Addr().String(),
	})
	ctx, end := context.WithCancel(ctx)
	var tending sync.WaitGroup
	defer tending.Wait()
	defer end()
	tending.Go(func() { node.TendMemory(ctx) })
	return n.Run(ctx)
}

// alone is a source of one node.
type alone struct{ snapshot discovery.Snapshot }

// Watch implements discovery.Source.
func (a alone) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	seen(a.snapshot)
	<-ctx.Done()
	return context.Cause(ctx)
}
