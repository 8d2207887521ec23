package moq

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"trellis/wire"
	"trellis/wire/moqlite"
)

const (
	// farewellTime is how long a client that came to a node that takes nobody may
	// take to follow the way that it is told.
	farewellTime = time.Second
	// maxFarewells bounds those; the rest is refused without further words.
	maxFarewells = 256
)

var errGoingAway = refuse(wire.CodeGoingAway, refuseDraining, "the node is going away")

// Drain refuses new sessions and asks all clients to leave. It does not wait for
// them: sessions go on until they leave, or until EndAll. Clients of versions
// without GOAWAY, and those that take no notice of it, learn of it at the end.
func (s *Server) Drain() {
	s.mu.Lock()
	s.draining = true
	all := s.allLocked()
	s.mu.Unlock()
	s.cfg.Log.Debug("draining", slog.Int("sessions", len(all)))
	for _, ss := range all {
		ss.goaway()
	}
}

// Undrain takes new sessions again. Clients that were asked to leave and have
// not may stay.
func (s *Server) Undrain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = false
}

// EndAll ends all sessions because the node is going away, and returns how many
// there were. It does not wait for their end.
func (s *Server) EndAll() int {
	s.mu.Lock()
	all := s.allLocked()
	s.mu.Unlock()
	for _, ss := range all {
		ss.end(errGoingAway)
	}
	return len(all)
}

func (s *Server) allLocked() []*session {
	all := make([]*session, 0, len(s.sessions))
	for ss := range s.sessions {
		all = append(all, ss)
	}
	return all
}

// Clients returns how many sessions publish something, and how many do not.
func (s *Server) Clients() (publishers, viewers int) {
	s.mu.Lock()
	all := s.allLocked()
	s.mu.Unlock()
	for _, ss := range all {
		if ss.publishes() {
			publishers++
		} else {
			viewers++
		}
	}
	return publishers, viewers
}

func (ss *session) publishes() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.publishing) > 0
}

// elsewhere is the same session at another node: its URL with the path, and with
// the token that the client came with. Empty: no other node is known.
func (ss *session) elsewhere() string {
	base := ss.cfg.Elsewhere(ss.conn.RemoteAddr().String())
	if base == "" {
		return ""
	}
	return strings.TrimSuffix(base, "/") + ss.at
}

// goaway tells the client that the session will end soon, and where to go.
func (ss *session) goaway() {
	if ss.version.HasGoaway() {
		ss.start(func() { _ = ss.sendGoaway(ss.ctx, ss.elsewhere()) }) // it will find out when the session ends
	}
}

func (ss *session) sendGoaway(ctx context.Context, uri string) error {
	ctx, cancel := context.WithTimeout(ctx, ss.cfg.HeaderTimeout)
	defer cancel()
	st, err := ss.open(ctx, moqlite.StreamGoaway, moqlite.Goaway{URI: uri})
	if err != nil {
		return err
	}
	st.finish()
	return nil
}

// farewell sends a client that is refused to another node, and gives it a moment
// to go there. The session does not run.
func (ss *session) farewell(ctx context.Context) {
	if !ss.version.HasGoaway() {
		return
	}
	uri := ss.elsewhere()
	if uri == "" || !ss.server.farewells.take() {
		return
	}
	defer ss.server.farewells.give()
	if ss.sendGoaway(ctx, uri) != nil {
		return // it left, or takes no stream
	}
	timer := time.NewTimer(farewellTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-ss.wt.Context().Done():
	}
}
