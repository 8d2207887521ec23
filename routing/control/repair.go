package control

import (
	"cmp"
	"slices"
	"time"
)

// mount brings the tree in line with the network and the demand: links of the
// tree that are gone leave floating subtrees.
func (g *group) mount(c *Controller) {
	t := &g.tree
	t.acc, t.deepest = &c.acc, int32(c.cfg.MaxDepth)
	g.dirty = false
	origin := c.net.origin
	for v := range t.c {
		old := &t.c[v]
		x := newCell()
		x.in, x.standby, x.home = old.in, old.standby, old.parent
		t.c[v] = x
	}
	t.c[origin].in, t.c[origin].standby, t.c[origin].home = true, false, -1
	for _, w := range g.demand.list {
		x := &t.c[w.node]
		x.viewers = w.viewers
		x.bound = g.boundOf(w.node)
		if x.actual = w.parent; x.actual >= 0 {
			t.c[x.actual].leaving++ // until it hangs there by the plan, too
		}
	}
	for v := range t.c {
		x := &t.c[v]
		if !x.in || int32(v) == origin {
			continue
		}
		u := x.home
		arc := int32(-1)
		if u >= 0 && t.c[u].in {
			arc = c.net.find(u, int32(v))
		}
		if arc < 0 {
			x.floating = true
			if u >= 0 {
				g.spots[v].lost = c.net.nodes[u].ID
			}
			continue
		}
		t.raise(int32(v), u, arc)
	}
	for v := range t.c {
		if t.c[v].parent < 0 && t.c[v].in {
			t.settle(int32(v))
		}
	}
	g.hold(c)
}

// raise is link for a tree as a whole, before delays are known.
func (t *tree) raise(v, u, arc int32) {
	c, up := &t.c[v], &t.c[u]
	c.parent, c.arc, c.next = u, arc, up.first
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
}

// promised is how much longer than its least possible delay a node may wait that
// is out of reach of the bound.
const promised = 1.1

// boundOf is the bound that holds for a node: the tracks', if that can be met at
// all.
func (g *group) boundOf(v int32) float64 {
	least := g.tree.net.least[v]
	if least <= g.bound || least == far {
		return g.bound
	}
	return promised * least
}

// repair follows what nodes did by themselves, attaches who has no place, and
// moves who cannot stay.
func (g *group) repair(c *Controller) {
	t := &g.tree
	g.dropStandbys()
	g.follow(c)
	var roots []int32
	for v := range t.c {
		if t.c[v].in && t.c[v].floating && t.c[v].parent < 0 {
			roots = append(roots, int32(v))
		}
	}
	g.rehang(c, roots)
	g.join(c)
	t.careful = true
	g.drain(c)
	g.shed(c)
	g.hasten(c)
	t.careful = false
	g.demote()
}

// dropStandbys takes floating relays that served backups alone out of the tree.
func (g *group) dropStandbys() {
	t := &g.tree
	for again := true; again; {
		again = false
		for v := range t.c {
			if x := &t.c[v]; x.in && x.floating && x.standby && x.first < 0 {
				t.drop(int32(v), nil)
				again, g.dirty = true, true
			}
		}
	}
}

// follow adopts moves that nodes made by themselves: those who lost their parent
// went to their backup, and some could not make a move that was decided.
func (g *group) follow(c *Controller) {
	t := &g.tree
	for _, w := range g.demand.list {
		v, a := w.node, w.parent
		x, s := &t.c[v], &g.spots[v]
		if !x.in || v == c.net.origin || x.standby && x.viewers == 0 {
			continue
		}
		switch {
		case a < 0:
		case a == x.parent:
			if s.from >= 0 { // the move is made
				s.from, s.failed = -1, 0
			}
		case a == s.from && !x.floating && c.now.Sub(s.asked) < c.cfg.Settle && c.net.arcs[x.arc].calm:
			// on its way
		case !t.adoptable(v, a):
		case a == s.from && !x.floating:
			u := x.parent
			g.adopt(c, v, a)
			s.why = why{reason: ReasonRefused, from: c.net.nodes[u].ID, to: c.net.nodes[a].ID}
			s.failed = min(s.failed+1, maxRelapses)
		default:
			was := s.lost
			if x.parent >= 0 {
				was = c.net.nodes[x.parent].ID
			}
			g.adopt(c, v, a)
			s.why = g.moveWhy(ReasonParentLost, v, was)
		}
		s.lost = pick(x.floating, s.lost, "")
	}
}

func pick(cond bool, a, b string) string {
	if cond {
		return a
	}
	return b
}

// adoptable reports whether v may hang below a as it says it does.
func (t *tree) adoptable(v, a int32) bool {
	return t.net.find(a, v) >= 0 && t.net.relays(a) && t.rooted(a) && !t.under(a, v)
}

// adopt moves v below a, where it is already.
func (g *group) adopt(c *Controller, v, a int32) {
	t := &g.tree
	if t.c[v].parent >= 0 || t.c[v].floating {
		t.cut(v)
	}
	t.link(v, a, c.net.find(a, v))
	s := &g.spots[v]
	s.from, s.asked = -1, time.Time{}
	t.c[v].home = a
	g.dirty = true
}

// moveWhy is the reason for v's place as it is now.
func (g *group) moveWhy(reason string, v int32, from string) why {
	t := &g.tree
	w := why{reason: reason, from: from, limit: t.c[v].bound}
	if w.limit == far {
		w.limit = g.bound
	}
	if u := t.c[v].parent; u >= 0 {
		w.to = t.net.nodes[u].ID
		w.is, _ = t.measured(u, t.c[v].arc)
	}
	return w
}

// moveTo hangs a floating subtree at a place.
func (g *group) moveTo(c *Controller, v int32, p *place, reason, from string) {
	g.enter(p, false)
	s := &g.spots[v]
	s.room.at = -1
	g.tree.release(v)
	s.why = g.moveWhy(reason, v, from)
	if u := g.tree.c[v].parent; u != g.tree.c[v].home {
		s.from, s.asked = g.tree.c[v].home, c.now
	}
	g.dirty = true
}

// enter hangs a node at a place, and notes why the relays on the way are there.
func (g *group) enter(p *place, standby bool) {
	g.tree.hang(p, standby)
	for _, i := range p.arcs[:p.n-1] {
		v := g.tree.net.arcs[i].to
		g.spots[v] = newSpotAfter(g.spots[v])
		g.spots[v].why = g.moveWhy(ReasonRelay, v, "")
	}
}

// newSpotAfter is the spot of a node that enters the tree: what was told stays.
func newSpotAfter(old spot) spot {
	s := newSpot()
	s.told, s.toldPath, s.toldBackup, s.toldGrade = old.told, old.toldPath, old.toldBackup, old.toldGrade
	s.since, s.moved, s.within = old.since, old.moved, old.within
	return s
}

// rehang finds places for floating subtrees, those with most viewers first. What
// finds none as a whole is taken apart.
func (g *group) rehang(c *Controller, roots []int32) {
	t := &g.tree
	for len(roots) > 0 {
		slices.SortFunc(roots, func(a, b int32) int {
			return cmp.Or(cmp.Compare(t.below(b), t.below(a)), cmp.Compare(a, b))
		})
		v := roots[0]
		roots = roots[1:]
		if x := &t.c[v]; !x.in || !x.floating || x.parent >= 0 {
			continue
		}
		if t.c[v].viewers == 0 && t.c[v].first < 0 {
			t.drop(v, nil)
			continue
		}
		if g.toBackup(c, v) {
			continue
		}
		s := &g.spots[v]
		if p := t.best(&c.find, v, t.limit(v, 0)); p.ok() {
			g.moveTo(c, v, &p, ReasonParentLost, s.lost)
			s.lost = ""
			continue
		}
		roots = t.drop(v, roots)
		if t.c[v].viewers > 0 {
			if p := t.best(&c.find, v, t.c[v].bound); p.ok() {
				g.moveTo(c, v, &p, ReasonParentLost, s.lost)
				s.lost = ""
			}
		}
		g.dirty = true
	}
}

// toBackup hangs a subtree that lost its parent where it has gone by itself.
func (g *group) toBackup(c *Controller, v int32) bool {
	t, s := &g.tree, &g.spots[v]
	b := s.backup
	if b < 0 || !t.rooted(b) || t.under(b, v) {
		return false
	}
	i := c.net.find(b, v)
	if i < 0 {
		return false
	}
	if ok, resort := t.usable(b, v, i); !ok || resort || t.c[b].depth+1+t.height(v) > t.deepest {
		return false
	}
	t.link(v, b, i)
	s.why = g.moveWhy(ReasonParentLost, v, s.lost)
	s.lost = ""
	s.from, s.asked = t.c[v].home, c.now
	g.dirty = true
	return true
}

// join attaches nodes with viewers that have no place: where they are already, if
// that can be, or else where it is best.
func (g *group) join(c *Controller) {
	t := &g.tree
	var left []int32
	for _, w := range g.demand.list {
		v := w.node
		if w.viewers == 0 || v == c.net.origin {
			continue
		}
		if t.rooted(v) {
			for a := v; a >= 0 && t.c[a].standby; a = t.c[a].parent {
				t.c[a].standby = false
				g.spots[a].why = g.moveWhy(ReasonJoined, a, "")
				g.dirty = true
			}
			continue
		}
		if !g.joinAsIs(c, v) {
			left = append(left, v)
		}
	}
	for i, v := range left {
		if t.rooted(v) {
			left[i] = -1
		}
	}
	slices.SortStableFunc(left, func(a, b int32) int {
		if a < 0 || b < 0 {
			return cmp.Compare(a, b)
		}
		return cmp.Or(cmp.Compare(t.c[b].viewers, t.c[a].viewers), cmp.Compare(a, b))
	})
	for _, v := range left {
		if v < 0 || t.rooted(v) {
			continue
		}
		p := t.best(&c.find, v, t.c[v].bound)
		if !p.ok() {
			continue
		}
		t.c[v] = t.c[v].fresh(false)
		g.spots[v] = newSpotAfter(g.spots[v])
		g.moveTo(c, v, &p, ReasonJoined, "")
	}
}

// joinAsIs attaches v with the relays above it as the demand describes them.
func (g *group) joinAsIs(c *Controller, v int32) bool {
	t := &g.tree
	var chain [maxChain]int32
	n := 0
	for x := v; !t.rooted(x); {
		a := g.demand.parentOf(x)
		if n == len(chain) || a < 0 || t.c[x].in || slices.Contains(chain[:n], x) {
			return false
		}
		i := c.net.find(a, x)
		if i < 0 || !t.net.relays(a) || !t.slot(a, x) || !t.arcFits(i, t.rate) || int(t.c[a].depth)+n >= int(t.deepest) {
			return false
		}
		chain[n] = x
		n++
		x = a
	}
	for ; n > 0; n-- {
		x := chain[n-1]
		a := g.demand.parentOf(x)
		t.c[x] = t.c[x].fresh(false)
		t.link(x, a, c.net.find(a, x))
		t.c[x].home = a
		g.spots[x] = newSpotAfter(g.spots[x])
		g.spots[x].why = g.moveWhy(ReasonJoined, x, "")
	}
	g.dirty = true
	return true
}

// parentOf is the parent that node v says it has, -1 if it says none.
func (w *wants) parentOf(v int32) int32 {
	i, ok := slices.BinarySearchFunc(w.list, v, func(a want, v int32) int { return cmp.Compare(a.node, v) })
	if !ok {
		return -1
	}
	return w.list[i].parent
}

// drain moves the children of draining nodes elsewhere, as far as there is room.
func (g *group) drain(c *Controller) {
	t := &g.tree
	for u := range t.c {
		n := &c.net.nodes[u]
		if !n.Draining || int32(u) == c.net.origin || !t.rooted(int32(u)) {
			continue
		}
		for _, v := range t.children(int32(u)) {
			g.expel(c, v, ReasonDrain)
		}
	}
}

// expel moves v away from its parent if there is another place.
func (g *group) expel(c *Controller, v int32, reason string) {
	t := &g.tree
	if t.c[v].standby { // backups are looked for later
		t.dropAll(v)
		g.dirty = true
		return
	}
	limit := t.limit(v, t.c[v].delay)
	u, arc := t.cut(v)
	p := t.best(&c.find, v, limit)
	if !p.ok() || c.net.arcs[p.arcs[0]].from == u {
		t.link(v, u, arc)
		return
	}
	g.moveTo(c, v, &p, reason, c.net.nodes[u].ID)
}

// shed moves children of nodes that send more than they can, the smallest first.
func (g *group) shed(c *Controller) {
	t := &g.tree
	for u := range t.c {
		if !t.rooted(int32(u)) || !g.overfull(int32(u)) {
			continue
		}
		kids := t.children(int32(u))
		slices.SortStableFunc(kids, func(a, b int32) int { return cmp.Compare(t.below(a), t.below(b)) })
		for _, v := range kids {
			if !g.overfull(int32(u)) {
				break
			}
			g.expel(c, v, ReasonCapacity)
		}
	}
	for v := range t.c {
		if i := t.c[v].arc; i >= 0 && t.rooted(int32(v)) && t.net.arcs[i].capacity > 0 &&
			t.acc.arcUsed[i] > t.net.arcs[i].capacity*(1+overSlack)+roomSlackMbps {
			g.expel(c, int32(v), ReasonCapacity)
		}
	}
}

// overfull reports whether u has more children than it may.
func (g *group) overfull(u int32) bool {
	limit := g.tree.net.nodes[u].MaxChildren
	return g.tree.c[u].kids > 0 && (limit >= 0 && int(g.tree.c[u].kids) > limit || g.tree.acc.over(u))
}

// demote makes standbys of relays that no viewer depends on: nobody needs them but
// backups, and those say later whether they do.
func (g *group) demote() {
	t := &g.tree
	for v := range t.c {
		for u := int32(v); u >= 0 && u != t.net.origin && t.carries(u) && t.c[u].viewers == 0 && t.idle(u); u = t.c[u].parent {
			t.c[u].standby = true
			g.dirty = true
		}
	}
}

// idle reports whether all children of u are standbys.
func (t *tree) idle(u int32) bool {
	for k := t.c[u].first; k >= 0; k = t.c[k].next {
		if !t.c[k].standby {
			return false
		}
	}
	return true
}
