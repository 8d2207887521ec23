package control

import (
	"cmp"
	"slices"
	"time"
)

// Who came first has the places at a node, and may not need them: another, for whom
// only that node is near enough, is late for want of one. Then a child that is in
// time elsewhere makes room for it. A parent refuses whom it has no room for, so
// this takes two decisions: the child goes, and once it says that it has gone, the
// place that was held meanwhile is taken.

// room is a place that is held for a node.
type room struct {
	at    int32 // the parent; -1: none is held
	since time.Time
}

// held reports whether a place is held for v, and forgets one that was not taken
// in time: whoever was to go has not.
func (s *spot) held(c *Controller) bool {
	if s.room.at >= 0 && c.now.Sub(s.room.since) >= c.cfg.Settle {
		s.room.at = -1
	}
	return s.room.at >= 0
}

// hold counts the places that are held, for a decision.
func (g *group) hold(c *Controller) {
	for v := range g.spots {
		if s := &g.spots[v]; s.held(c) {
			g.tree.hold(int32(v), s.room.at)
		}
	}
}

// keep has a place at u held for v from now on. Backups that would take it are
// decided anew.
func (g *group) keep(c *Controller, v, u int32) {
	if s := &g.spots[v]; !s.held(c) {
		s.room, g.dirty = room{at: u, since: c.now}, true
		g.tree.hold(v, u)
	}
}

// hold keeps a place at u for v.
func (t *tree) hold(v, u int32) {
	t.c[v].room = u
	t.c[u].held++
}

// release gives up the place that is held for v, if there is one.
func (t *tree) release(v int32) {
	if u := t.c[v].room; u >= 0 {
		t.c[v].room = -1
		t.c[u].held--
	}
}

// vacant reports whether u has a place for v now, and not only when those have gone
// who are to go. Who takes the track from u as a second parent takes a place, too, and
// goes when the plan has a better use for it. A backup of v's own that is there becomes
// its parent without asking.
func (g *group) vacant(u, v int32) bool {
	t := &g.tree
	limit := t.net.nodes[u].MaxChildren
	if limit < 0 || t.c[v].actual == u || g.spots[v].backup == u {
		return true
	}
	n := int(t.c[u].kids + t.c[u].leaving)
	for w := range g.spots {
		if s := &g.spots[w]; s.backup == u && s.grade == ProtectHot {
			n++
		}
	}
	return n < limit
}

// makeRoom has a child of a full node, at which the late subtree of v would be in
// time, go elsewhere. It reports whether one does.
func (g *group) makeRoom(c *Controller, v int32) bool {
	t, s := &g.tree, &g.spots[v]
	if s.held(c) {
		return true // it is on its way
	}
	limit, deepest := t.limit(v, t.c[v].delay), t.deepest-t.height(v)
	var full []int32
	for i := c.net.inStart[v]; i < c.net.inStart[v+1]; i++ {
		a := &c.net.arcs[i]
		u := a.from
		n := &c.net.nodes[u]
		if t.carries(u) && u != t.c[v].parent && t.c[u].delay+c.net.hop(i) <= limit && t.c[u].depth < deepest &&
			a.calm && !n.Draining && !n.Overloaded && c.net.relays(u) && !t.slot(u, v) && t.arcFits(i, t.rate) && !t.tangled(u, v) {
			full = append(full, u)
		}
	}
	slices.SortFunc(full, func(a, b int32) int { return cmp.Or(cmp.Compare(t.c[a].delay, t.c[b].delay), cmp.Compare(a, b)) })
	for _, u := range full {
		if w := g.makesRoom(c, u, v); w >= 0 {
			g.keep(c, v, u)
			return true
		}
	}
	return false
}

// makesRoom moves the child of u upon which fewest viewers depend of those who are
// in time elsewhere, for v, and returns it, or -1.
func (g *group) makesRoom(c *Controller, u, v int32) int32 {
	t := &g.tree
	kids := t.children(u)
	slices.SortStableFunc(kids, func(a, b int32) int { return cmp.Compare(t.below(a), t.below(b)) })
	for _, w := range kids {
		if w == v || t.c[w].standby || t.c[w].actual != u || g.spots[w].held(c) ||
			g.rested(c, w) > 0 || g.pinned(c, w) || g.hushed(c, w, &place{}) {
			continue
		}
		was := t.c[w].delay
		limit := t.limit(w, was)
		_, arc := t.cut(w)
		p := g.beside(w, u, limit)
		if !p.ok() || g.hushed(c, w, &p) {
			t.link(w, u, arc)
			continue
		}
		g.moveTo(c, w, &p, ReasonRoom, c.net.nodes[v].ID)
		g.noteMove(c, w)
		return w
	}
	return -1
}

// beside finds the fastest parent of w other than u that carries the track and has
// room, in time for all below w.
func (g *group) beside(w, u int32, limit float64) (best place) {
	t := &g.tree
	n := t.net
	deepest := t.deepest - t.height(w)
	for i := n.inStart[w]; i < n.inStart[w+1]; i++ {
		x := n.arcs[i].from
		if x == u || !t.carries(x) || t.c[x].depth+1 > deepest {
			continue
		}
		ok, resort := t.usable(x, w, i)
		p := place{n: 1, delay: t.c[x].delay + n.hop(i), price: n.arcs[i].price, inTime: true}
		p.arcs[0] = i
		if ok && !resort && p.delay <= limit && p.better(&best) && g.vacant(x, w) {
			best = p
		}
	}
	return best
}
