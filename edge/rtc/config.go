package rtc

import (
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/pion/transport/v4"
	"github.com/prometheus/client_golang/prometheus"

	"trellis/internal/relay"
	"trellis/internal/telemetry"
)

// Config configures an Edge. A zero field means its default.
type Config struct {
	// Table is where ingested broadcasts are announced and viewers subscribe.
	// Required.
	Table *relay.Table
	// Origin is this node's id, the origin of what is published here. Required.
	Origin string
	// UDP carries all media. Required. A *net.UDPConn keeps pion's path without
	// allocations. The edge closes it.
	UDP net.PacketConn
	// TCP accepts ICE over TCP for clients without UDP; nil for none. The edge
	// closes it.
	TCP net.Listener
	// Net replaces the host's network, in simulations. Nil: the host's.
	Net transport.Net
	// PublicAddrs are the addresses that clients reach the ports at, where they
	// differ from the local ones (1:1 NAT). Empty: the local ones.
	PublicAddrs []netip.Addr
	// Key is the DTLS key, one for all sessions. Nil: a fresh ECDSA P-256 key.
	Key crypto.PrivateKey
	// OnlyGCM turns away clients without AEAD_AES_128_GCM, such as GStreamer's. Others
	// are taken with AES_CM_128_HMAC_SHA1_80, which all clients have (RFC 8827,
	// Section 6.5), at five times the CPU cost per packet.
	OnlyGCM bool

	// NoGSO sends packet by packet even where the kernel could segment.
	NoGSO bool

	// MaxSessions bounds all sessions together. Default 10,000.
	MaxSessions int
	// MaxSessionsPerIdentity bounds those of one grant id. Default 1,000.
	MaxSessionsPerIdentity int
	// MaxTCP bounds the connections of ICE over TCP. Default 10,000.
	MaxTCP int
	// MaxTCPPerAddr bounds those of one address (IPv6: one /64), behind which a whole
	// company can be. Default 1,000.
	MaxTCPPerAddr int
	// SetupTimeout is how long ICE and DTLS may take. Default 10 s.
	SetupTimeout time.Duration
	// SilenceTimeout is how long a client may send nothing at all, media, RTCP or
	// ICE checks, before its session ends. Default 8 s.
	SilenceTimeout time.Duration

	// AudioGroup is how many Opus frames make a group. Default 5, 100 ms.
	AudioGroup int
	// MaxGroup is how long a group of video may last before the publisher is asked
	// for a key frame. Browsers send none by themselves, and whoever joins is sent
	// the whole group. Default 4 s.
	MaxGroup time.Duration
	// CatalogWait is how long the first catalog waits until all tracks of the
	// publisher are known. Default 2 s.
	CatalogWait time.Duration

	// Clock is this node's wall clock, for the ages of objects. Nil: time.Now.
	Clock func() time.Time
	// Events remembers what viewers have missed; nil for nobody.
	Events *telemetry.Events
	// Decisions remembers which layers viewers were put on and why; nil for nobody.
	Decisions *telemetry.Events
	// Log receives what happens to sessions. Nil: nothing.
	Log *slog.Logger
	// Metrics receives the package's collectors; nil for none.
	Metrics prometheus.Registerer
}

// wall returns what the node's wall clock says at a time of the process's.
func (c Config) wall(at time.Time) time.Time {
	if c.Clock == nil {
		return at
	}
	return at.Add(time.Until(c.Clock()))
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Table == nil:
		return c, errors.New("rtc.Config.Table is required")
	case c.Origin == "":
		return c, errors.New("rtc.Config.Origin is required")
	case c.UDP == nil:
		return c, errors.New("rtc.Config.UDP is required")
	}
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{
		{"MaxSessions", &c.MaxSessions, 10_000},
		{"MaxSessionsPerIdentity", &c.MaxSessionsPerIdentity, 1_000},
		{"MaxTCP", &c.MaxTCP, 10_000},
		{"MaxTCPPerAddr", &c.MaxTCPPerAddr, 1_000},
		{"AudioGroup", &c.AudioGroup, 5},
	} {
		if *f.v < 0 {
			return c, fmt.Errorf("rtc.Config.%s is %d: must not be negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"SetupTimeout", &c.SetupTimeout, 10 * time.Second},
		{"SilenceTimeout", &c.SilenceTimeout, 8 * time.Second},
		{"MaxGroup", &c.MaxGroup, 4 * time.Second},
		{"CatalogWait", &c.CatalogWait, 2 * time.Second},
	} {
		if *f.v < 0 {
			return c, fmt.Errorf("rtc.Config.%s is %v: must not be negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	for _, a := range c.PublicAddrs {
		if !a.IsValid() || a.IsUnspecified() {
			return c, fmt.Errorf("rtc.Config.PublicAddrs: %v is not an address that a client could reach", a)
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
