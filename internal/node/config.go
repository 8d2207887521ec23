package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/transport/v4"

	"trellis/backbone"
	"trellis/edge/livekit"
	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/relay"
	"trellis/routing/discovery"
)

// Verifier says what a token allows. *auth.Verifier is one, auth.Open another.
type Verifier interface {
	Verify(token string, now time.Time) (auth.Grant, error)
}

// Certificates are what browsers are shown. *ca.Ephemeral is one,
// *ca.FileCertificate another. hello may be nil, where only the certificate is asked for.
type Certificates interface {
	GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Config describes a node. Fields without a stated default are required.
type Config struct {
	// ID, Region and Cluster are who the node is; Provider may be empty.
	ID, Region, Provider, Cluster string
	// Version is shown in the status. Default: unknown.
	Version string

	// Sockets are where it listens. The node closes them.
	Sockets Sockets
	// PublicAddrs are the addresses at which clients reach the WebRTC port behind
	// address translation. Default: its own.
	PublicAddrs []netip.Addr
	// WebRTCNet replaces the host's network for WebRTC, in simulations.
	WebRTCNet transport.Net

	// Verifier decides over every token.
	Verifier Verifier
	// LiveKit is the door for clients of LiveKit's SDKs; without a Verifier there is none.
	LiveKit LiveKit
	// Certificates are for browsers.
	Certificates Certificates
	// HTTPS serves HTTP with those certificates; otherwise it is in the clear.
	HTTPS bool
	// Public says how clients find the node, and what it costs.
	Public Public
	// Protect says how tracks that enter here survive the loss of a node or a link.
	Protect backbone.ProtectRules
	// AllowedOrigins are origins of pages that may use the node beside its own.
	AllowedOrigins []string

	// Credentials prove the node to other nodes, and Peers finds them. Nil
	// Credentials: the node stands alone, and Peers is not used.
	Credentials *ca.Store
	Peers       discovery.Source
	// PeersAdvice: what Peers takes away is advice, as discovery.Stable means it.
	// PeersFile keeps the list over restarts then; default: it is not kept.
	PeersAdvice bool
	PeersFile   string

	// Mesh, if set, changes the backbone's configuration before it is used, in
	// simulations.
	Mesh func(*backbone.Config)
	// Relay bounds tracks and their caches. Its Metrics are set by New.
	Relay relay.Config
	// Limits bound what clients may take.
	Limits Limits
	// Shutdown is how long clients and peers may take to leave. Default 10 s,
	// negative: no time at all.
	Shutdown time.Duration
	// WallClock is the node's own clock, which stamps objects. Default: time.Now.
	WallClock func() time.Time
	// Log receives what happens. Default: nowhere.
	Log *slog.Logger
}

// LiveKit describes the door for clients of LiveKit's SDKs. A zero limit means the
// default of edge/livekit.
type LiveKit struct {
	Verifier        livekit.Verifier
	MaxParticipants int
	MaxViewers      int
	JoinsPerSecond  int
}

// Limits bound what clients may take. A zero field means the default of the
// package that it is for.
type Limits struct {
	// Viewers is from how many clients on newcomers by WebRTC are sent elsewhere.
	// Default: Sessions and Connections together.
	Viewers             int
	Sessions            int // WebRTC
	SessionsPerIdentity int // WebRTC
	Connections         int // WebTransport
	Children            int // other nodes that one track is sent to; negative: none
	// HalfOpen is the number of unfinished QUIC handshakes from which on clients
	// must prove their address first. Default 256.
	HalfOpen int
}

const (
	defaultShutdown = 10 * time.Second
	defaultHalfOpen = 256
	// As in edge/rtc and edge/moq.
	defaultSessions    = 10_000
	defaultConnections = 20_000
)

func (c Config) withDefaults() (Config, error) {
	for what, name := range map[string]string{"ID": c.ID, "Region": c.Region, "Cluster": c.Cluster} {
		if err := ca.CheckName("node.Config."+what, name); err != nil {
			return c, err
		}
	}
	switch {
	case c.Sockets.QUIC == nil || c.Sockets.WebRTC == nil:
		return c, errors.New("node.Config.Sockets: QUIC and WebRTC are required")
	case c.Verifier == nil:
		return c, errors.New("node.Config.Verifier is nil")
	case c.Certificates == nil:
		return c, errors.New("node.Config.Certificates is nil")
	case c.Credentials != nil && c.Peers == nil:
		return c, errors.New("node.Config.Peers is nil, but there are credentials for a backbone")
	case c.Limits.HalfOpen < 0:
		return c, fmt.Errorf("node.Config.Limits.HalfOpen is %d: must not be negative", c.Limits.HalfOpen)
	}
	if c.Credentials != nil {
		want := ca.Identity{Cluster: c.Cluster, Region: c.Region, Node: c.ID}
		if have := c.Credentials.Get().Identity(); have != want {
			return c, fmt.Errorf("node.Config: the credentials are for %s, the node is %s", have, want)
		}
	}
	if c.Limits.HalfOpen == 0 {
		c.Limits.HalfOpen = defaultHalfOpen
	}
	if c.Limits.Sessions == 0 {
		c.Limits.Sessions = defaultSessions
	}
	if c.Limits.Connections == 0 {
		c.Limits.Connections = defaultConnections
	}
	c.Public.URL = strings.TrimSuffix(c.Public.URL, "/")
	if c.Shutdown == 0 {
		c.Shutdown = defaultShutdown
	}
	if c.WallClock == nil {
		c.WallClock = time.Now
	}
	if c.Version == "" {
		c.Version = "unknown"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
