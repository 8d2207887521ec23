package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"trellis/backbone"
	"trellis/edge/livekit"
	"trellis/edge/moq"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/internal/auth"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/internal/udp"
	"trellis/routing/control"
	"trellis/routing/discovery"
)

// Node is one node. Its methods are safe for concurrent use.
type Node struct {
	cfg      Config
	log      *slog.Logger
	registry *prometheus.Registry
	health   *health

	table  *relay.Table
	peers  *discovery.Stable // nil: the node stands alone
	port   *port
	moq    *moq.Server
	rtc    *rtc.Edge
	events *telemetry.Events
	layers *telemetry.Events // decisions about the layers of viewers
	whip   *whip.Handler

	livekit *livekit.Handler // nil without keys

	drainer *drainer
	land    landscape
}

// New assembles a node, which already listens: Run must follow. On an error the
// sockets are closed.
func New(cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, errors.Join(err, cfg.Sockets.Close())
	}
	if cfg.Sockets, err = cfg.Sockets.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("node %s: %w", cfg.ID, err), cfg.Sockets.Close())
	}
	n := &Node{
		cfg: cfg, log: cfg.Log.With(slog.String("node", cfg.ID)),
		registry: prometheus.NewRegistry(), health: newHealth(), events: telemetry.NewEvents(telemetry.DefaultEvents),
		layers: telemetry.NewEvents(telemetry.DefaultEvents),
	}
	n.drainer = newDrainer(n)
	if err := n.assemble(); err != nil {
		return nil, errors.Join(fmt.Errorf("node %s: %w", cfg.ID, err), cfg.Sockets.Close())
	}
	return n, nil
}

// assemble builds from the middle outwards: the table, the backbone, the edges.
func (n *Node) assemble() error {
	cfg := n.cfg
	cfg.Relay.Metrics = n.registry
	var err error
	if n.table, err = relay.NewTable(cfg.Relay); err != nil {
		return err
	}
	if n.port, err = newPort(cfg); err != nil {
		return err
	}
	if cfg.Credentials != nil {
		if n.peers, err = n.newPeers(); err != nil {
			return err
		}
		mesh := backbone.Config{
			Credentials: cfg.Credentials, Provider: cfg.Provider, Dialer: n.port.transport, Peers: n.peers, MaxChildren: cfg.Limits.Children,
			Table: n.table, WallClock: cfg.WallClock, Events: n.events, Log: cfg.Log, Metrics: n.registry, // it names the node itself
			About: n.about, EgressMbps: float64(cfg.Public.EgressMbps),
			Planner: control.New(control.Config{Origin: cfg.ID}), Protect: cfg.Protect.Protect,
		}
		if _, ok := cfg.Sockets.QUIC.(*udp.Conn); ok { // not in simulations
			mesh.Canary = newCanary
		}
		if cfg.Mesh != nil {
			cfg.Mesh(&mesh)
		}
		n.port.mesh, err = backbone.New(mesh)
		if err != nil {
			return err
		}
	}
	n.moq, err = moq.New(moq.Config{
		Table: n.table, Verifier: cfg.Verifier, NodeID: cfg.ID, Origins: cfg.AllowedOrigins,
		MaxSessions: cfg.Limits.Connections, Elsewhere: n.elsewhere, Clock: cfg.WallClock, Decisions: n.layers, Log: n.log,
		Metrics: n.registry,
	})
	if err != nil {
		return err
	}
	n.port.moq = n.moq
	n.rtc, err = rtc.New(rtc.Config{
		Table: n.table, Origin: cfg.ID, UDP: cfg.Sockets.WebRTC, TCP: cfg.Sockets.WebRTCTCP, Net: cfg.WebRTCNet,
		PublicAddrs: cfg.PublicAddrs, MaxSessions: cfg.Limits.Sessions, MaxSessionsPerIdentity: cfg.Limits.SessionsPerIdentity, Events: n.events,
		Clock: cfg.WallClock, Decisions: n.layers, Log: n.log, Metrics: n.registry,
	})
	if err != nil {
		return err
	}
	// WHIP asks for a token before it asks what the token allows.
	_, anonymous := cfg.Verifier.(auth.Open)
	n.whip, err = whip.New(whip.Config{
		Edge: n.rtc, Verifier: cfg.Verifier, Anonymous: anonymous, AllowedOrigins: cfg.AllowedOrigins,
		Direct: n.direct, Log: n.log, Metrics: n.registry,
	})
	if err != nil {
		return err
	}
	if cfg.LiveKit.Verifier != nil {
		n.livekit, err = livekit.New(livekit.Config{
			Edge: n.rtc, Table: n.table, Verifier: cfg.LiveKit.Verifier, NodeID: cfg.ID, Region: cfg.Region, AllowedOrigins: cfg.AllowedOrigins,
			Busy: n.busy, MaxParticipants: cfg.LiveKit.MaxParticipants, MaxViewers: cfg.LiveKit.MaxViewers,
			JoinsPerSecond: cfg.LiveKit.JoinsPerSecond, Log: n.log, Metrics: n.registry,
		})
		if err != nil {
			return err
		}
	}
	if err := n.register(); err != nil {
		return err
	}
	return n.port.listen(cfg.Certificates)
}

// errStopped is the cause with which a node ends what it does.
var errStopped = errors.New("node stopped")

// Run serves until ctx ends; then it drains within the configured time, ends
// everything and closes the sockets. It returns nil if that was all.
func (n *Node) Run(ctx context.Context) error {
	// What serves outlives ctx by the time for goodbyes.
	serving, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	g, serving := errgroup.WithContext(serving)
	run := func(what string, f func(context.Context) error) {
		g.Go(func() error {
			err := f(serving)
			if err == nil || errors.Is(err, context.Cause(serving)) {
				return context.Cause(serving)
			}
			return fmt.Errorf("%s: %w", what, err)
		})
	}
	run("sweep", func(ctx context.Context) error { return n.health.run(ctx, n.table.Sweep) })
	run("drain", n.drainer.run)
	run("quic", n.port.serve)
	run("webrtc", n.rtc.Run)
	if n.livekit != nil {
		run("livekit", n.livekit.Run)
	}
	if n.port.mesh != nil {
		run("backbone", n.port.mesh.Run)
	}
	if l := n.cfg.Sockets.HTTP; l != nil {
		run("http", func(ctx context.Context) error {
			return serveHTTP(ctx, l, n.webHandler(), n.httpsConfig(), n.log)
		})
	}
	if l := n.cfg.Sockets.Admin; l != nil {
		run("admin", func(ctx context.Context) error { return serveHTTP(ctx, l, n.adminHandler(), nil, n.log) })
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
			n.leave(context.WithoutCancel(ctx))
			stop(errStopped)
			return errStopped
		case <-serving.Done():
			return nil
		}
	})
	n.log.Info("node serves", slog.String("region", n.cfg.Region), slog.String("quic", n.cfg.Sockets.QUIC.LocalAddr().String()))
	err := g.Wait()
	if closeErr := n.port.close(); closeErr != nil {
		n.log.Debug("closing the QUIC port", slog.Any("err", closeErr))
	}
	n.log.Info("node stopped", slog.Any("cause", context.Cause(ctx)))
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

func (n *Node) httpsConfig() *tls.Config {
	if !n.cfg.HTTPS {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.cfg.Certificates.GetCertificate}
}

// Table returns the tracks that the node carries, for a client in the process.
func (n *Node) Table() *relay.Table { return n.table }

// AdminHandler serves health, metrics and status, for a process that has its own
// listener for them.
func (n *Node) AdminHandler() http.Handler { return n.adminHandler() }

// WebRTC returns the node's WebRTC edge, for viewers in the process.
func (n *Node) WebRTC() *rtc.Edge { return n.rtc }

// Registry returns the node's metrics.
func (n *Node) Registry() *prometheus.Registry { return n.registry }
