package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/internal/ca"
	"trellis/internal/node"
)

// Demo is a backbone in one process.
type Demo struct {
	cfg    Config
	page   net.Listener
	sites  []*site
	wan    *wan
	tokens tokens
}

// New opens all ports and assembles the nodes. Run must follow, or Close.
func New(ctx context.Context, cfg Config) (*Demo, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := loadMatrix()
	if err != nil {
		return nil, err
	}
	regions, err := m.resolveAll(cfg.Regions)
	if err != nil {
		return nil, err
	}
	d := &Demo{cfg: cfg}
	if err := d.open(ctx, m, regions); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Demo) open(ctx context.Context, m *matrix, regions []Region) error {
	var err error
	addr := net.JoinHostPort(loopback, strconv.Itoa(d.cfg.Port))
	if d.page, err = new(net.ListenConfig).Listen(ctx, "tcp", addr); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	for i, r := range regions {
		s, err := openSite(ctx, d.cfg, i, r)
		if err != nil {
			return err
		}
		d.sites = append(d.sites, s)
	}
	if d.cfg.NoWAN {
		m = nil
	}
	if d.wan, err = newWAN(d.cfg, m, d.sites); err != nil {
		return err
	}
	authority, err := ca.NewAuthority(cluster, time.Now())
	if err != nil {
		return err
	}
	if d.tokens, err = newTokens(); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(d.page.Addr().String())
	if err != nil {
		return err
	}
	origins := []string{"http://" + loopback + ":" + port, "http://localhost:" + port}
	for i, s := range d.sites {
		if err := s.start(d.cfg, authority, d.tokens, d.wan, i, origins); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the ports of a demo that will not run.
func (d *Demo) Close() error {
	var errs []error
	if d.page != nil {
		errs = append(errs, d.page.Close())
	}
	if d.wan != nil {
		d.wan.close()
	}
	for _, s := range d.sites {
		errs = append(errs, s.sockets.Close())
	}
	return errors.Join(errs...)
}

// errEnded is the cause with which the demo ends what it started.
var errEnded = errors.New("demo ended")

// Run runs everything until ctx ends, which is no error. It calls ready once,
// when every node is linked to every other and sees the film.
func (d *Demo) Run(ctx context.Context, ready func(Info) error) error {
	// Outermost the network, so that goodbyes still arrive; then the nodes; the
	// film and the page end first.
	network, endNetwork := context.WithCancelCause(context.WithoutCancel(ctx))
	var proxies errgroup.Group
	for _, p := range d.wan.proxies {
		proxies.Go(func() error { return p.Run(network) })
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range d.sites {
		g.Go(func() error {
			if err := s.n.Run(gctx); err != nil {
				return fmt.Errorf("node of %s: %w", s.region.Name, err)
			}
			return context.Cause(gctx)
		})
	}
	g.Go(func() error { return runFilm(gctx, d.cfg, d.sites[0], d.tokens) })
	g.Go(func() error { return node.ServeHTTP(gctx, d.page, d.pageHandler(), d.cfg.Log) })
	g.Go(func() error {
		if err := d.awaitReady(gctx); err != nil {
			return err
		}
		info, err := d.info(time.Now())
		if err != nil {
			return err
		}
		return ready(info)
	})
	err := g.Wait()
	endNetwork(errEnded)
	if netErr := proxies.Wait(); err == nil && !errors.Is(netErr, errEnded) {
		err = netErr
	}
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil
	}
	return err
}

const (
	readyPoll    = 50 * time.Millisecond
	readyTimeout = 30 * time.Second
)

// awaitReady waits until the backbone is whole.
func (d *Demo) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("the nodes did not find each other within %v", readyTimeout))
	defer cancel()
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		whole, err := d.whole(ctx)
		if err != nil || whole {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// whole reports whether every node has a link to every other and sees the film.
func (d *Demo) whole(ctx context.Context) (bool, error) {
	for _, s := range d.sites {
		status, err := s.n.Status(ctx)
		if err != nil {
			return false, err
		}
		seen := false
		for _, b := range status.Broadcasts {
			seen = seen || b.Name == broadcast
		}
		if !seen || len(status.Links) < len(d.sites)-1 {
			return false, nil
		}
	}
	return true, nil
}

// info says where everything is, with a fresh token.
func (d *Demo) info(now time.Time) (Info, error) {
	token, err := d.tokens.forPage(now)
	if err != nil {
		return Info{}, err
	}
	page := "http://" + d.page.Addr().String()
	info := Info{Page: page + "/", Broadcast: broadcast, Token: token, LiveKit: LiveKitInfo{Key: apiKey, Secret: d.tokens.secret}}
	for _, s := range d.sites {
		info.Regions = append(info.Regions, RegionInfo{
			Name: s.region.Name, Node: s.node(), WHIP: s.url("/whip"), WHEP: s.url("/whep"), MoQ: s.url("/"), LiveKit: s.url(""),
			Status: page + "/status/" + s.region.Name,
		})
	}
	return info, nil
}

// Delays returns what is applied between the regions, empty for nothing.
func (d *Demo) Delays() []Delay { return d.wan.delays }

func (d *Demo) wanInfo() WANInfo {
	if d.cfg.NoWAN {
		return WANInfo{}
	}
	return WANInfo{Enabled: true, Source: MatrixSource, Delays: d.wan.delays}
}
