package backbone

import (
	"log/slog"
	"time"

	"trellis/internal/telemetry"
	"trellis/routing/control"
	"trellis/wire/peer"
)

// A spare is a second subscription, at the backup parent that the plan names: on
// standby if the track's protection is warm, live if it is hot. When the parent
// falls silent it is resumed, when the parent is lost it takes its place, without
// asking anybody.

// wantsSpare reports whether an upstream should have a spare feed. A node that
// only stands by for others has none: or backups of backups would carry the track
// to every node.
func (m *Mesh) wantsSpare(u *upstream) bool {
	if !u.plan.planned() || u.plan.protect() < control.ProtectWarm || len(u.plan.route.Backup) == 0 {
		return false
	}
	if u.told.viewers > 0 {
		return true
	}
	for c := range m.children[u.track.Name()] {
		if len(c.demand) > 0 {
			return true
		}
	}
	return false
}

// followBackup keeps a spare feed at the planned backup parent.
func (m *Mesh) followBackup(u *upstream, now time.Time) {
	if u.feed == nil || u.feed.okAt.IsZero() || u.next != nil {
		return
	}
	node := last(u.plan.route.Backup)
	if u.feed.node() == node {
		// It has taken over. Once the parent may be trusted again we go back; until
		// then the origin has the word.
		node = ""
	}
	s := u.spare
	switch {
	case !m.wantsSpare(u) || node == "":
		if s != nil && !u.feed.failing() {
			m.lost(s, "not_planned")
		}
		return
	case s != nil && s.node() == node:
		m.tuneSpare(u, now)
		return
	case m.obstacle(u, node, now) != 0:
		return
	}
	mode := peer.ModeStandby
	if u.plan.protect() == control.ProtectHot {
		mode = peer.ModeLive
	}
	u.spare = m.subscribe(u, m.links[node], mode)
	m.leave(s, 0)
	m.tuneSpare(u, now)
}

// failing reports whether what the feed brings cannot be relied on.
func (f *feed) failing() bool { return f.link.suspect || f.link.gone || f.cutOff || f.end != nil }

// tuneSpare makes the spare deliver, or stand by, as things are now.
func (m *Mesh) tuneSpare(u *upstream, now time.Time) {
	if s := u.spare; s != nil {
		live := u.plan.protect() == control.ProtectHot || u.feed == nil || u.feed.failing()
		switch {
		case live && s.paused:
			m.resume(u, s, now)
		case !live && !s.paused:
			s.paused = true
			s.flowing.Store(false)
			s.link.say(peer.Pause{ID: s.id})
		}
	}
	m.countFeeds(u)
}

// resume makes a feed on standby deliver, from the object at which we are.
func (m *Mesh) resume(u *upstream, f *feed, now time.Time) {
	if !f.paused {
		return
	}
	f.paused = false
	f.ages.restart(now)
	f.link.say(peer.Resume{ID: f.id, Start: u.pos.resume(u.kind, now)})
}

// usable reports whether a spare may take over now.
func (f *feed) usable() bool { return !f.failing() && !f.link.leaving }

// alarm resumes the spare of an upstream whose parent has fallen silent. The
// parent stays the parent: it may only be slow. False: there is no spare.
func (m *Mesh) alarm(u *upstream, now time.Time) bool {
	if u.spare == nil || !u.spare.usable() {
		return false
	}
	m.tuneSpare(u, now)
	m.trackEvent(telemetry.BackupResumed, u, u.spare.node(), "suspect")
	m.metrics.resumed.Inc()
	return true
}

// promote makes the spare the parent of an upstream that has lost its own.
func (m *Mesh) promote(u *upstream, cause string, now time.Time) bool {
	s := u.spare
	if s == nil || !s.usable() {
		return false
	}
	u.feed, u.spare = s, nil
	m.resume(u, s, now)
	m.countFeeds(u)
	u.cause, u.movedAt, u.lacking = cause, now, time.Time{}
	u.cost = u.plan.expected(s.node())
	u.told.due = true
	m.trackEvent(telemetry.BackupPromoted, u, s.node(), cause)
	m.metrics.moves.WithLabelValues(cause).Inc()
	m.log.Info("backup takes over", slog.String("track", u.track.Name().String()), slog.String("peer", s.node()), slog.String("cause", cause))
	u.plan.changes.add(Change{At: now, Version: u.plan.version, Path: s.path, Reason: cause, Note: "the backup has taken over"})
	m.setPath(u, s)
	if !s.okAt.IsZero() {
		m.tellDemand(u, now)
	}
	return true
}
