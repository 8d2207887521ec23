package control

import (
	"cmp"
	"slices"
	"time"
)

// rested reports how long v must still stay where it is, as far as moves that are
// no failures are concerned. Moves that it did not make count more.
func (g *group) rested(c *Controller, v int32) (wait time.Duration) {
	s := &g.spots[v]
	if s.moved.IsZero() {
		return 0
	}
	return c.cfg.Rest<<s.failed - c.now.Sub(s.moved)
}

// tightened reports whether the bound of v is stricter than when it moved last: it
// had been raised because nobody knew a way in time, and somebody has found one. Who
// is late by that need not rest first.
func (g *group) tightened(v int32) bool { return g.tree.c[v].bound < g.spots[v].within-lateMs }

// noteMove notes that v makes a move that is no failure.
func (g *group) noteMove(c *Controller, v int32) {
	s := &g.spots[v]
	s.moved, s.within, g.lastMove = c.now, g.tree.c[v].bound, c.now
}

// restless reports whether the path to v, or the way to place p, leads over a link
// that has lately gone back and forth. Of moves to and from such links a track
// makes one in a Rest: what they gain may be gone by then.
func (g *group) restless(v int32, p *place) bool {
	t := &g.tree
	up := func(v int32) bool {
		for ; v >= 0 && t.c[v].arc >= 0; v = t.c[v].parent {
			if t.net.arcs[t.c[v].arc].damper.relapses > 0 {
				return true
			}
		}
		return false
	}
	for _, i := range p.arcs[:p.n] {
		if t.net.arcs[i].damper.relapses > 0 {
			return true
		}
	}
	return up(v) || p.n > 0 && up(t.net.arcs[p.arcs[0]].from)
}

// hushed reports whether a move of v to place p must wait because the track made
// one not long ago over links that do not rest.
func (g *group) hushed(c *Controller, v int32, p *place) bool {
	return !g.lastMove.IsZero() && c.now.Sub(g.lastMove) < c.cfg.Rest && g.restless(v, p)
}

// hasten moves those who are late to where they are not: the largest subtree that
// is late for the most part, at once, and else who is late alone.
func (g *group) hasten(c *Controller) {
	t := &g.tree
	var late []int32
	for v := range t.c {
		if x := &t.c[v]; x.viewers > 0 && t.carries(int32(v)) && x.delay > x.bound+lateMs {
			late = append(late, int32(v))
		}
	}
	slices.SortFunc(late, func(a, b int32) int {
		return cmp.Or(cmp.Compare(t.c[b].viewers, t.c[a].viewers), cmp.Compare(a, b))
	})
	var chain []int32
	for _, v := range late {
		if t.c[v].delay <= t.c[v].bound+lateMs {
			continue // helped already
		}
		chain = chain[:0]
		for x := v; x != c.net.origin; x = t.c[x].parent {
			chain = append(chain, x)
		}
		most := 1 // of the chain, how many have a subtree that is late for the most part
		for most < len(chain) && 2*t.lateBelow(chain[most]) >= t.below(chain[most]) {
			most++
		}
		slices.Reverse(chain[:most])
		chain = slices.DeleteFunc(chain, func(x int32) bool { return g.rested(c, x) > 0 && !g.tightened(x) })
		if slices.ContainsFunc(chain, func(x int32) bool { return g.moveInTime(c, x) }) {
			continue
		}
		for _, x := range chain {
			if g.makeRoom(c, x) {
				break
			}
		}
	}
}

// lateBelow is the number of viewers in v's subtree who are late.
func (t *tree) lateBelow(v int32) int64 {
	n := int64(0)
	if x := &t.c[v]; x.delay > x.bound+lateMs {
		n = x.viewers
	}
	for k := t.c[v].first; k >= 0; k = t.c[k].next {
		n += t.lateBelow(k)
	}
	return n
}

// lateMs is how far beyond its bound a node may slip before it is moved for that: it
// absorbs rounding. A path that is 0.1 ms late leaves its viewers late for good.
const lateMs = 0.01

// moveInTime moves v with all below it to a place that is in time for all of them,
// or reports that it only waits for those who are to leave there.
func (g *group) moveInTime(c *Controller, v int32) bool {
	t := &g.tree
	was := t.c[v].delay
	limit := t.limit(v, was)
	shaky := g.hushed(c, v, &place{})
	u, arc := t.cut(v)
	p := t.best(&c.find, v, limit)
	if !p.ok() || !p.inTime || p.resort || p.parent(&c.net) == u || shaky || g.hushed(c, v, &p) {
		t.link(v, u, arc)
		return false
	}
	if at := c.net.arcs[p.arcs[0]].from; !g.vacant(at, v) {
		t.link(v, u, arc)
		if p.n == 1 {
			g.keep(c, v, at)
		}
		return true
	}
	g.moveTo(c, v, &p, ReasonLate, c.net.nodes[u].ID)
	s := &g.spots[v]
	g.noteMove(c, v)
	s.why.was, s.why.is = was, t.c[v].delay
	if s.why.limit = t.c[v].bound; t.c[v].viewers == 0 {
		s.why.limit = g.bound
	}
	return true
}

// improve makes single moves that gain enough, and notes for the others why not.
func (g *group) improve(c *Controller) {
	if !g.dirty && !g.changed && g.epoch == c.net.epoch && (g.look.IsZero() || c.now.Before(g.look)) {
		return
	}
	g.epoch, g.look = c.net.epoch, time.Time{}
	t := &g.tree
	cost := g.cost()
	t.careful = true
	for v := range t.c {
		if int32(v) != c.net.origin && t.carries(int32(v)) {
			g.consider(c, int32(v), cost)
		}
	}
	t.careful = false
}

// later has the group look for moves again after a while.
func (g *group) later(c *Controller, after time.Duration) {
	if at := c.now.Add(after); g.look.IsZero() || at.Before(g.look) {
		g.look = at
	}
}

// cost is what a Mbit/s of the tree costs, in USD per GB over all links.
func (g *group) cost() float64 {
	sum := 0.0
	for v := range g.tree.c {
		if x := &g.tree.c[v]; x.arc >= 0 && x.in {
			sum += g.tree.net.arcs[x.arc].price
		}
	}
	return sum
}

// gbPerMbpsHour turns Mbit/s and USD per GB into USD per hour.
const gbPerMbpsHour = 0.45

// consider looks for a better parent of v among the nodes of the tree.
func (g *group) consider(c *Controller, v int32, cost float64) {
	t, s := &g.tree, &g.spots[v]
	was, limit := t.c[v].delay, t.limit(v, t.c[v].delay)
	late := was > limit+lateMs
	price := c.net.arcs[t.c[v].arc].price
	s.kept = keeping{}
	u, arc := t.cut(v)
	best, reason := place{}, ""
	deepest := t.deepest - t.height(v)
	for i := c.net.inStart[v]; i < c.net.inStart[v+1]; i++ {
		a := &c.net.arcs[i]
		if a.from == u || !t.rooted(a.from) || t.c[a.from].depth+1 > deepest {
			continue
		}
		ok, resort := t.usable(a.from, v, i)
		if !ok || resort {
			continue
		}
		p := place{n: 1, delay: t.c[a.from].delay + c.net.hop(i), price: a.price}
		p.arcs[0] = i
		p.inTime = p.delay <= limit
		if r := g.gain(c, &p, was, price, cost, late); r != "" && p.better(&best) {
			best, reason = p, r
		}
		s.kept.note2(c, &p, was, price, cost, c.net.nodes[a.from].ID)
	}
	t.link(v, u, arc)
	if reason == "" {
		s.better = time.Time{}
		return
	}
	if reason != ReasonLate && g.pinned(c, v) {
		s.kept.pinned = true
		return
	}
	g.decide(c, v, &best, reason, price, cost)
}

// gain says why place p would be better than what v has, "" if it is not by
// enough.
func (g *group) gain(c *Controller, p *place, was, price, cost float64, late bool) string {
	faster := was-p.delay >= max(ms(c.cfg.GainDelay), c.cfg.GainShare*was)
	switch {
	case late && faster:
		return ReasonLate
	case late:
		return ""
	case p.inTime && price-p.price > c.cfg.GainCost*cost:
		return ReasonCheaper
	case p.inTime && faster && p.price <= price:
		return ReasonFaster
	}
	return ""
}

// note2 remembers the alternative that comes closest to a threshold.
func (k *keeping) note2(c *Controller, p *place, was, price, cost float64, name string) {
	gain, share := was-p.delay, (was-p.delay)/max(was, 1e-9)
	if p.price <= price && gain > 0 && share > k.share {
		*k = keeping{to: name, gain: gain, share: share, threshold: max(c.cfg.GainShare, ms(c.cfg.GainDelay)/max(was, 1e-9))}
	}
	if share = (price - p.price) / max(cost, 1e-12); p.inTime && share > k.share {
		*k = keeping{to: name, gain: price - p.price, share: share, cost: true, threshold: c.cfg.GainCost}
	}
}

// decide moves v to a better place if the gain has lasted, v has rested, and the
// budget allows.
func (g *group) decide(c *Controller, v int32, p *place, reason string, price, cost float64) {
	t, s := &g.tree, &g.spots[v]
	if s.better.IsZero() {
		s.better = c.now
	}
	if wait := c.cfg.Hold - c.now.Sub(s.better); wait > 0 {
		s.kept.wait = wait
		g.later(c, wait)
		return
	}
	if rest := g.rested(c, v); rest > 0 {
		s.kept.rest = c.now.Sub(s.moved)
		g.later(c, rest)
		return
	}
	if g.hushed(c, v, p) {
		s.kept.shaky = true
		g.later(c, c.cfg.Hold)
		return
	}
	if !c.allows(t.below(v)) {
		s.kept.budget = true
		g.later(c, c.cfg.Hold)
		return
	}
	was := t.c[v].delay
	from, _ := t.cut(v)
	g.moveTo(c, v, p, reason, c.net.nodes[from].ID)
	s.better, s.kept = time.Time{}, keeping{}
	g.noteMove(c, v)
	s.why.was, s.why.is = was, t.c[v].delay
	switch reason {
	case ReasonCheaper:
		s.why.was = cost * t.rate * gbPerMbpsHour
		s.why.is = (cost - price + p.price) * t.rate * gbPerMbpsHour
		s.why.limit = c.cfg.GainCost
	case ReasonFaster:
		s.why.limit = max(ms(c.cfg.GainDelay), c.cfg.GainShare*was)
	case ReasonLate:
		if s.why.limit = t.c[v].bound; t.c[v].viewers == 0 {
			s.why.limit = g.bound
		}
	}
}
