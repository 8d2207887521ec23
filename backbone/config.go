package backbone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"

	"trellis/internal/ca"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/routing/control"
	"trellis/routing/discovery"
	"trellis/wire"
	"trellis/wire/peer"
)

// Dialer opens QUIC connections. *quic.Transport is one.
type Dialer interface {
	Dial(ctx context.Context, addr net.Addr, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error)
}

// Config describes a Mesh. Fields without a stated default are required.
type Config struct {
	// Credentials say who this node is, and whom it believes.
	Credentials *ca.Store
	// Provider is where the node stands, for failure groups. Default: unknown.
	Provider string
	// Dialer opens connections, from the port at which we are reached.
	Dialer Dialer
	// Peers finds the nodes.
	Peers discovery.Source
	// Table is where tracks meet.
	Table *relay.Table

	// About says what the node is like: its URL, place, limits, load and price. It is
	// asked once a second, and must not wait. The mesh adds what it knows itself.
	// Default: nothing is told.
	About func() peer.NodeValue
	// Router chooses among neighbours. Default: the cheapest measured path.
	Router Router
	// Planner decides the trees of the tracks that enter here. Default: nobody;
	// every node then follows its Router.
	Planner Planner
	// Protect says how a track that enters here is to survive the loss of a
	// parent. Default: DefaultProtect.
	Protect func(wire.TrackName, wire.Kind) control.Protection
	// MaxChildren of one track that this node serves; others are told of nodes
	// that may. Default 32, negative: it serves only what enters here.
	MaxChildren int
	// EgressMbps that this node may send to other nodes. Default 0: no limit.
	EgressMbps float64
	// Resolve turns a peer's "host:port" into an address. Default: the system's
	// resolver.
	Resolve func(ctx context.Context, addr string) (net.Addr, error)
	// WallClock is the node's own clock, which stamps objects and probes and
	// nothing else. Default: time.Now.
	WallClock func() time.Time
	// Boot is when the process started. Default: now, by WallClock.
	Boot time.Time
	// Rand spreads redials. Default: seeded from the system.
	Rand *rand.Rand
	// WarmUpBytes of padding open the congestion window of a new lane before
	// the first key frame needs it. Default 768 KiB, negative for none.
	WarmUpBytes int
	// MaxLanes bounds the connections of a link. One carries control and sound,
	// the others video: one of them always, more while windows limit what is sent
	// and the path has room. Default 8, from 2 to 16.
	MaxLanes int
	// Links says with whom to keep links.
	Links LinkConfig
	// Events remembers what operators ask about; nil for nobody.
	Events *telemetry.Events
	// Canary makes what notices that nobody listens at a peer's address any more.
	// Default: none.
	Canary func(addr net.Addr) (Canary, error)
	// Log receives what happens. Default: nowhere.
	Log *slog.Logger
	// Metrics receives the package's collectors; nil for none.
	Metrics prometheus.Registerer
}

const defaultMaxChildren = 32

// maxWarmUp is docs/wire.md, section 8.
const (
	defaultWarmUp = 768 << 10
	maxWarmUp     = 1 << 20
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case len(c.Provider) > peer.MaxNodeIDBytes:
		return c, fmt.Errorf("backbone.Config.Provider has %d bytes, at most %d", len(c.Provider), peer.MaxNodeIDBytes)
	case c.Credentials == nil:
		return c, errors.New("backbone.Config.Credentials are missing")
	case c.Dialer == nil:
		return c, errors.New("backbone.Config.Dialer is missing")
	case c.Peers == nil:
		return c, errors.New("backbone.Config.Peers is missing")
	case c.EgressMbps < 0:
		return c, fmt.Errorf("backbone.Config.EgressMbps is %v: must not be negative", c.EgressMbps)
	case c.Table == nil:
		return c, errors.New("backbone.Config.Table is missing")
	}
	var err error
	if c.Links, err = c.Links.withDefaults(); err != nil {
		return c, err
	}
	if c.Router == nil {
		c.Router = Cheapest{}
	}
	if c.Protect == nil {
		c.Protect = DefaultProtect
	}
	if c.MaxChildren == 0 {
		c.MaxChildren = defaultMaxChildren
	}
	if c.Resolve == nil {
		c.Resolve = resolve
	}
	if c.WallClock == nil {
		c.WallClock = time.Now
	}
	if c.Boot.IsZero() {
		c.Boot = c.WallClock()
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	switch {
	case c.WarmUpBytes == 0:
		c.WarmUpBytes = defaultWarmUp
	case c.WarmUpBytes > maxWarmUp:
		return c, fmt.Errorf("backbone.Config.WarmUpBytes is %d, at most %d", c.WarmUpBytes, maxWarmUp)
	}
	switch {
	case c.MaxLanes == 0:
		c.MaxLanes = maxLanes
	case c.MaxLanes < baseLanes || c.MaxLanes > peer.MaxLanes:
		return c, fmt.Errorf("backbone.Config.MaxLanes is %d, from %d to %d", c.MaxLanes, baseLanes, peer.MaxLanes)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func resolve(ctx context.Context, addr string) (net.Addr, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	return &net.UDPAddr{IP: ips[0].Unmap().AsSlice(), Port: n, Zone: ips[0].Zone()}, nil
}

// maxConnWindow carries 250 Mbit/s at a round trip of a second.
const maxConnWindow = 32 << 20

// QUICConfig returns the QUIC configuration of a link's dialling end. A listener
// that is shared with browsers may use its own, with datagrams, reset streams
// with partial delivery, and at least as many unidirectional streams.
func QUICConfig() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout: 5 * time.Second,
		// A backstop behind our own probes (docs/wire.md, section 2).
		MaxIdleTimeout:  3 * time.Second,
		KeepAlivePeriod: 750 * time.Millisecond,
		// Windows that a key frame over a long path fits into from the start, and
		// that grow to 250 Mbit/s at a round trip of half a second.
		InitialStreamReceiveWindow:       2 << 20,
		MaxStreamReceiveWindow:           16 << 20,
		InitialConnectionReceiveWindow:   4 << 20,
		MaxConnectionReceiveWindow:       maxConnWindow,
		MaxIncomingStreams:               4, // the control stream, and nothing else
		MaxIncomingUniStreams:            4096,
		EnableDatagrams:                  true,
		EnableStreamResetPartialDelivery: true,
	}
}
