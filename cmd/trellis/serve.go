package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/config"
	"trellis/internal/edges"
	"trellis/internal/node"
	"trellis/internal/relay"
	"trellis/wire"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run a node",
		Long: "Run a node until it is interrupted. The first signal drains it within node.shutdown: clients and other nodes are\n" +
			"told and leave in order; the second ends it at once. Every setting is also a flag and a variable: trellis config reference.",
		Args: cobra.NoArgs,
	}
	load := a.configFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := load()
		if err != nil {
			return err
		}
		log := newLog(a.stderr, l.Log)
		for _, w := range l.Warnings {
			log.Warn("configuration", slog.String("detail", w.String()))
		}
		return serve(cmd.Context(), l.Config, log)
	}
	return cmd
}

// serve runs the node that c describes until ctx ends.
func serve(ctx context.Context, c config.Config, log *slog.Logger) error {
	b := builder{c: c, log: log, now: time.Now()}
	cfg, err := b.build(ctx)
	if err != nil {
		return err
	}
	n, err := node.New(cfg)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := n.Run(gctx); err != nil {
			return err
		}
		return errDone // ends the reloaders too
	})
	if os.Getenv("GOGC") == "" { // else it is the operator's
		g.Go(func() error {
			node.TendMemory(gctx)
			return nil
		})
	}
	for _, r := range b.reload {
		g.Go(func() error { return r.Run(gctx, log) })
	}
	if err := g.Wait(); !errors.Is(err, errDone) && !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return nil
}

// errDone says that a node ended in order.
var errDone = errors.New("done")

// builder makes a node's configuration of the operator's.
type builder struct {
	c      config.Config
	log    *slog.Logger
	now    time.Time
	reload []node.Reloader
}

func (b *builder) build(ctx context.Context) (node.Config, error) {
	c := b.c
	cfg := node.Config{
		ID: c.Node.ID, Region: c.Node.Region, Provider: c.Node.Provider, Cluster: c.Node.Cluster,
		Version:        readBuild().Version,
		HTTPS:          c.Web.Cert != "" && !c.Web.PlainHTTP,
		AllowedOrigins: c.Web.AllowedOrigins,
		Relay: relay.Config{
			MaxBroadcasts: c.Limits.Broadcasts, MaxTracks: c.Limits.Tracks,
			MaxGroups: c.Cache.Groups, MaxTrackBytes: int(c.Cache.TrackBytes), MaxBytes: int64(c.Cache.TotalBytes),
			Retention: c.Cache.Retention, Linger: c.Cache.Linger,
		},
		Public: node.Public{
			URL: c.Edge.URL, EgressMbps: uint64(c.Edge.EgressMbps),
			PriceMicroUSD: uint64(c.Edge.EgressPrice) * 1000, // a dollar for a TB is a tenth of a cent for a GB
		},
		Limits: node.Limits{
			Viewers:  c.Edge.Viewers,
			Sessions: c.Limits.Sessions, SessionsPerIdentity: c.Limits.SessionsPerIdentity,
			Connections: c.Limits.Connections, HalfOpen: c.Limits.HalfOpen, Children: c.Limits.Children,
		},
		Shutdown: c.Node.Shutdown,
		Log:      b.log,
	}
	if lat, lon, ok := c.Edge.Coordinates(); ok {
		cfg.Public.Place = &edges.Point{Lat: lat, Lon: lon}
	}
	if cfg.Shutdown == 0 {
		cfg.Shutdown = -1 // in our file nought means nought
	}
	if cfg.Limits.Children == 0 {
		cfg.Limits.Children = -1 // likewise
	}
	for _, text := range c.Listen.PublicAddresses {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return cfg, fmt.Errorf("listen.public_addresses: %w", err)
		}
		cfg.PublicAddrs = append(cfg.PublicAddrs, ip)
	}
	for _, part := range []func(*node.Config) error{b.tokens, b.livekit, b.certificates, b.cluster, b.protection} {
		if err := part(&cfg); err != nil {
			return cfg, err
		}
	}
	var err error
	cfg.Sockets, err = node.Listen(ctx, addresses(c.Listen))
	return cfg, err
}

// protection takes over how tracks survive failures.
func (b *builder) protection(cfg *node.Config) error {
	p := b.c.Protect
	rules, err := p.ParseRules()
	if err != nil {
		return fmt.Errorf("protect.rules: %w", err)
	}
	for _, r := range rules {
		if err := cfg.Protect.By(r.Name, r.Grade); err != nil {
			return err
		}
	}
	return errors.Join(
		cfg.Protect.Of(p.Video, wire.KindVideo), cfg.Protect.Of(p.Audio, wire.KindAudio), cfg.Protect.Of(p.Data, wire.KindData, wire.KindCatalog),
	)
}

func addresses(l config.Listen) node.Addresses {
	open := func(addr string) string {
		if addr == config.Off {
			return ""
		}
		return addr
	}
	return node.Addresses{
		QUIC: l.QUIC, HTTP: l.HTTPAddr(), WebRTC: l.WebRTC,
		WebRTCTCP: open(l.WebRTCTCPAddr()), Admin: open(l.Admin),
	}
}

// tokens decides whose tokens are believed. Configurations without keys that
// could be reached from elsewhere were refused before.
func (b *builder) tokens(cfg *node.Config) error {
	a := b.c.Auth
	if a.Keys == "" {
		b.log.Warn("no auth.keys: everybody on this machine may publish and watch everything")
		cfg.Verifier = auth.Open{}
		return nil
	}
	opt := auth.KeySetOptions{AllowShared: a.AllowSharedKeys}
	keys, err := auth.LoadKeySet(a.Keys, opt)
	if err != nil {
		return err
	}
	leeway := a.Leeway
	if leeway == 0 {
		leeway = -1 // in our file nought means nought
	}
	v, err := auth.NewVerifier(auth.Config{Keys: keys, Issuer: a.Issuer, Audience: a.Audience, Leeway: leeway})
	if err != nil {
		return err
	}
	cfg.Verifier = v
	b.reload = append(b.reload, node.Reloader{What: "auth.keys", Files: []string{a.Keys}, Load: func(time.Time) error {
		keys, err := auth.LoadKeySet(a.Keys, opt)
		if err == nil {
			v.SetKeys(keys)
		}
		return err
	}})
	return nil
}

// livekit opens the door for LiveKit's SDKs, if there are keys for it.
func (b *builder) livekit(cfg *node.Config) error {
	k := b.c.LiveKit
	if k.Keys == "" {
		return nil
	}
	keys, err := auth.LoadAccessKeys(k.Keys)
	if err != nil {
		return err
	}
	v := auth.NewAccessVerifier(keys)
	cfg.LiveKit = node.LiveKit{Verifier: v, MaxParticipants: k.Participants, MaxViewers: k.Viewers, JoinsPerSecond: k.JoinsPerSecond}
	b.reload = append(b.reload, node.Reloader{What: "livekit.keys", Files: []string{k.Keys}, Load: func(time.Time) error {
		keys, err := auth.LoadAccessKeys(k.Keys)
		if err == nil {
			v.SetKeys(keys)
		}
		return err
	}})
	return nil
}

func (b *builder) certificates(cfg *node.Config) error {
	w := b.c.Web
	if w.Cert == "" {
		cfg.Certificates = ca.NewEphemeral(w.Hosts...)
		return nil
	}
	cert, err := ca.LoadCertificate(w.Cert, w.Key, b.now)
	if err != nil {
		return err
	}
	cfg.Certificates = cert
	b.reload = append(b.reload, node.Reloader{What: "web.cert", Files: []string{w.Cert, w.Key}, Load: cert.Reload})
	return nil
}

func (b *builder) cluster(cfg *node.Config) error {
	c := b.c.Cluster
	if !c.Configured() {
		return nil
	}
	credentials, err := ca.LoadCredentials(c.Cert, c.Key, c.CA, b.now)
	if err != nil {
		return err
	}
	store := ca.NewStore(credentials)
	cfg.Credentials = store
	b.reload = append(b.reload, node.Reloader{What: "cluster.cert", Files: []string{c.Cert, c.Key, c.CA}, Load: func(now time.Time) error {
		renewed, err := ca.LoadCredentials(c.Cert, c.Key, c.CA, now)
		if err != nil {
			return err
		}
		return store.Replace(renewed)
	}})
	return b.peers(cfg)
}

func newLog(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	// The configuration was checked: its levels are slog's.
	_ = level.UnmarshalText([]byte(c.Level))
	opt := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}
