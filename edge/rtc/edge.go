package rtc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/ice/v4"

	"trellis/edge/rtc/stream"
	"trellis/edge/rtc/transport"
	"trellis/internal/telemetry"
)

// Edge is the WebRTC edge of one node. Its methods are safe for concurrent use.
type Edge struct {
	// Fixed at construction.
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	cert    tls.Certificate
	demux   *transport.Demux
	udpMux  *ice.UDPMuxDefault
	tcpMux  *ice.TCPMuxDefault // nil without TCP
	port    *transport.Port
	egress  *egress
	reaches reaches
	// decisions about viewers' layers.
	decisions *telemetry.Events

	sessionsWG sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	sessions   map[string]*Session
	identities map[string]int // sessions by identity
}

// New returns an Edge that already listens. Run must be called, and ends it.
func New(cfg Config) (*Edge, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Edge{
		cfg:        cfg,
		log:        cfg.Log,
		sessions:   map[string]*Session{},
		identities: map[string]int{},
	}
	if e.demux, err = transport.NewDemux(cfg.UDP); err != nil {
		return nil, fmt.Errorf("rtc: %w", err)
	}
	if e.metrics, err = newMetrics(cfg.Metrics, e.counts); err != nil {
		return nil, fmt.Errorf("rtc metrics: %w", err)
	}
	if err := countUnwanted(cfg.Metrics, e.demux); err != nil {
		return nil, fmt.Errorf("rtc metrics: %w", err)
	}
	if e.cert, err = certificate(cfg); err != nil {
		return nil, err
	}
	if err := e.listen(); err != nil {
		return nil, err
	}
	e.egress = newEgress(cfg.Table, e.port, e.metrics, e.log)
	e.egress.wall = e.cfg.wall
	e.egress.events = cfg.Events
	e.decisions = cfg.Decisions
	return e, nil
}

// certificate makes the self-signed certificate that clients know by its
// fingerprint: RFC 8827, Section 6.5.
func certificate(cfg Config) (tls.Certificate, error) {
	key := cfg.Key
	if key == nil {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("generate DTLS key: %w", err)
		}
		key = k
	}
	cert, err := selfsign.SelfSign(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("DTLS certificate: %w", err)
	}
	return cert, nil
}

// listen puts a multiplexer on each port, which start to read from it.
func (e *Edge) listen() error {
	logger := stream.LoggerFactory{Log: e.log}
	profiles := []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM} // which we choose where there is a choice
	if !e.cfg.OnlyGCM {
		profiles = append(profiles, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	}
	if e.cfg.TCP != nil {
		e.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: transport.NewListener(e.cfg.TCP, e.demux, transport.ListenerConfig{
				Max: e.cfg.MaxTCP, MaxPerAddr: e.cfg.MaxTCPPerAddr, First: e.cfg.SetupTimeout, Silence: e.cfg.SilenceTimeout,
			}), Logger: logger.NewLogger("tcp"),
			ReadBufferSize: tcpReadPackets,
			// With a buffer, a client that does not read loses packets; without
			// one, it would block the lane.
			WriteBufferSize:              tcpWriteBytes,
			FirstStunBindTimeout:         e.cfg.SetupTimeout,
			AliveDurationForConnFromStun: e.cfg.SetupTimeout,
		})
	}
	e.udpMux = ice.NewUDPMuxDefault(ice.UDPMuxParams{
		UDPConn: e.demux, Net: e.cfg.Net, Logger: logger.NewLogger("udp"),
	})
	cfg := transport.Config{
		Demux: e.demux, UDPMux: e.udpMux, Net: e.cfg.Net, PublicAddrs: e.cfg.PublicAddrs, Certificate: e.cert,
		Profiles: profiles, Silence: e.cfg.SilenceTimeout, NoGSO: e.cfg.NoGSO, Logger: logger, Log: e.log,
	}
	if e.tcpMux != nil {
		cfg.TCPMux = e.tcpMux
	}
	var err error
	e.port, err = transport.NewPort(cfg)
	return err
}

const (
	tcpReadPackets = 64
	tcpWriteBytes  = 1 << 20 // three seconds at 2.5 Mbit/s
)

// steer has all viewers' layers thought about, until ctx ends.
func (e *Edge) steer(ctx context.Context) {
	ticker := time.NewTicker(steerEvery)
	defer ticker.Stop()
	var all []*steering
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			all = e.steerings(all[:0])
			for _, st := range all {
				st.tick(now)
			}
			clear(all) // or it holds who has left, lanes and all, until as many come again
		}
	}
}

// steerings appends those of all viewers that are connected.
func (e *Edge) steerings(all []*steering) []*steering {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.sessions {
		if st := s.steering.Load(); st != nil && s.isConnected() {
			all = append(all, st)
		}
	}
	return all
}

// Run serves until ctx ends, then ends all sessions and waits for them.
func (e *Edge) Run(ctx context.Context) error {
	e.steer(ctx)
	e.mu.Lock()
	e.closed = true
	for _, s := range e.sessions {
		s.End(ErrClosed)
	}
	e.mu.Unlock()
	e.sessionsWG.Wait()
	e.egress.wait()
	err := e.udpMux.Close() // closes the socket, too
	if e.tcpMux != nil {
		err = errors.Join(err, e.tcpMux.Close())
	}
	if err != nil {
		return fmt.Errorf("close ports: %w", err)
	}
	return nil
}

// Session returns the session with that id, nil if it is over or never was.
func (e *Edge) Session(id string) *Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[id]
}

// admit takes a place for a session, or says why there is none.
func (e *Edge) admit(s *Session) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return fmt.Errorf("node is shutting down: %w", ErrClosed)
	case len(e.sessions) >= e.cfg.MaxSessions:
		e.metrics.refused[refusedNodeLimit].Inc()
		return fmt.Errorf("%w: the node has its %d", ErrTooMany, e.cfg.MaxSessions)
	case e.identities[s.identity] >= e.cfg.MaxSessionsPerIdentity:
		e.metrics.refused[refusedIdentityLimit].Inc()
		return fmt.Errorf("%w: this identity has its %d", ErrTooMany, e.cfg.MaxSessionsPerIdentity)
	}
	e.sessions[s.id] = s
	e.identities[s.identity]++
	e.sessionsWG.Add(1)
	return nil
}

// leave gives the place back.
func (e *Edge) leave(s *Session) {
	e.mu.Lock()
	delete(e.sessions, s.id)
	if e.identities[s.identity]--; e.identities[s.identity] == 0 {
		delete(e.identities, s.identity)
	}
	e.mu.Unlock()
	e.sessionsWG.Done()
}

// Sessions returns how many clients publish and how many view here.
func (e *Edge) Sessions() (publishers, viewers int) {
	return e.counts(RolePublisher), e.counts(RoleViewer)
}

func (e *Edge) counts(r Role) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, s := range e.sessions {
		if s.role == r {
			n++
		}
	}
	return n
}
