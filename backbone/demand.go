package backbone

import (
	"maps"
	"slices"
	"strings"
	"time"

	"trellis/wire"
	"trellis/wire/peer"
)

// Demand flows up the tree: each node puts together who takes a track through it
// and tells its parent what has changed. At the origin it comes together
// (planner.go).

// maxDemandNodes bounds the nodes below one child: there are no more records.
const maxDemandNodes = peer.MaxKnown

// Demand is told when it changes, in bursts of at most demandBurst messages, and
// one each demandPeriod in the long run.
const (
	demandPeriod = 250 * time.Millisecond
	demandBurst  = 3
)

// heard is what a child said of one node. Of several children that name it, the
// last to speak is right: the node has moved.
type heard struct {
	peer.DemandEntry
	order uint64
}

// telling is what the parent of an upstream knows of our demand.
type telling struct {
	to      *feed // who was told; another parent is told everything
	entries map[string]peer.DemandEntry
	due     bool // something may have changed
	credit  int  // messages that may be sent now
	earned  time.Time
	viewers int      // our own, when last looked at
	age     peer.Age // as told to parent and children
	hops    []peer.Hop
}

// onDemand takes what a child says about itself and the nodes below it.
func (m *Mesh) onDemand(l *link, d peer.Demand) {
	c := l.children[d.ID]
	if c == nil {
		return
	}
	if d.Full {
		clear(c.demand)
	}
	for _, e := range d.Entries {
		switch {
		case e.Gone:
			delete(c.demand, e.Node)
		case e.Node == m.self.Node:
			// A loop that is about to be noticed.
		case len(c.demand) < maxDemandNodes || c.demand[e.Node].order > 0:
			m.heardOrder++
			c.demand[e.Node] = heard{DemandEntry: e, order: m.heardOrder}
		default:
			m.metrics.demandDropped.Inc()
		}
	}
	viewers := uint64(0)
	for _, e := range c.demand {
		viewers += min(e.Viewers, 1<<31)
	}
	c.viewers = int(min(viewers, 1<<31))
	c.sub.SetViewers(c.viewers)
	m.demandChanged(c.name)
}

// demandChanged: something below us is another than before.
func (m *Mesh) demandChanged(name wire.TrackName) {
	if u := m.carried[name]; u != nil {
		u.told.due = true
	}
	m.rootChanged(name)
}

// below puts together what the children of a track have said.
func (m *Mesh) below(name wire.TrackName) map[string]heard {
	all := map[string]heard{}
	for c := range m.children[name] {
		for node, e := range c.demand {
			if e.order > all[node].order {
				all[node] = e
			}
		}
	}
	return all
}

// ownViewers counts the viewers of this node: all but those that children report.
func (m *Mesh) ownViewers(u *upstream) int {
	n := u.track.Viewers()
	for c := range m.children[u.track.Name()] {
		n -= c.viewers
	}
	return max(n, 0)
}

// demand is everything that we tell our parent.
func (m *Mesh) demand(u *upstream) map[string]peer.DemandEntry {
	all := map[string]peer.DemandEntry{}
	for node, e := range m.below(u.track.Name()) {
		all[node] = e.DemandEntry
	}
	own := peer.DemandEntry{
		Node: m.self.Node, Viewers: uint64(u.told.viewers), Version: u.plan.version, Obstacle: u.plan.told, Age: u.told.age,
	}
	if u.feed != nil {
		own.Parent = u.feed.node()
	}
	all[own.Node] = own
	return all
}

// sendDemand tells parents what has changed. Called on every tick.
func (m *Mesh) sendDemand(now time.Time) {
	for _, u := range m.upstreams {
		if n := m.ownViewers(u); n != u.told.viewers {
			u.told.viewers, u.told.due = n, true
		}
		if u.told.due && u.feed != nil && !u.feed.okAt.IsZero() {
			m.tellDemand(u, now)
		}
	}
}

// tellDemand tells the parent of one upstream what has changed, if it may.
func (m *Mesh) tellDemand(u *upstream, now time.Time) {
	t := &u.told
	if earned := int(now.Sub(t.earned) / demandPeriod); earned > 0 {
		t.credit, t.earned = min(t.credit+earned, demandBurst), now
	}
	full := t.to != u.feed
	if t.credit == 0 && !full {
		return
	}
	t.viewers = m.ownViewers(u)
	all := m.demand(u)
	if full {
		t.to, t.entries = u.feed, nil
	}
	changed := demandDiff(t.entries, all)
	t.entries, t.due = all, false
	if len(changed) == 0 && !full {
		return
	}
	t.credit = max(t.credit-1, 0)
	for first := true; first || len(changed) > 0; first = false {
		n := min(len(changed), peer.MaxDemand)
		u.feed.link.say(peer.Demand{ID: u.feed.id, Full: full && first, Entries: changed[:n]})
		changed = changed[n:]
	}
}

// demandDiff returns what turns was into is, sorted by node.
func demandDiff(was, is map[string]peer.DemandEntry) []peer.DemandEntry {
	var changed []peer.DemandEntry
	for node, e := range is {
		if old, ok := was[node]; !ok || old != e {
			changed = append(changed, e)
		}
	}
	for node := range maps.Keys(was) {
		if _, ok := is[node]; !ok {
			changed = append(changed, peer.DemandEntry{Node: node, Gone: true})
		}
	}
	slices.SortFunc(changed, func(a, b peer.DemandEntry) int { return strings.Compare(a.Node, b.Node) })
	return changed
}
