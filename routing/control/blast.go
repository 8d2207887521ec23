package control

import (
	"cmp"
	"slices"
)

// No relay may carry more than a share of a track's viewers unless its children
// have a warm backup. Where there is none for some of them, they are moved below
// smaller nodes, as far as that keeps them in time.

// weigh counts the viewers in the subtree of every node, standbys left out, and
// lists the nodes, parents first.
func (t *tree) weigh(order []int32, below []int64) []int32 {
	order = order[:0]
	t.walk(t.net.origin, func(v int32) {
		if !t.c[v].standby {
			order = append(order, v)
		}
		below[v] = 0
	})
	for _, v := range slices.Backward(order) {
		below[v] += t.c[v].viewers
		if u := t.c[v].parent; u >= 0 {
			below[u] += below[v]
		}
	}
	return order
}

// unburden moves children that have no warm backup away from relays that carry too
// much, and reports whether any moved.
func (g *group) unburden(c *Controller) bool {
	var bare []int32
	for v := range g.spots {
		if s := &g.spots[v]; s.blast && s.grade < ProtectWarm && g.rested(c, int32(v)) <= 0 {
			bare = append(bare, int32(v))
		}
	}
	if len(bare) == 0 {
		return false
	}
	t := &g.tree
	below := make([]int64, len(t.c))
	order := t.weigh(nil, below)
	slices.SortStableFunc(bare, func(a, b int32) int { return cmp.Compare(below[b], below[a]) })
	moved := false
	t.careful = true
	for _, v := range bare {
		u := t.c[v].parent
		limit := int64(c.cfg.BlastShare * float64(below[c.net.origin]))
		if u < 0 || u == c.net.origin || below[u] <= limit {
			continue // others left already
		}
		if g.lighten(c, v, below, limit) {
			g.spots[v].why.viewers = below[u]
			order = t.weigh(order, below)
			moved = true
		}
	}
	t.careful = false
	return moved
}

// lighten moves v to where nobody carries more than limit with it.
func (g *group) lighten(c *Controller, v int32, below []int64, limit int64) bool {
	t := &g.tree
	latest := t.limit(v, t.c[v].delay)
	u, arc := t.cut(v)
	best := place{}
	deepest := t.deepest - t.height(v)
	for i := c.net.inStart[v]; i < c.net.inStart[v+1]; i++ {
		b := c.net.arcs[i].from
		if !t.carries(b) || t.under(b, u) || t.c[b].depth+1 > deepest {
			continue
		}
		ok, resort := t.usable(b, v, i)
		for w := b; ok && w != c.net.origin; w = t.c[w].parent {
			ok = below[w]+below[v] <= limit
		}
		p := place{n: 1, delay: t.c[b].delay + c.net.hop(i), price: c.net.arcs[i].price, inTime: true}
		p.arcs[0] = i
		if ok && !resort && p.delay <= latest && !g.hushed(c, v, &p) && p.better(&best) {
			best = p
		}
	}
	if !best.ok() {
		t.link(v, u, arc)
		return false
	}
	g.moveTo(c, v, &best, ReasonBlastRadius, c.net.nodes[u].ID)
	g.noteMove(c, v)
	return true
}

// pinFor is how many rests a node stays where it was moved for the sake of the
// blast radius before money or a little delay may move it back.
const pinFor = 10

// pinned reports whether v was moved for the sake of the blast radius.
func (g *group) pinned(c *Controller, v int32) bool {
	s := &g.spots[v]
	return s.why.reason == ReasonBlastRadius && c.now.Sub(s.moved) < pinFor*c.cfg.Rest
}
