package backbone

import (
	"log/slog"
	"slices"
	"time"

	"trellis/internal/telemetry"
	"trellis/wire"
	"trellis/wire/peer"
)

// onSubscribeOK: the parent takes us.
func (m *Mesh) onSubscribeOK(l *link, ok peer.SubscribeOK) {
	f := l.feed(ok.ID)
	if f == nil || !f.okAt.IsZero() {
		return // we have left meanwhile
	}
	u := f.up
	f.okAt, f.path = time.Now(), ok.Path
	if slices.Contains(ok.Path, m.self.Node) {
		m.turnedAway(f, wire.CodeLoop, "loop")
		return
	}
	if err := u.track.SetInfo(ok.Info); err != nil {
		m.turnedAway(f, wire.CodeProtocol, "refused")
		return
	}
	f.kind, u.kind = ok.Info.Kind, ok.Info.Kind
	close(f.ready)
	if u.feed == f {
		m.setPath(u, f)
		m.tellDemand(u, f.okAt)
	}
}

// turnedAway drops a feed at a parent that is not to be asked again for a while.
func (m *Mesh) turnedAway(f *feed, code wire.Code, cause string) {
	f.up.refused[f.node()] = refused{at: time.Now(), code: code}
	m.lost(f, cause)
}

// onSubscribeError: the parent does not take us.
func (m *Mesh) onSubscribeError(l *link, e peer.SubscribeError) {
	f := l.feed(e.ID)
	if f == nil {
		return
	}
	u := f.up
	l.log.Debug("subscription refused", slog.String("track", u.track.Name().String()), slog.String("code", e.Code.String()), slog.String("cause", e.Reason))
	f.end = &peer.TrackEnd{} // nothing to unsubscribe
	if final(e.Code) && u.feed == f && u.next == nil {
		m.endTrack(u, e.Code, e.Reason)
		return
	}
	if u.feed == f && u.spare == nil && u.next == nil && m.takeAlternative(u, e) {
		m.leave(f, wire.CodeCancel)
		return
	}
	m.turnedAway(f, e.Code, "refused")
}

// takeAlternative makes one of the nodes that a full parent names the parent. If
// there is a link to none, they are wanted.
func (m *Mesh) takeAlternative(u *upstream, e peer.SubscribeError) bool {
	now := time.Now()
	u.refused[u.feed.node()] = refused{at: now, code: e.Code}
	for _, node := range e.Alternatives {
		if m.obstacle(u, node, now) == 0 {
			m.take(u, Candidate{Node: node, Cost: u.cost}, "alternative")
			return true
		}
	}
	u.near.alternatives, u.near.until = e.Alternatives, now.Add(alternativePeriod)
	m.keepWants(u, now)
	return false
}

// onTrackEnd: no further groups come from the parent.
func (m *Mesh) onTrackEnd(l *link, e peer.TrackEnd) {
	f := l.feed(e.ID)
	if f == nil {
		return
	}
	f.end, f.endedAt = &e, time.Now()
	if f == f.up.spare {
		m.turnedAway(f, e.Code, "parent_ended")
		return
	}
	f.expect.Store(e.Streams + 1)
	if f.groups.Load() >= e.Streams || !final(e.Code) {
		m.feedDrained(f, f.endedAt)
	}
}

// feedDrained: the last group of a feed that has ended is here.
func (m *Mesh) feedDrained(f *feed, now time.Time) {
	u := f.up
	if f.end == nil || m.upstreams[u.track] != u || u.feed != f && u.next != f {
		return
	}
	if final(f.end.Code) {
		m.endTrack(u, f.end.Code, "the parent ended it")
		return
	}
	u.refused[f.node()] = refused{at: now, code: f.end.Code}
	m.lost(f, "parent_ended")
}

// onPath: the parent gets the track by another way now, or knows newer ages.
func (m *Mesh) onPath(l *link, p peer.Path) {
	f := l.feed(p.ID)
	if f == nil {
		return
	}
	u := f.up
	f.cutOff = len(p.Hops) == 0
	if !f.cutOff {
		f.path, f.hops = p.Nodes(), p.Hops
	}
	switch {
	case f.cutOff:
		if u.feed == f && u.next == nil && !m.escape(u, "parent_cut_off", time.Now()) {
			m.tellCutOff(u)
		}
	case slices.Contains(f.path, m.self.Node):
		m.turnedAway(f, wire.CodeLoop, "loop")
	case u.feed == f:
		m.setPath(u, f)
		m.tuneSpare(u, time.Now())
	}
}

// lost drops a feed that delivers no more, and sees to another.
func (m *Mesh) lost(f *feed, cause string) {
	u := f.up
	m.leave(f, wire.CodeCancel)
	u.told.due = true
	switch f {
	case u.spare:
		u.spare = nil
		m.countFeeds(u)
	case u.next:
		u.next = nil
		m.countFeeds(u)
	case u.feed:
		u.feed = nil
		m.trackEvent(telemetry.ParentLost, u, f.node(), cause)
		switch {
		case u.next != nil && u.next.flowing.Load():
			m.settle(u)
		case m.promote(u, cause, time.Now()):
		case u.next != nil:
			m.settle(u)
		default:
			u.lacking = time.Now()
			m.choose(u, cause)
			if u.feed == nil {
				m.tellCutOff(u)
			}
		}
	}
}

// settle makes the parent that we move to the parent. The one before stays as
// the spare where the plan has it so.
func (m *Mesh) settle(u *upstream) {
	old := u.feed
	u.feed, u.next = u.next, nil
	u.told.due = true
	if old != nil && u.spare == nil && m.wantsSpare(u) && old.node() == last(u.plan.route.Backup) && !old.cutOff && old.end == nil {
		u.spare = old
	} else {
		m.leave(old, wire.CodeCancel)
	}
	m.tuneSpare(u, time.Now())
	m.setPath(u, u.feed)
}

// countFeeds notes for the receivers whether more than one feed delivers.
func (m *Mesh) countFeeds(u *upstream) {
	u.moving.Store(u.next != nil || u.spare != nil && !u.spare.paused)
}

// tellCutOff tells the children that we have no path to the origin now, or may
// not have one: those who know another take it, and we may then follow them.
func (m *Mesh) tellCutOff(u *upstream) {
	u.cutOff = true
	m.tellPath(u.track.Name(), nil)
}

func (m *Mesh) tellPath(name wire.TrackName, hops []peer.Hop) {
	for c := range m.children[name] {
		if !c.accepted.IsZero() {
			c.link.say(peer.Path{ID: c.id, Hops: hops})
		}
	}
}

// setPath takes the path of the parent, and tells the children.
func (m *Mesh) setPath(u *upstream, f *feed) {
	if f.okAt.IsZero() || f.cutOff || !u.cutOff && slices.Equal(u.path, f.path) {
		return
	}
	u.path, u.cutOff = f.path, false
	m.tellPath(u.track.Name(), m.hopsTo(u.track.Name()))
}

// pathTo returns the nodes from the origin of a track to us.
func (m *Mesh) pathTo(name wire.TrackName) []string {
	var path []string
	if u := m.carried[name]; u != nil {
		path = slices.Clone(u.path)
	}
	path = append(path, m.self.Node)
	return path[max(len(path)-peer.MaxHops, 0):]
}
