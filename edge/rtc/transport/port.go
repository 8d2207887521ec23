package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// Config describes a Port. Fields without a stated default are required.
type Config struct {
	// Demux has the socket that carries media, and UDPMux reads from it. A
	// *net.UDPConn is written to in batches, anything else packet by packet.
	Demux  *Demux
	UDPMux ice.UDPMux
	// TCPMux is for clients without UDP; nil for none.
	TCPMux ice.TCPMux
	// Net replaces the host's network; nil: the host's.
	Net transport.Net
	// PublicAddrs replace the local addresses in candidates.
	PublicAddrs []netip.Addr
	// Certificate proves who we are to DTLS clients.
	Certificate tls.Certificate
	// Profiles are the SRTP profiles on offer, in order of preference.
	Profiles []dtls.SRTPProtectionProfile
	// Silence is how long a client may send nothing. It has no default.
	Silence time.Duration
	// NoGSO sends packet by packet even where the kernel could do better.
	NoGSO bool
	// Logger receives what pion says. Default: nobody.
	Logger logging.LoggerFactory
	// Log receives what happens to the port. Default: nowhere.
	Log *slog.Logger
}

// Port is what all Conns of a node share. Its methods are safe for concurrent use.
type Port struct {
	cfg  Config
	gso  atomic.Bool
	opts []ice.AgentOption
}

// NewPort returns a port that uses the sockets of cfg, which stay the caller's.
func NewPort(cfg Config) (*Port, error) {
	switch {
	case cfg.Demux == nil || cfg.UDPMux == nil:
		return nil, errors.New("transport.Config: Demux and UDPMux are required")
	case len(cfg.Certificate.Certificate) == 0:
		return nil, errors.New("transport.Config.Certificate is empty")
	case len(cfg.Profiles) == 0:
		return nil, errors.New("transport.Config.Profiles are empty")
	case cfg.Silence <= 0:
		return nil, fmt.Errorf("transport.Config.Silence is %v: must be positive", cfg.Silence)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Net == nil {
		// An agent would list the host's interfaces anew, and keep the list.
		host, err := stdnet.NewNet()
		if err != nil {
			return nil, fmt.Errorf("transport: %w", err)
		}
		cfg.Net = host
	}
	p := &Port{cfg: cfg}
	p.gso.Store(cfg.Demux.segments() && !cfg.NoGSO)
	networks := []ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6}
	if cfg.TCPMux != nil {
		networks = append(networks, ice.NetworkTypeTCP4, ice.NetworkTypeTCP6)
	}
	p.opts = []ice.AgentOption{
		ice.WithICELite(true), // RFC 8445, Section 2.5: for those with a public address
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithNetworkTypes(networks),
		ice.WithIncludeLoopback(), // on a loopback listener it is all there is
		ice.WithUDPMux(cfg.UDPMux),
		// Conn.listen decides, since the agent hears only the client's checks.
		ice.WithDisconnectedTimeout(cfg.Silence),
		ice.WithFailedTimeout(0),
		ice.WithKeepaliveInterval(keepalive),
		ice.WithLoggerFactory(cfg.Logger),
		ice.WithNet(cfg.Net),
	}
	if cfg.TCPMux != nil {
		p.opts = append(p.opts, ice.WithTCPMux(cfg.TCPMux))
	}
	if len(cfg.PublicAddrs) > 0 {
		rule := ice.AddressRewriteRule{AsCandidateType: ice.CandidateTypeHost, Mode: ice.AddressRewriteReplace}
		for _, a := range cfg.PublicAddrs {
			rule.External = append(rule.External, a.String())
		}
		p.opts = append(p.opts, ice.WithAddressRewriteRules(rule))
	}
	return p, nil
}

const keepalive = 2 * time.Second

// Batches reports whether several packets go to the kernel in one call.
func (p *Port) Batches() bool { return p.gso.Load() }

// Fingerprint is the hash of our certificate, for a=fingerprint.
func (p *Port) Fingerprint() string { return fingerprint(p.cfg.Certificate.Certificate[0]) }

// Open makes a Conn that has its own candidates and waits for Start. It blocks
// for as long as it takes to gather them: on multiplexed ports, microseconds.
func (p *Port) Open(ctx context.Context) (*Conn, error) {
	agent, err := ice.NewAgentWithOptions(p.opts...)
	if err != nil {
		return nil, fmt.Errorf("ICE agent: %w", err)
	}
	c := newConn(p, agent)
	if err := c.watch(); err != nil {
		return nil, errors.Join(err, agent.Close())
	}
	if err := c.gather(ctx); err != nil {
		return nil, errors.Join(err, agent.Close())
	}
	return c, nil
}
