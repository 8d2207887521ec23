package quality

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"trellis/internal/fanout"
	"trellis/internal/impair"
)

// Config describes a comparison.
type Config struct {
	Profiles []Profile `json:"profiles"`
	// Peers are what to compare with, beside our own node.
	Peers []string `json:"peers"`
	// PeersOnly leaves our own node out.
	PeersOnly bool `json:"peers_only,omitempty"`
	Rounds    int  `json:"rounds"`
	// LiveKit is the directory of livekit-server, see livekit.Find.
	LiveKit string `json:"-"`
	// Self is the command of which fanout.ServerCommand runs a node.
	Self []string `json:"-"`
	// Codec and Mode are what the browser that publishes to our node encodes with: a
	// codec's name in SDP, and a scalability mode (W3C Scalable Video Coding, Section
	// 9), empty for simulcast.
	Codec string `json:"codec"`
	Mode  string `json:"mode,omitempty"`
	// Trace is a directory for what each packet did on the path and what the pages
	// told. Default: none.
	Trace string `json:"-"`
	// Browser is the program of Chromium.
	Browser string `json:"browser"`
	// Progress is told what is going on. May be nil.
	Progress func(string) `json:"-"`

	film string // that the publisher's camera sees
}

// The servers: this repository's node, and what it is compared with.
const (
	Ours = fanout.Ours
	// WithoutFEC is our node with a viewer that does not offer FlexFEC.
	WithoutFEC = "ours-without-fec"
	// LiveKit has its own settings: it goes by what receivers estimate (REMB).
	LiveKit = fanout.LiveKit
	// LiveKitSendSide estimates bandwidths itself, which is off by default.
	LiveKitSendSide = fanout.LiveKitSendSide
)

// Peers lists what may be compared with.
func Peers() []string { return []string{LiveKit, LiveKitSendSide} }

// Run plays all profiles.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	for _, p := range cfg.Peers {
		if isOurs(p) {
			continue
		}
		if err := fanout.Check(p, Peers(), cfg.LiveKit); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "trellis-quality-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg.film = filepath.Join(dir, "film.y4m")
	if err := writeFilm(cfg.film, 1); err != nil {
		return nil, fmt.Errorf("film: %w", err)
	}
	r := newReport(cfg)
	for round := range cfg.Rounds {
		for i := range cfg.Profiles {
			p := &cfg.Profiles[i]
			for _, server := range cfg.servers() {
				cfg.say("round %d of %d: %s, %s", round+1, cfg.Rounds, server, p.Title)
				o, err := cfg.play(ctx, server, p)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", server, p.Name, err)
				}
				o.Round = round
				r.Outcomes = append(r.Outcomes, o)
			}
		}
	}
	r.conclude()
	return r, nil
}

func (c *Config) servers() []string {
	if c.PeersOnly {
		return c.Peers
	}
	return append([]string{Ours}, c.Peers...)
}

// isOurs reports whether a server is our own node.
func isOurs(server string) bool { return server == Ours || server == WithoutFEC }

func (c *Config) say(format string, args ...any) {
	if c.Progress != nil {
		c.Progress(fmt.Sprintf(format, args...))
	}
}

const (
	// startLimit is how long browsers may take until the picture is there.
	startLimit = 40 * time.Second
	// warmUp is how long the publisher's browser is given to send all layers.
	warmUp = 25 * time.Second
	// sampleEvery is how often it is read what the path has carried.
	sampleEvery = 50 * time.Millisecond
)

// play plays one profile with one server.
func (c *Config) play(ctx context.Context, server string, p *Profile) (Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served, stop, err := c.startServer(ctx, server)
	if err != nil {
		return Outcome{}, err
	}
	defer stop()
	t, err := c.openTrace(server, p)
	if err != nil {
		return Outcome{}, err
	}
	// The viewer joins on the path that the profile begins with.
	first := p.Steps[0].Path
	proxy, err := impair.NewProxy(impair.ProxyConfig{
		Target: served.Media, Forward: impair.Config{Delay: first.Delay}, Back: first, Seed: 1, Watch: t.passed,
	})
	if err != nil {
		return Outcome{}, err
	}
	proxied := make(chan error, 1)
	go func() { proxied <- proxy.Run(ctx) }()
	s, err := c.openSite(server, served.URL, proxy.Addr())
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = s.close() }()
	rec := &recording{path: proxy.Addr().Port()}
	s.record.Store(rec)
	publisher, err := openBrowser(ctx, c.Browser, c.film, s.publish)
	if err != nil {
		return Outcome{}, err
	}
	defer publisher.close()
	streams := len(layers)
	if isOurs(server) {
		streams = len(c.encodings())
	}
	if err := c.await(ctx, warmUp, func() bool { return rec.layersSent() == streams }); err != nil {
		rec.problem(fmt.Sprintf("%d of %d streams are sent: %v", rec.layersSent(), streams, err))
	}
	viewer, err := openBrowser(ctx, c.Browser, c.film, s.view)
	if err != nil {
		return Outcome{}, err
	}
	defer viewer.close()
	if err := c.await(ctx, startLimit, func() bool { return rec.pictures() > 0 }); err != nil {
		return Outcome{}, fmt.Errorf("no picture within %v: %v", startLimit, rec.problems)
	}
	if err := c.follow(ctx, p, proxy, rec); err != nil {
		return Outcome{}, err
	}
	time.Sleep(300 * time.Millisecond) // the pages' last words
	if port := rec.around(); port != 0 {
		return Outcome{}, fmt.Errorf("the viewer knows a way around the path, by port %d", port)
	}
	if err := t.close(rec); err != nil {
		return Outcome{}, err
	}
	score := rec.score(p) // which may find problems
	return Outcome{Server: server, Profile: p.Name, Problems: rec.problems, Score: score, Published: rec.layersSent()}, nil
}

// await waits until something is so.
func (c *Config) await(ctx context.Context, limit time.Duration, so func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	look := time.NewTicker(sampleEvery)
	defer look.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		}
	}
	return nil
}

// follow changes the path as the profile says, and reads what it carries.
func (c *Config) follow(ctx context.Context, p *Profile, proxy *impair.Proxy, rec *recording) error {
	began := time.Now()
	rec.begin(began)
	sample := time.NewTicker(sampleEvery)
	defer sample.Stop()
	next := 1
	for at := time.Duration(0); at < p.Length; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-sample.C:
		}
		at = time.Since(began)
		if next < len(p.Steps) && at >= p.Steps[next].At {
			if err := proxy.SetBack(p.Steps[next].Path); err != nil {
				return err
			}
			if p.Steps[next].Rebind {
				proxy.Rebind()
			}
			next++
		}
		_, back := proxy.Counts()
		rec.carry(carried{at: at, bytes: back.Bytes, dropped: back.Lost()})
	}
	return nil
}

// startServer starts a server in a process of its own.
func (c *Config) startServer(ctx context.Context, server string) (s fanout.Served, stop func(), err error) {
	if isOurs(server) {
		server = Ours
	}
	args := append(slices.Clone(c.Self[1:]), fanout.ServerCommand, server, c.LiveKit)
	cmd := exec.CommandContext(ctx, c.Self[0], args...) //nolint:gosec // our own program
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return s, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, nil, err
	}
	if err := cmd.Start(); err != nil {
		return s, nil, err
	}
	stop = func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	}
	if s, err = fanout.ReadServed(bufio.NewReader(out)); err != nil {
		stop()
		return s, nil, fmt.Errorf("%s: %w", server, err)
	}
	return s, stop, nil
}
