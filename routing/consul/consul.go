package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sync/errgroup"

	"trellis/routing/discovery"
)

// Config describes a Source. What is left out comes from Consul's own variables
// (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE, CONSUL_HTTP_SSL,
// CONSUL_CACERT, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME and
// so on), as Consul's client reads them.
type Config struct {
	// Address of the agent: "host:port", or with http://, https:// or unix:// in
	// front. Default: CONSUL_HTTP_ADDR, or localhost:8500.
	Address string
	// TokenFile holds the ACL token. It is read again for each request, so it can
	// be renewed.
	TokenFile string
	// CAFile, CertFile, KeyFile and ServerName are for HTTPS.
	CAFile, CertFile, KeyFile, ServerName string

	// Service is the name that all nodes register. Default "trellis".
	Service string
	// Cluster keeps clusters apart that share the name. Required.
	Cluster string
	// Datacenters are watched. Default: all that Consul knows.
	Datacenters []string
	// TTL is how long Consul believes that the node lives without hearing of it.
	// Default 15 s, at least 3 s.
	TTL time.Duration
	// Self is what the node registers. Required.
	Self discovery.Node

	// DialContext replaces the host's network, in simulations.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Rand spreads requests. Default: seeded from the system.
	Rand *rand.Rand
	// Log receives what happens. Default: nowhere.
	Log *slog.Logger
}

// Limits and times.
const (
	defaultService = "trellis"
	defaultTTL     = 15 * time.Second
	minTTL         = 3 * time.Second
	// deregisterAfter is how long a node may be unheard of before the agent takes
	// it out of the catalog. Peers do not depend on it; it keeps the catalog tidy.
	deregisterAfter = 10 * time.Minute
	// waitTime is how long a blocking query may rest. The shorter, the sooner one
	// that will never return is noticed.
	waitTime = time.Minute
	// callTimeout is for calls that should be answered at once.
	callTimeout = 5 * time.Second
	// leaveTimeout is for the farewell, while the process waits to end.
	leaveTimeout = 2 * time.Second
	// maxAnswerBytes bounds what is read of an answer: 10,000 nodes take some 10 MiB.
	maxAnswerBytes = 64 << 20
	maxNodes       = 20_000
	maxDatacenters = 256
)

// Source is a discovery.Reporter.
type Source struct {
	cfg    Config
	api    *api.Client
	http   *http.Transport
	pace   *pace
	report report
}

var _ discovery.Reporter = (*Source)(nil)

// New checks the configuration. It does not speak to Consul.
func New(cfg Config) (*Source, error) {
	if cfg.Service == "" {
		cfg.Service = defaultService
	}
	if cfg.TTL == 0 {
		cfg.TTL = defaultTTL
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	switch {
	case cfg.Cluster == "":
		return nil, errors.New("consul.Config.Cluster is missing")
	case cfg.TTL < minTTL:
		return nil, fmt.Errorf("consul.Config.TTL is %v, at least %v", cfg.TTL, minTTL)
	case len(cfg.Datacenters) > maxDatacenters:
		return nil, fmt.Errorf("consul.Config.Datacenters: %d, at most %d", len(cfg.Datacenters), maxDatacenters)
	}
	if err := cfg.Self.Check(); err != nil {
		return nil, fmt.Errorf("consul.Config.Self: %w", err)
	}
	s := &Source{cfg: cfg, pace: newPace(cfg.Rand)}
	s.report.problems = map[string]string{}
	return s, s.connect()
}

// connect makes the client. Its own defaults are the CONSUL_ variables.
func (s *Source) connect() error {
	c := api.DefaultConfig()
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&c.Address, s.cfg.Address},
		{&c.TokenFile, s.cfg.TokenFile},
		{&c.TLSConfig.CAFile, s.cfg.CAFile},
		{&c.TLSConfig.CertFile, s.cfg.CertFile},
		{&c.TLSConfig.KeyFile, s.cfg.KeyFile},
		{&c.TLSConfig.Address, s.cfg.ServerName},
	} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	s.http = c.Transport
	if s.cfg.DialContext != nil {
		s.http.DialContext = s.cfg.DialContext
	}
	if path, ok := strings.CutPrefix(c.Address, "unix://"); ok {
		// Not left to the client, which would use a transport of its own.
		s.http.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
		c.Address = "localhost"
	}
	client, err := api.NewHttpClient(s.http, c.TLSConfig)
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	client.Transport = &transport{base: s.http, token: &tokenFile{path: c.TokenFile}}
	c.HttpClient = client
	if s.api, err = api.NewClient(c); err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	return nil
}

// Report implements discovery.Reporter.
func (s *Source) Report() discovery.Report { return s.report.at(time.Now()) }

// Watch registers the node, and tells what Consul knows after each change. It
// returns when ctx ends, and the registration is withdrawn, or could not be.
func (s *Source) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	defer s.http.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.keepRegistered(ctx) })
	g.Go(func() error { return s.follow(ctx, seen) })
	return g.Wait()
}
