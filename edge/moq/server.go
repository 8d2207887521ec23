package moq

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// Server serves MoQ sessions. Its methods are safe for concurrent use.
type Server struct {
	cfg     Config
	metrics *metrics
	hop     uint64 // our own hop id
	wt      *webtransport.Server
	conns   sync.Map // *quic.Conn to *connection, from ServeConn to the handler

	mu       sync.Mutex // guards what follows
	sessions map[*session]struct{}
	draining bool

	farewells limit // newcomers that are being sent elsewhere
}

// connection is a QUIC connection that is being served.
type connection struct {
	ctx  context.Context // the caller's of ServeConn
	over chan struct{}   // closed when its session has ended
	once sync.Once       // guards begun: a connection carries one session
	conn *quic.Conn

	begun chan struct{} // closed when it asked for a session
}

// New returns a Server.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, metrics: m, hop: wire.HopID(cfg.NodeID), sessions: map[*session]struct{}{}, farewells: limit{max: maxFarewells}}
	protocols := make([]string, 0, len(moqlite.Versions()))
	for _, v := range moqlite.Versions() {
		protocols = append(protocols, v.String())
	}
	s.wt = &webtransport.Server{
		H3: &http3.Server{
			Handler:     http.HandlerFunc(s.serveHTTP),
			ConnContext: s.connContext,
			// The library logs request URIs, and tokens are in them.
			Logger: slog.New(slog.DiscardHandler),
		},
		ApplicationProtocols: protocols,
		// serveHTTP has looked at the origin before.
		CheckOrigin: s.allowsOrigin,
	}
	return s, nil
}

type connectionKey struct{}

// connContext lets the handler find the connection that a request came on.
func (s *Server) connContext(ctx context.Context, conn *quic.Conn) context.Context {
	c, _ := s.conns.Load(conn)
	return context.WithValue(ctx, connectionKey{}, c)
}

// closeGrace is how long the end of a session may take to reach the client
// before its connection is closed below it.
const closeGrace = time.Second

// ServeConn serves a connection that negotiated "h3" until it ends. When ctx ends
// the client is told that we are going away. The connection must have been set
// up as QUICConfig says.
func (s *Server) ServeConn(ctx context.Context, conn *quic.Conn) error {
	c := &connection{ctx: ctx, conn: conn, over: make(chan struct{}), begun: make(chan struct{})}
	s.conns.Store(conn, c)
	defer s.conns.Delete(conn)
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() { s.watchConn(c) })
	if err := s.wt.ServeQUICConn(conn); err != nil {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeInternalError), "") // closed either way
		return fmt.Errorf("serve %v: %w", conn.RemoteAddr(), err)
	}
	return nil
}

// watchConn closes the connection when there is no session on it (any more).
func (s *Server) watchConn(c *connection) {
	end := func(reason string) {
		// An error means that it was closed before.
		_ = c.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), reason)
	}
	timer := time.NewTimer(s.cfg.HeaderTimeout)
	defer timer.Stop()
	select {
	case <-c.begun:
	case <-timer.C:
		s.metrics.refuse(refuseSilent)
		end("no session was asked for")
		return
	case <-c.ctx.Done():
		end("going away")
		return
	case <-c.conn.Context().Done():
		return
	}
	// The session ends by itself when c.ctx does.
	<-c.over
	timer.Reset(closeGrace)
	select {
	case <-timer.C:
		end("")
	case <-c.conn.Context().Done():
	}
}

// add registers a session, unless there are too many.
func (s *Server) add(ss *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return errGoingAway
	case len(s.sessions) >= s.cfg.MaxSessions:
		return refuse(wire.CodeTooMany, refuseSessions, "the node is full")
	}
	s.sessions[ss] = struct{}{}
	s.metrics.active.Inc()
	return nil
}

func (s *Server) remove(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ss)
	s.metrics.active.Dec()
}

// Sessions returns how many sessions there are.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}
