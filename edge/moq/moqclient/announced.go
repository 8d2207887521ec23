package moqclient

import (
	"context"
	"fmt"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// Announcement says that a broadcast is there, or there no longer.
type Announcement struct {
	// Broadcast is the whole name, relative to the session's path.
	Broadcast string
	Active    bool
	// Hops are the hop ids from the publisher to the node; the first identifies
	// the publisher.
	Hops []uint64
}

// Announcements follows the broadcasts below a prefix. Next is for one
// goroutine at a time.
type Announcements struct {
	session *Session
	stream  *stream
	prefix  string
	hop     uint64 // the node's own, on 05
	initial uint64 // announcements of the initial set still to come, on 05
}

// Announcements asks for the broadcasts below prefix: first those that are there
// (the count of which only 05 tells), then every change. The broadcasts of this
// session are not among them. Close it when done.
func (s *Session) Announcements(ctx context.Context, prefix string) (*Announcements, error) {
	st, err := s.open(ctx, moqlite.StreamAnnounce, moqlite.AnnounceRequest{Prefix: prefix, ExcludeHop: s.cfg.HopID})
	if err != nil {
		return nil, fmt.Errorf("announcements of %q: %w", prefix, err)
	}
	a := &Announcements{session: s, stream: st, prefix: moqlite.CleanPath(prefix)}
	if s.version >= moqlite.Version05 {
		stop := st.resetOn(ctx, wire.CodeTimeout)
		body, err := st.in.Message()
		if !stop() && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var ok moqlite.AnnounceOK
		if err == nil {
			ok, err = moqlite.ParseAnnounceOK(body, s.version)
		}
		if err != nil {
			st.reset(wire.CodeCancel)
			return nil, fmt.Errorf("announcements of %q: %w", prefix, err)
		}
		a.hop, a.initial = ok.Hop, ok.Active
	}
	return a, nil
}

// Initial returns how many announcements are still to come of those that were
// live when the request was answered. Before 05 it is always zero.
func (a *Announcements) Initial() uint64 { return a.initial }

// Next waits for the next announcement. io.EOF: the node ended them, and with
// that every broadcast below the prefix. When ctx ends, so do the announcements.
func (a *Announcements) Next(ctx context.Context) (Announcement, error) {
	stop := a.stream.resetOn(ctx, wire.CodeCancel)
	defer stop()
	body, err := a.stream.in.Message()
	if err != nil {
		if ctx.Err() != nil {
			return Announcement{}, context.Cause(ctx)
		}
		return Announcement{}, err
	}
	m, err := moqlite.ParseAnnounce(body, a.session.version)
	if err != nil {
		a.session.fail(err)
		return Announcement{}, err
	}
	if a.initial > 0 {
		a.initial--
	}
	name := a.prefix
	if m.Suffix != "" {
		name = moqlite.CleanPath(a.prefix + "/" + m.Suffix)
	}
	hops := m.Hops
	if a.hop != 0 {
		hops = append(hops, a.hop)
	}
	return Announcement{Broadcast: name, Active: m.Active, Hops: hops}, nil
}

// Wait returns once the broadcast is announced below the prefix.
func (a *Announcements) Wait(ctx context.Context, broadcast string) (Announcement, error) {
	for {
		e, err := a.Next(ctx)
		if err != nil {
			return e, err
		}
		if e.Active && e.Broadcast == broadcast {
			return e, nil
		}
	}
}

// Close ends the announcements.
func (a *Announcements) Close() { a.stream.finish() }
