package livekit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
)

// Why somebody cannot enter a room.
var (
	errRoomFull = errors.New("the room has its number of viewers on this node")
	errStopping = errors.New("the node is stopping")
)

// rooms are those that somebody is in.
type rooms struct {
	h *Handler

	mu     sync.Mutex
	all    map[string]*room
	closed bool
	wg     sync.WaitGroup // rooms that have not ended
}

// enter adds a session to the room of its token, which begins with its first one. The
// one with the same identity that is there already is ended: LiveKit knows one each.
func (rs *rooms) enter(s *session) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return errStopping
	}
	name := s.access.Room
	r := rs.all[name]
	if r == nil {
		r = rs.open(name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.sessions[s.access.Identity]
	if old == nil && len(r.sessions) >= rs.h.cfg.MaxViewers {
		return errRoomFull
	}
	if old != nil {
		old.end(errDuplicate)
	}
	r.sessions[s.access.Identity] = s
	s.room = r
	return nil
}

// open begins a room. It must be entered.
func (rs *rooms) open(name string) *room {
	ctx, cancel := context.WithCancel(context.Background())
	r := &room{
		name: name, prefix: wire.Prefix(name), h: rs.h, log: rs.h.log.With(slog.String("room", name)), created: time.Now(), cancel: cancel,
		sessions: map[string]*session{}, shown: map[wire.Broadcast]shown{}, followed: map[wire.Broadcast]*followed{},
		hidden: map[wire.Broadcast]relay.Announcement{},
	}
	rs.all[name] = r
	rs.h.metrics.rooms.Inc()
	rs.wg.Go(func() {
		r.follow(ctx)
		r.wg.Wait()
		rs.h.metrics.rooms.Dec()
	})
	return r
}

// leave takes a session out, and ends its room with the last one.
func (rs *rooms) leave(s *session) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.access.Identity] == s { // else its successor is there
		delete(r.sessions, s.access.Identity)
	}
	if len(r.sessions) == 0 && rs.all[r.name] == r {
		delete(rs.all, r.name)
		r.cancel()
	}
}

// close ends all sessions for cause, lets nobody in any more, and waits for the rooms
// to end: they do when their sessions have left.
func (rs *rooms) close(cause error) {
	rs.mu.Lock()
	rs.closed = true
	for _, r := range rs.all {
		r.mu.Lock()
		for _, s := range r.sessions {
			s.end(cause)
		}
		r.mu.Unlock()
	}
	rs.mu.Unlock()
	rs.wg.Wait()
}
