package backbone

import (
	"context"
	"log/slog"
	"time"

	"trellis/wire"
	"trellis/wire/peer"
)

// Drain tells all peers that this node will close its links within deadline. It
// takes no new subscriptions from then on, but for broadcasts that enter here:
// nobody else has them. Children move away, Run goes on. A second call moves the
// deadline.
func (m *Mesh) Drain(ctx context.Context, deadline time.Duration, reason string) error {
	return m.call(ctx, func() {
		m.draining, m.drainBy = true, time.Now().Add(deadline)
		m.advertiseSelf(time.Now())
		m.log.Debug("draining", slog.Duration("deadline", deadline), slog.String("cause", reason))
		for _, l := range m.links {
			l.say(m.goAway(deadline, reason))
		}
	})
}

// Undrain takes Drain back: peers may subscribe here again.
func (m *Mesh) Undrain(ctx context.Context, reason string) error {
	return m.call(ctx, func() {
		if !m.draining {
			return
		}
		m.draining, m.drainBy = false, time.Time{}
		m.advertiseSelf(time.Now())
		m.log.Debug("serving again", slog.String("cause", reason))
		for _, l := range m.links {
			l.say(peer.GoAway{Code: wire.CodeCancel, Reason: truncate(reason)})
		}
	})
}

// Children returns how many subscriptions of other nodes this one serves.
func (m *Mesh) Children(ctx context.Context) (int, error) {
	n := 0
	err := m.call(ctx, func() {
		for _, l := range m.links {
			n += len(l.children)
		}
	})
	return n, err
}

// Evict ends all subscriptions of other nodes. Those that did not find another
// parent before look for one now.
func (m *Mesh) Evict(ctx context.Context) (int, error) {
	n := 0
	err := m.call(ctx, func() {
		for _, l := range m.links {
			for _, c := range l.children {
				l.say(peer.TrackEnd{ID: c.id, Code: wire.CodeGoingAway, Streams: c.opened.Load()})
				m.dropChild(c)
				n++
			}
		}
	})
	return n, err
}

func (m *Mesh) goAway(deadline time.Duration, reason string) peer.GoAway {
	return peer.GoAway{Code: wire.CodeGoingAway, DeadlineMs: uint64(max(deadline, 0).Milliseconds()), Reason: truncate(reason)}
}

// onGoAway moves what the peer gives us to other parents, while it still does.
// What enters at the peer stays: there is no other way to it. The code cancel
// takes an earlier GOAWAY back.
func (m *Mesh) onGoAway(l *link, g peer.GoAway) {
	if g.Code == wire.CodeCancel {
		l.log.Info("peer stays", slog.String("cause", g.Reason))
		l.leaving = false
		for _, u := range m.upstreams {
			delete(u.refused, l.peer.Node)
		}
		m.rerouteDue = true
		return
	}
	l.log.Info("peer is leaving", slog.String("cause", g.Reason), slog.Uint64("deadline_ms", g.DeadlineMs))
	l.leaving = true
	m.evacuate(l, "peer_leaves", time.Now())
}

// avoids reports whether a neighbour is not to become the parent of a track from
// origin because it leaves.
func (l *link) avoids(origin string) bool { return l.leaving && l.peer.Node != origin }
