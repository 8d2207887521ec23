package control

import "slices"

// tree is what is planned for the tracks of a group: the nodes that carry them,
// and relays that stand by for backups. Nodes are numbered as in the network.
type tree struct {
	net  *network
	acc  *account
	rate float64 // Mbit/s of all tracks of the group
	c    []cell
	// careful: whoever is moved has a parent that delivers meanwhile, and must not come
	// to hang below itself while others are on their way.
	careful bool
	deepest int32 // links from the origin that a path may have
}

// cell is what the tree knows of one node.
type cell struct {
	parent, first, next, prev int32 // -1 for none
	arc                       int32 // from the parent; -1 for none
	kids                      int32
	leaving                   int32 // nodes that take the track here still, and are to take it elsewhere
	held                      int32 // places kept for nodes that are to come: see room.go
	room                      int32 // the node that keeps a place for this one; -1 for none
	depth                     int32 // links from the origin, or from the root of a floating subtree
	home                      int32 // the parent when the decision began; -1 for none
	actual                    int32 // the parent by its own word; -1 for none
	in                        bool
	floating                  bool // in a subtree that was cut off and waits for a place
	standby                   bool // serves backups only
	viewers                   int64
	bound                     float64 // ms; far for a node without viewers
	delay                     float64 // ms, as believed; from the root of a floating subtree
}

func newCell() cell {
	return cell{parent: -1, first: -1, next: -1, prev: -1, arc: -1, room: -1, home: -1, actual: -1, bound: far}
}

// account is what the trees of all groups put on nodes and links.
type account struct {
	room    []float64 // by node: Mbit/s for children of these tracks; negative: unlimited
	used    []float64 // by node: what trees and live backups take of it
	reserve []float64 // by node: what backups would take at the worst failure
	arcUsed []float64
}

// roomSlackMbps absorbs rounding of sums.
const roomSlackMbps = 1e-7

// fits reports whether node u can send mbps more.
func (a *account) fits(u int32, mbps float64) bool {
	return a.room[u] < 0 || a.used[u]+mbps <= a.room[u]+roomSlackMbps
}

// over reports whether node u sends more than it can.
func (a *account) over(u int32) bool {
	return a.room[u] >= 0 && a.used[u] > a.room[u]*(1+overSlack)+roomSlackMbps
}

// overSlack is how far measured rates may exceed the room of a node before
// children have to leave: rates wander.
const overSlack = 0.02

func (t *tree) arcFits(i int32, mbps float64) bool {
	c := t.net.arcs[i].capacity
	return c == 0 || t.acc.arcUsed[i]+mbps <= c+roomSlackMbps
}

// slot reports whether u has room for one more child, v, beside those for whom it
// keeps a place.
func (t *tree) slot(u, v int32) bool {
	limit, held := t.net.nodes[u].MaxChildren, t.c[u].held
	if t.c[v].room == u {
		held--
	}
	return (limit < 0 || int(t.c[u].kids+held) < limit) && t.acc.fits(u, t.rate*float64(1+held))
}

// usable reports whether v, in no tree or root of a floating subtree, may become a
// child of u over arc i, and whether only for want of anything else.
func (t *tree) usable(u, v, i int32) (ok, resort bool) {
	if !t.net.relays(u) || !t.slot(u, v) || !t.arcFits(i, t.rate) || t.careful && t.tangled(u, v) {
		return false, false
	}
	n := &t.net.nodes[u]
	if (n.Overloaded || n.Draining) && t.c[v].home != u {
		if u != t.net.origin {
			return false, false
		}
		return true, true
	}
	return true, !t.net.arcs[i].calm
}

// tangleSteps bounds the search of tangled; a tree in motion is not deeper.
const tangleSteps = 128

// tangled reports whether u hears the track over v, or may while moves are made:
// nodes are where the plan wants them, or where it wanted them before, or where
// they say they are. With no circle in all of that together, moves may be made in
// any order, and everybody's old parent feeds him until the new one does.
func (t *tree) tangled(u, v int32) bool {
	steps := tangleSteps
	return t.hears(u, v, &steps)
}

func (t *tree) hears(u, v int32, steps *int) bool {
	for u >= 0 && u != t.net.origin {
		if *steps--; u == v || *steps < 0 {
			return true
		}
		x := &t.c[u]
		if x.home != x.parent && t.hears(x.home, v, steps) || x.actual != x.parent && x.actual != x.home && t.hears(x.actual, v, steps) {
			return true
		}
		u = x.parent
	}
	return false
}

// rooted reports whether v carries the track, or stands by for it.
func (t *tree) rooted(v int32) bool { return t.c[v].in && !t.c[v].floating }

// carries reports whether v is in the tree, and not as a standby relay.
func (t *tree) carries(v int32) bool { return t.c[v].in && !t.c[v].floating && !t.c[v].standby }

// link hangs v, in no tree or root of a floating subtree, below u.
func (t *tree) link(v, u, arc int32) {
	c, up := &t.c[v], &t.c[u]
	c.in = true
	c.parent, c.arc = u, arc
	c.next, c.prev = up.first, -1
	if up.first >= 0 {
		t.c[up.first].prev = v
	}
	up.first = v
	up.kids++
	if c.actual == u {
		up.leaving--
	}
	t.acc.used[u] += t.rate
	t.acc.arcUsed[arc] += t.rate
	if !c.standby {
		for a := u; a >= 0 && t.c[a].standby; a = t.c[a].parent {
			t.c[a].standby = false
		}
	}
	t.settle(v)
}

// settle brings delays below v in line with its parent.
func (t *tree) settle(v int32) {
	c := &t.c[v]
	if c.parent >= 0 {
		c.delay = t.c[c.parent].delay + t.net.hop(c.arc)
		c.depth = t.c[c.parent].depth + 1
		c.floating = t.c[c.parent].floating
	}
	for k := c.first; k >= 0; k = t.c[k].next {
		t.settle(k)
	}
}

// cut takes v from its parent; its subtree floats.
func (t *tree) cut(v int32) (parent, arc int32) {
	c := &t.c[v]
	parent, arc = c.parent, c.arc
	if parent >= 0 {
		if c.prev >= 0 {
			t.c[c.prev].next = c.next
		} else {
			t.c[parent].first = c.next
		}
		if c.next >= 0 {
			t.c[c.next].prev = c.prev
		}
		t.c[parent].kids--
		if c.actual == parent {
			t.c[parent].leaving++
		}
		t.acc.used[parent] -= t.rate
		t.acc.arcUsed[arc] -= t.rate
	}
	c.parent, c.arc, c.next, c.prev = -1, -1, -1, -1
	c.delay, c.depth, c.floating = 0, 0, true
	t.settle(v)
	return parent, arc
}

// drop takes v out; its children float and are appended to roots.
func (t *tree) drop(v int32, roots []int32) []int32 {
	for k := t.c[v].first; k >= 0; k = t.c[v].first {
		t.cut(k)
		roots = append(roots, k)
	}
	t.cut(v)
	c := &t.c[v]
	c.in, c.floating, c.standby = false, false, false
	return roots
}

// dropAll takes v out with all below it.
func (t *tree) dropAll(v int32) {
	for k := t.c[v].first; k >= 0; k = t.c[v].first {
		t.dropAll(k)
	}
	t.drop(v, nil)
}

// below is the number of viewers in v's subtree.
func (t *tree) below(v int32) int64 {
	n := t.c[v].viewers
	for k := t.c[v].first; k >= 0; k = t.c[k].next {
		n += t.below(k)
	}
	return n
}

// limit is the latest arrival at v, root of a subtree, with which everybody below
// is in bound; base is what v's delay is now.
func (t *tree) limit(v int32, base float64) float64 {
	out := far
	if t.c[v].viewers > 0 {
		out = t.c[v].bound - (t.c[v].delay - base)
	}
	for k := t.c[v].first; k >= 0; k = t.c[k].next {
		out = min(out, t.limit(k, base))
	}
	return out
}

// height is the number of links from v to the deepest node below it.
func (t *tree) height(v int32) int32 {
	h := int32(0)
	for k := t.c[v].first; k >= 0; k = t.c[k].next {
		h = max(h, t.height(k)+1)
	}
	return h
}

// under reports whether v is u or lies below it.
func (t *tree) under(v, u int32) bool {
	for ; v >= 0; v = t.c[v].parent {
		if v == u {
			return true
		}
	}
	return false
}

// walk visits the nodes below and including v, parents first.
func (t *tree) walk(v int32, visit func(v int32)) {
	visit(v)
	for k := t.c[v].first; k >= 0; k = t.c[k].next {
		t.walk(k, visit)
	}
}

// children lists the children of v in order of their number.
func (t *tree) children(v int32) []int32 {
	out := make([]int32, 0, t.c[v].kids)
	for k := t.c[v].first; k >= 0; k = t.c[k].next {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// path lists the nodes from the origin to v, both included.
func (t *tree) path(v int32) []string {
	n := 0
	for u := v; u >= 0; u = t.c[u].parent {
		n++
	}
	out := make([]string, n)
	for u := v; u >= 0; u = t.c[u].parent {
		n--
		out[n] = t.net.nodes[u].ID
	}
	return out
}

// measured is the delay of the path to v over arc i from u, by median and by 95th
// percentile.
func (t *tree) measured(u, i int32) (d50, d95 float64) {
	for {
		a := &t.net.arcs[i]
		d50 += a.d50 + ms(t.net.nodes[u].Delay)
		d95 += a.d95 + ms(t.net.nodes[u].Delay)
		i = t.c[u].arc
		u = t.c[u].parent
		if u < 0 {
			return d50, d95
		}
	}
}
