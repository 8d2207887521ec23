package rtc

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"

	"trellis/edge/rtc/transport"
	"trellis/internal/allowance"
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
	// OnDemand is told whenever another layer of a publisher's picture is wanted or
	// unwanted, for protocols that can tell the client. It must not block. Nil: the
	// client is limited by RTCP to what the wanted layers need.
	OnDemand func([]LayerDemand)
}

// Session is one client's connection. Its methods are safe for concurrent
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
	conn      connection
	answer    string
	ingest    *ingest // of a publisher

	steering atomic.Pointer[steering] // of a viewer, once its tracks are known

	ctx       context.Context
	end       context.CancelCauseFunc
	connected chan struct{} // closed once media can flow
	tasks     tasks

	negotiation sync.Mutex       // held across an ICE restart
	iceRestarts allowance.Bucket // guarded by it

	mu   sync.Mutex
	etag string
}

func (e *Edge) newSession(role Role, req Request) *Session {
	id := newSessionID()
	s := &Session{
		id: id, role: role, broadcast: req.Broadcast, identity: req.Identity, created: time.Now(), edge: e,
		log: e.log.With(slog.String("session", id[:logIDLen]), slog.String("role", role.String()),
			slog.String("broadcast", string(req.Broadcast))),
		connected: make(chan struct{}), iceRestarts: allowance.New(iceRestartRate, iceRestartBurst),
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

// connection is what carries a session: a publisher's or a viewer's transport.
type connection interface {
	// restart begins a new ICE session and returns the new answer.
	restart(ctx context.Context, ufrag, pwd string) (answer string, err error)
	// close ends it and waits for everything that ran on it.
	close() error
}

// connect makes the connection of a session that was admitted with negotiate, which
// also returns the answer. The session is handed out when it returns, and runs. It
// has no goroutine: there are as many sessions as viewers, and nearly all of them wait.
//
// finish is called when it is over, after all of its tasks have ended.
func (s *Session) connect(
	expires time.Time, negotiate func() (connection, string, error), finish func(cause error),
) error {
	timers := []*time.Timer{time.AfterFunc(s.edge.cfg.SetupTimeout, func() {
		if !s.isConnected() {
			s.end(ErrSetupTimeout)
		}
	})}
	if !expires.IsZero() {
		timers = append(timers, time.AfterFunc(time.Until(expires), func() { s.end(ErrExpired) }))
	}
	conn, answer, err := negotiate()
	s.conn, s.answer, s.etag = conn, answer, newETag()
	if err != nil {
		s.end(err)
	}
	context.AfterFunc(s.ctx, func() {
		for _, t := range timers {
			t.Stop()
		}
		s.shut()
		finish(s.cause())
		s.edge.leave(s)
	})
	return err
}

// isUp says that media can flow. It is called once.
func (s *Session) isUp() {
	close(s.connected)
	s.edge.metrics.setup.Observe(time.Since(s.created).Seconds())
	s.log.Info("session connected")
}

// endWith ends the session when a broadcast ends; stop undoes that.
func (s *Session) endWith(b *relay.Broadcast) (stop func() bool) {
	ctx := b.Context()
	return context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
}

// endWithConn ends the session when its transport ends.
func (s *Session) endWithConn(conn *transport.Conn) {
	context.AfterFunc(conn.Context(), func() {
		switch err := context.Cause(conn.Context()); {
		case errors.Is(err, transport.ErrSilent):
			s.end(ErrSilent)
		case errors.Is(err, transport.ErrHungUp):
			s.end(ErrHungUp)
		default:
			s.end(err)
		}
	})
}

// shut closes the connection and waits for everything that ran on it.
func (s *Session) shut() {
	if s.conn != nil {
		if err := s.conn.close(); err != nil {
			s.log.Debug("close connection", slog.Any("err", err))
		}
	}
	s.tasks.finish()
	cause := s.cause()
	s.edge.metrics.ended(s.role, cause)
	s.log.Info("session ended", slog.Any("cause", cause), slog.Duration("after", time.Since(s.created)))
}

// Connected is closed once media can flow.
func (s *Session) Connected() <-chan struct{} { return s.connected }

// isConnected reports whether ICE and DTLS were complete.
func (s *Session) isConnected() bool {
	select {
	case <-s.connected:
		return true
	default:
		return false
	}
}

// AddCandidates takes note of candidates that the client trickles (RFC 8840). They
// are of no use to a lite agent, which learns the client's addresses from its checks,
// and could only send it elsewhere: nothing is kept of them.
func (s *Session) AddCandidates(candidates []string) error {
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("add candidates: %w", ErrClosed)
	}
	var errs []error
	for _, c := range candidates {
		if err := checkCandidate(c); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// checkCandidate reads a candidate, or the empty one that says that it was the last.
func checkCandidate(c string) error {
	value := strings.TrimPrefix(c, "candidate:")
	if value == "" {
		return nil
	}
	if _, err := ice.UnmarshalCandidate(value); err != nil {
		return fmt.Errorf("candidate: %w", err)
	}
	return nil
}

// ETag returns the entity tag of the current ICE session: RFC 9725, Section 4.3.1.
func (s *Session) ETag() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.etag
}

func newETag() string { return `"` + newSessionID()[:11] + `"` }
