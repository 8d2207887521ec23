package rtc

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"trellis/internal/relay"
	"trellis/wire"
)

// Role says what a session does.
type Role uint8

// The roles.
const (
	RolePublisher Role = iota
	RoleViewer
	numRoles
)

// String returns the word used in logs, metrics and the API.
func (r Role) String() string {
	switch r {
	case RolePublisher:
		return "publisher"
	case RoleViewer:
		return "viewer"
	case numRoles:
	}
	return "unknown"
}

// Request asks for a session.
type Request struct {
	// Broadcast is what to publish or to view.
	Broadcast wire.Broadcast
	// Identity is who asks: the id of the grant.
	Identity string
	// Expires ends the session; zero for never.
	Expires time.Time
	// Offer is the client's SDP.
	Offer string
}

// Session is one client's peer connection. Its methods are safe for concurrent
// use. It lives from Edge.Publish or Edge.Play until the client hangs up or
// vanishes, its grant expires, there is nothing left to do, or End is called.
type Session struct {
	// Fixed once the session is handed out.
	id        string
	role      Role
	broadcast wire.Broadcast
	identity  string
	created   time.Time
	edge      *Edge
	log       *slog.Logger
	pc        *webrtc.PeerConnection
	answer    string
	ingest    *ingest // of a publisher

	ctx       context.Context
	end       context.CancelCauseFunc
	connected chan struct{} // closed once media can flow
	tasks     tasks

	negotiation sync.Mutex // held across an ICE restart
	offer       string     // the last one that was applied; guarded by negotiation

	mu   sync.Mutex
	etag string
}

func (e *Edge) newSession(role Role, req Request) *Session {
	id := newSessionID()
	s := &Session{
		id: id, role: role, broadcast: req.Broadcast, identity: req.Identity, created: time.Now(), edge: e,
		log: e.log.With(slog.String("session", id[:logIDLen]), slog.String("role", role.String()),
			slog.String("broadcast", string(req.Broadcast))),
		connected: make(chan struct{}),
	}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	return s
}

// logIDLen is how much of an id is logged: enough to find it again, too little
// to use it.
const logIDLen = 8

// newSessionID returns 128 random bits: a session's URL must not be guessable
// (RFC 9725, Section 5).
func newSessionID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ID returns the unguessable id.
func (s *Session) ID() string { return s.id }

// Role says whether the client publishes or views.
func (s *Session) Role() Role { return s.role }

// Identity returns who made the session.
func (s *Session) Identity() string { return s.identity }

// Broadcast returns what is published or viewed.
func (s *Session) Broadcast() wire.Broadcast { return s.broadcast }

// Answer returns the SDP answer.
func (s *Session) Answer() string { return s.answer }

// Context ends with the session; its cause says why.
func (s *Session) Context() context.Context { return s.ctx }

// cause returns why the session is over, nil while it is not.
func (s *Session) cause() error { return context.Cause(s.ctx) }

// End ends the session. cause is what logs and Context say.
func (s *Session) End(cause error) { s.end(cause) }

// connect makes the peer connection out of the offer, after prepare has set up
// what depends on the role, and makes the answer. The session is handed out
// when it returns, and runs.
//
// finish is called when it is over, after all of its tasks have ended.
func (s *Session) connect(
	ctx context.Context, api *webrtc.API, offer string, expires time.Time, prepare func() error, finish func(cause error),
) error {
	if err := s.edge.admit(s); err != nil {
		return err
	}
	err := s.negotiate(ctx, api, offer, prepare)
	if err != nil {
		s.end(err)
	}
	go func() {
		s.supervise(expires)
		s.shut()
		finish(s.cause())
		s.edge.leave(s)
	}()
	return err
}

func (s *Session) negotiate(ctx context.Context, api *webrtc.API, offer string, prepare func() error) error {
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{s.edge.cert},
		BundlePolicy: webrtc.BundlePolicyMaxBundle,
	})
	if err != nil {
		return fmt.Errorf("peer connection: %w", err)
	}
	s.pc = pc
	var once sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(s.connected) })
		case webrtc.PeerConnectionStateFailed:
			s.end(ErrSilent)
		case webrtc.PeerConnectionStateClosed: // the client's DTLS close, unless we did
			s.end(ErrHungUp)
		case webrtc.PeerConnectionStateUnknown, webrtc.PeerConnectionStateNew,
			webrtc.PeerConnectionStateConnecting, webrtc.PeerConnectionStateDisconnected:
		}
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return fmt.Errorf("%w: %w", ErrBadOffer, err)
	}
	if err := prepare(); err != nil {
		return err
	}
	answer, err := s.makeAnswer(ctx)
	if err != nil {
		return err
	}
	s.answer, s.offer, s.etag = answer, offer, newETag()
	return nil
}

// makeAnswer answers the offer that was set, with all our candidates in it: on a
// multiplexed port they are known at once.
func (s *Session) makeAnswer(ctx context.Context) (string, error) {
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("create answer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("set answer: %w", err)
	}
	select {
	case <-gathered:
		return s.pc.LocalDescription().SDP, nil
	case <-s.ctx.Done():
		return "", s.cause()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// endWith ends the session when a broadcast ends; stop undoes that.
func (s *Session) endWith(b *relay.Broadcast) (stop func() bool) {
	ctx := b.Context()
	return context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
}

// supervise returns when the session is over, and ends it when its time has come.
func (s *Session) supervise(expires time.Time) {
	setup := time.NewTimer(s.edge.cfg.SetupTimeout)
	defer setup.Stop()
	var expiry <-chan time.Time
	if !expires.IsZero() {
		t := time.NewTimer(time.Until(expires))
		defer t.Stop()
		expiry = t.C
	}
	connected := s.connected
	for s.ctx.Err() == nil {
		select {
		case <-connected:
			setup.Stop()
			connected = nil
			s.edge.metrics.setup.Observe(time.Since(s.created).Seconds())
			s.log.Info("session connected")
		case <-setup.C:
			s.end(ErrSetupTimeout)
		case <-expiry:
			s.end(ErrExpired)
		case <-s.ctx.Done():
		}
	}
}

// shut closes the peer connection and waits for everything that ran on it.
func (s *Session) shut() {
	if s.pc != nil {
		if err := s.pc.GracefulClose(); err != nil {
			s.log.Debug("close peer connection", slog.Any("err", err))
		}
	}
	s.tasks.finish()
	cause := s.cause()
	s.edge.metrics.ended(s.role, cause)
	s.log.Info("session ended", slog.Any("cause", cause), slog.Duration("after", time.Since(s.created)))
}

// isConnected reports whether ICE and DTLS were complete.
func (s *Session) isConnected() bool {
	select {
	case <-s.connected:
		return true
	default:
		return false
	}
}

// AddCandidates adds candidates that the client trickles (RFC 8840). They are
// optional for us: a lite agent learns the client's address from its checks.
func (s *Session) AddCandidates(candidates []webrtc.ICECandidateInit) error {
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("add candidates: %w", ErrClosed)
	}
	var errs []error
	for _, c := range candidates {
		if err := s.pc.AddICECandidate(c); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ETag returns the entity tag of the current ICE session: RFC 9725, Section 4.3.1.
func (s *Session) ETag() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.etag
}

func newETag() string { return `"` + newSessionID()[:11] + `"` }
