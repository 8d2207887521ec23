package backbone

import (
	"slices"
	"time"

	"trellis/internal/telemetry"
	"trellis/routing/spf"
	"trellis/wire"
	"trellis/wire/peer"
)

// topology returns the graph of links, as both of their ends advertise them.
func (m *Mesh) topology() *spf.Graph {
	if m.graph != nil {
		return m.graph
	}
	g := &spf.Graph{}
	for node, r := range m.adverts.records {
		g.Out(node, len(r.entries), func(edge func(to string, cost time.Duration)) {
			r.eachLink(func(to string, v peer.LinkValue) {
				if back := m.adverts.records[to]; back != nil && back.links(node) {
					edge(to, linkCost(v.DelayP50, float64(v.LossPpm)/1e6))
				}
			})
		})
	}
	m.graph = g
	return g
}

// cost is what a link costs as its own end measures it.
func (l *link) cost() time.Duration {
	if l.quality.Samples == 0 { // no probe has come back yet, but the handshake has
		return linkCost(l.main.ConnectionStats().SmoothedRTT/2, 0)
	}
	return linkCost(l.quality.DelayP50, max(l.quality.LossIn, l.quality.LossOut))
}

// reroute moves tracks to better parents. To stay quiet it moves only for a gain
// that is worth it, and not again for a while; a parent that has lost its own way
// to the origin is left at once. With a plan there is nothing to compare: whether
// the parent still has a way is looked at when links have come or gone (linked), or
// when it fails.
func (m *Mesh) reroute(now time.Time, linked bool) {
	for _, u := range m.upstreams {
		if u.feed == nil || u.next != nil || u.feed.end != nil || u.feed.okAt.IsZero() {
			continue
		}
		if u.plan.planned() && u.spare != nil && !u.spare.failing() && u.feed.failing() {
			continue // the spare delivers already
		}
		if u.plan.planned() && !u.feed.failing() && (!linked || m.pathStands(u.feed.path)) {
			continue
		}
		all := m.candidates(u, now)
		if len(all) == 0 {
			continue
		}
		best := all[0]
		i := slices.IndexFunc(all, func(c Candidate) bool { return c.Node == u.feed.link.peer.Node })
		switch {
		case i == 0, m.reluctance(u, best.Node, now) > 0:
		case i < 0:
			m.escape(u, "parent_cut_off", now)
		case u.plan.planned(): // the origin says what is better
		case now.Sub(u.movedAt) >= moveRest:
			u.cost = all[i].Cost
			if gain := u.cost - best.Cost; gain >= minGain && gain*100 >= u.cost*minGainPercent {
				m.move(u, best, "cheaper", now)
			}
		}
	}
}

// pathStands reports whether all links of a path are still advertised, by both of
// their ends. Whenever a node dies all others look, once for each of its links:
// this is cheap, comparing all ways to the origin is not.
func (m *Mesh) pathStands(path []string) bool {
	for i := 1; i < len(path); i++ {
		a, b := m.adverts.records[path[i-1]], m.adverts.records[path[i]]
		if a == nil || b == nil {
			return false
		}
		_, there := a.link(path[i])
		_, back := b.link(path[i-1])
		if !there || !back {
			return false
		}
	}
	return len(path) > 0
}

// escape moves a track off its parent if there is another to be had: the spare,
// or the best that is not the parent. Who takes the track through us is of no use
// until he knows of another way himself, and hearing that we are cut off makes him
// look for it.
func (m *Mesh) escape(u *upstream, cause string, now time.Time) bool {
	if s := u.spare; s != nil && s.usable() {
		m.move(u, Candidate{Node: s.node(), Cost: u.plan.expected(s.node()), Path: s.path}, cause, now)
		return true
	}
	for _, c := range m.candidates(u, now) {
		if c.Node != u.feed.node() && m.reluctance(u, c.Node, now) < 2 && !m.hangsOnUs(u.track.Name(), c.Node) {
			m.move(u, c, cause, now)
			return true
		}
	}
	return false
}

// evacuate moves tracks off a link that its peer leaves.
func (m *Mesh) evacuate(l *link, cause string, now time.Time) {
	for _, u := range m.upstreams {
		if l.leaving && !l.avoids(u.origin) && !l.suspect {
			continue // what enters at the peer has no other way
		}
		if u.feed != nil && u.feed.link == l && u.next == nil && !m.escape(u, cause, now) {
			m.tellCutOff(u)
		}
	}
}

// linkSuspect: a link has become silent, or is well again. Objects are kept once,
// by (group, object): being wrong is harmless.
func (m *Mesh) linkSuspect(l *link, suspect bool) {
	if l.gone {
		return
	}
	l.suspect = suspect
	if suspect {
		l.event(telemetry.LinkSuspect, "silence")
	} else {
		l.event(telemetry.LinkWell, "heard")
	}
	now := time.Now()
	for _, u := range m.upstreams {
		switch {
		case u.feed == nil || u.feed.link != l:
		case !suspect:
			m.setPath(u, u.feed)
			m.tuneSpare(u, now)
		case m.alarm(u, now), u.next != nil:
		case !m.escape(u, "suspect", now):
			m.tellCutOff(u)
		}
	}
}

// linkMeasured takes what a link has measured in the last second.
func (m *Mesh) linkMeasured(l *link, q Quality) {
	if l.gone {
		return
	}
	now := time.Now()
	l.quality, l.measuredAt = q, now
	m.changed(m.know.Measured(l.peer.Node, q, now))
	m.metrics.measured(l.peer.Node, q, l.clock.Load())
}

// downstreamOf returns the nodes that must not become the parent of a track: its
// children here, and whoever asked through a child that still waits for us.
func (m *Mesh) downstreamOf(name wire.TrackName) []string {
	var all []string
	for c := range m.children[name] {
		if c.below() {
			all = append(all, c.link.peer.Node)
		}
		if c.accepted.IsZero() {
			all = append(all, c.hops...)
		}
	}
	return all
}

// joinLimit is how long a child may take to tell its demand.
const joinLimit = time.Second

// below reports whether a child hangs on us. One that stands by, or that takes the
// track twice, hangs on another.
func (c *child) below() bool {
	return !c.valve.isPaused() && (len(c.demand) > 0 || c.accepted.IsZero() || time.Since(c.accepted) < joinLimit)
}

// hangsOnUs reports whether a node has told, through a child, that it takes a
// track below us.
func (m *Mesh) hangsOnUs(name wire.TrackName, node string) bool {
	for c := range m.children[name] {
		if _, ok := c.demand[node]; ok && c.below() {
			return true
		}
	}
	return false
}

// hopsOf returns the nodes that wait for a track through us, first asker first.
// Who has been accepted waits no longer: its path says where it hangs.
func (m *Mesh) hopsOf(name wire.TrackName) []string {
	var longest []string
	for c := range m.children[name] {
		if c.accepted.IsZero() && len(c.hops) > len(longest) {
			longest = c.hops
		}
	}
	return append([]string(nil), longest...)
}
