package control

import (
	"cmp"
	"slices"
)

// Backups. A node's backup parent is one that carries the track already, over a
// path that has no inner node in common with the node's own; its whole path is the
// backup path. So whatever inner node is lost, who switches to a backup finds the
// track there: nobody it now depends on had to switch as well. Where no such node
// has a link to it, relays that carry nothing yet are added, and stand by. Failing
// that too, a node that shares the loss may serve if it has a backup of its own
// whose path avoids all of this: it gets the track over that by itself, at the same
// time, and the backup path goes over its backup.

// shield finds the backups of one group.
type shield struct {
	c *Controller
	g *group
	t *tree

	inner   []uint32 // by node: stamp of the round in which it is on the path
	round   uint32
	regions []string // of the inner nodes, those of origin and node excepted
	provs   []string
	parent  int32
	load    map[[2]int32]int32 // by backup parent and lost parent: nodes that switch
	worst   []int32            // by node: most that switch to it at once
	live    []int32            // by node: hot backups fed always
	order   []int32
}

// protectAll decides the backups anew of groups for which anything has changed
// that they depend on, or whose backups no longer have room.
func (c *Controller) protectAll(order []*group) {
	for _, g := range order {
		if g.shielded != c.net.epoch || g.dirty || g.changed {
			g.shield(c)
			if g.unburden(c) {
				g.demote()
				g.shield(c)
			}
		}
		g.bookBackups(c, +1)
	}
	for _, g := range order {
		if g.backupsOver(c) {
			g.bookBackups(c, -1)
			g.shield(c)
			g.bookBackups(c, +1)
		}
	}
}

// backupsOver reports whether a backup parent has no room for what it may have to
// send.
func (g *group) backupsOver(c *Controller) bool {
	for v := range g.spots {
		b := g.spots[v].backup
		if b >= 0 && c.acc.room[b] >= 0 && c.acc.used[b]+c.acc.reserve[b] > c.acc.room[b]*(1+overSlack)+roomSlackMbps {
			return true
		}
	}
	return false
}

func (g *group) shield(c *Controller) {
	g.shielded = c.net.epoch
	n := len(g.tree.c)
	s := &shield{
		c: c, g: g, t: &g.tree, inner: make([]uint32, n), load: map[[2]int32]int32{},
		worst: make([]int32, n), live: make([]int32, n),
	}
	s.run()
}

// bookBackups puts what backups take, or would take at the worst failure, on the
// account, or with sign -1 takes it off.
func (g *group) bookBackups(c *Controller, sign float64) {
	load := map[[2]int32]int32{}
	worst := map[int32]int32{}
	for v := range g.spots {
		s := &g.spots[v]
		if s.backup < 0 || !g.tree.carries(int32(v)) {
			continue
		}
		if s.grade == ProtectHot {
			c.acc.used[s.backup] += sign * g.tree.rate
			continue
		}
		p := g.tree.failure(s.backup, int32(v))
		load[p]++
		if load[p] > worst[s.backup] {
			worst[s.backup] = load[p]
			c.acc.reserve[s.backup] += sign * g.tree.rate
		}
	}
}

func (s *shield) run() {
	t, g := s.t, s.g
	for v := range g.spots {
		if x := &g.spots[v]; !t.carries(int32(v)) {
			x.backup, x.over, x.grade, x.shares, x.blast = -1, -1, ProtectNone, "", false
		}
	}
	below := make([]int64, len(t.c))
	s.order = t.weigh(s.order, below)
	total := below[t.net.origin]
	slices.SortStableFunc(s.order, func(a, b int32) int { return cmp.Compare(below[b], below[a]) })
	for _, v := range s.order {
		u := t.c[v].parent
		if u < 0 {
			continue
		}
		want := g.protect
		blast := u != s.c.net.origin && float64(below[u]) > s.c.cfg.BlastShare*float64(total) && want < ProtectWarm
		if blast {
			want = ProtectWarm
		}
		s.cover(v, want, blast)
	}
	for _, v := range s.order {
		if want := s.wanted(v); want >= ProtectWarm && t.c[v].parent >= 0 && (g.spots[v].grade < want || g.spots[v].shares != "") {
			s.join(v, want)
		}
	}
	s.dropUnused()
}

// wanted is how far v is to be protected.
func (s *shield) wanted(v int32) Protection {
	if s.g.spots[v].blast {
		return max(s.g.protect, ProtectWarm)
	}
	return s.g.protect
}

// join gives v, which has no backup of the wanted grade, one that shares the loss
// but has such a backup itself.
func (s *shield) join(v int32, want Protection) {
	t, n, x := s.t, s.t.net, &s.g.spots[v]
	s.mark(v)
	best, bestDelay := int32(-1), 0.0
	deepest := t.deepest - t.height(v)
	for i := n.inStart[v]; i < n.inStart[v+1]; i++ {
		b := n.arcs[i].from
		if b == s.parent || s.inner[b] == s.round || b == n.origin || !t.carries(b) || !n.arcs[i].calm || !n.relays(b) ||
			n.nodes[b].Overloaded && b != x.backup || t.under(b, v) || !s.room(b, v, want) {
			continue
		}
		y := &s.g.spots[b]
		if y.backup < 0 || y.over >= 0 || y.shares != "" || y.grade < want || t.c[y.backup].depth+2 > deepest || !s.clear(y.backup, v, false) {
			continue
		}
		j := n.find(y.backup, b)
		if j < 0 {
			continue
		}
		if d := t.c[y.backup].delay + n.hop(j) + n.hop(i); best < 0 || d < bestDelay {
			best, bestDelay = b, d
		}
	}
	if best < 0 {
		return
	}
	if x.backup >= 0 {
		s.unbook(v, x.backup, x.grade)
	}
	x.backup, x.over, x.grade, x.shares = best, s.g.spots[best].backup, want, ""
	s.book(v, best, want)
}

// cover gives v a backup of the wanted grade, as far as there is one.
func (s *shield) cover(v int32, want Protection, blast bool) {
	t, x := s.t, &s.g.spots[v]
	old := x.backup
	x.backup, x.over, x.grade, x.shares, x.blast = -1, -1, ProtectNone, "", blast
	if want == ProtectNone {
		return
	}
	s.mark(v)
	b := s.choose(v, old, want, false)
	if b < 0 || t.lateOver(b, v) {
		if p := s.relays(v, want); p.ok() && (b < 0 || p.delay <= t.c[v].bound) {
			b = p.parent(t.net)
			p.n-- // v itself stays where it is
			s.g.enter(&p, true)
			for _, i := range p.arcs[:p.n] {
				x := t.net.arcs[i].to
				s.g.spots[x] = newSpotAfter(s.g.spots[x])
				s.g.spots[x].why = s.g.moveWhy(ReasonStandby, x, "")
			}
		}
	}
	if b >= 0 {
		x.backup, x.grade = b, want
		s.book(v, b, want)
		return
	}
	// Better than nothing: a place that survives the parent at least, fed or standing
	// by if there is room.
	for _, grade := range []Protection{want, ProtectCold} {
		if b = s.choose(v, old, grade, true); b >= 0 {
			x.backup, x.grade, x.shares = b, grade, s.shared(b)
			s.book(v, b, grade)
			return
		}
	}
}

// mark notes the path to v.
func (s *shield) mark(v int32) {
	t := s.t
	s.round++
	s.regions, s.provs = s.regions[:0], s.provs[:0]
	s.parent = t.c[v].parent
	from, to := &t.net.nodes[t.net.origin], &t.net.nodes[v]
	for u := s.parent; u >= 0 && u != t.net.origin; u = t.c[u].parent {
		s.inner[u] = s.round
		n := &t.net.nodes[u]
		if n.Region != "" && n.Region != from.Region && n.Region != to.Region {
			s.regions = append(s.regions, n.Region)
		}
		if n.Provider != "" && n.Provider != from.Provider && n.Provider != to.Provider {
			s.provs = append(s.provs, n.Provider)
		}
	}
}

// clear reports whether the path to b, and b, have no inner node in common with
// the marked path and do not pass v; partly asks for no more than another parent.
func (s *shield) clear(b, v int32, partly bool) bool {
	if b == s.parent {
		return false
	}
	for u := b; u >= 0; u = s.t.c[u].parent {
		if u == v || u == s.parent && s.parent != s.t.net.origin || !partly && s.inner[u] == s.round {
			return false
		}
	}
	return true
}

// shared names the inner nodes that the path to b has in common with the marked
// one.
func (s *shield) shared(b int32) string {
	out := ""
	for u := b; u >= 0; u = s.t.c[u].parent {
		if s.inner[u] == s.round {
			if out != "" {
				out += ", "
			}
			out += s.t.net.nodes[u].ID
		}
	}
	return out
}

// groupsShared counts the kinds of groups, regions and providers, that the path to
// b has in common with the marked path.
func (s *shield) groupsShared(b int32) (shared int) {
	region, prov := 0, 0
	for u := b; u >= 0 && u != s.t.net.origin; u = s.t.c[u].parent {
		n := &s.t.net.nodes[u]
		if slices.Contains(s.regions, n.Region) {
			region = 1
		}
		if slices.Contains(s.provs, n.Provider) {
			prov = 1
		}
	}
	return region + prov
}

// lateOver reports whether v would be late below b.
func (t *tree) lateOver(b, v int32) bool {
	i := t.net.find(b, v)
	return i < 0 || t.c[b].delay+t.net.hop(i) > t.c[v].bound
}

// room reports whether b can feed v too, when v's parent is lost, or always if
// hot.
func (s *shield) room(b, v int32, want Protection) bool {
	t := s.t
	kids := int(t.c[b].kids + t.c[b].held + s.live[b])
	extra := s.live[b]
	if want != ProtectHot {
		n := s.load[s.t.failure(b, v)] + 1
		kids += int(max(n, s.worst[b]))
		extra += max(n, s.worst[b])
	} else {
		kids += int(1 + s.worst[b])
		extra += 1 + s.worst[b]
	}
	if limit := t.net.nodes[b].MaxChildren; limit >= 0 && kids > limit {
		return false
	}
	acc := t.acc
	return acc.room[b] < 0 || acc.used[b]+acc.reserve[b]+float64(extra)*t.rate <= acc.room[b]+roomSlackMbps
}

// failure is the key of what makes v switch to b: the loss of its parent, or if
// that is the origin of the link, which no other shares.
func (t *tree) failure(b, v int32) [2]int32 {
	u := t.c[v].parent
	if u == t.net.origin {
		u = -1 - v
	}
	return [2]int32{b, u}
}

func (s *shield) book(v, b int32, grade Protection) {
	if grade == ProtectHot {
		s.live[b]++
		return
	}
	k := s.t.failure(b, v)
	s.load[k]++
	s.worst[b] = max(s.worst[b], s.load[k])
}

// unbook takes a booking back. The worst that was reckoned with stays.
func (s *shield) unbook(v, b int32, grade Protection) {
	if grade == ProtectHot {
		s.live[b]--
		return
	}
	s.load[s.t.failure(b, v)]--
}

// rank of a backup parent, least first.
type rank struct {
	late   bool
	shared int
	value  float64
}

func (a rank) compare(b rank) int {
	if a.late != b.late {
		if a.late {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(a.shared, b.shared), cmp.Compare(a.value, b.value))
}

// choose picks the backup parent of v among the nodes that carry the track. The
// old one stays unless another is clearly better.
func (s *shield) choose(v, old int32, want Protection, partly bool) int32 {
	t, n := s.t, s.t.net
	best, bestRank := int32(-1), rank{}
	var oldRank rank
	oldOK := false
	deepest := t.deepest - t.height(v)
	for i := n.inStart[v]; i < n.inStart[v+1]; i++ {
		b := n.arcs[i].from
		if !t.rooted(b) || t.c[b].depth+1 > deepest || !n.arcs[i].calm || !n.relays(b) || n.nodes[b].Overloaded && b != old || !s.clear(b, v, partly) || !s.room(b, v, want) {
			continue
		}
		r := rank{shared: s.groupsShared(b), value: t.c[b].delay + n.hop(i)}
		if r.late = r.value > t.c[v].bound; !r.late && want == ProtectHot {
			r.value = n.arcs[i].price*1e6 + r.value*1e-3 // it is paid for always
		}
		if b == old {
			oldRank, oldOK = r, true
		}
		if best < 0 || r.compare(bestRank) < 0 {
			best, bestRank = b, r
		}
	}
	if oldOK && oldRank.late == bestRank.late && oldRank.shared <= bestRank.shared && oldRank.value-bestRank.value < max(ms(s.c.cfg.GainDelay), s.c.cfg.GainShare*oldRank.value) {
		return old
	}
	return best
}

// relays looks for a way to v over relays that do not carry the track yet.
func (s *shield) relays(v int32, want Protection) place {
	t := s.t
	// v itself is looked at as if it had no place, from outside of its subtree.
	p := t.fastest(&s.c.find, v, t.c[v].bound, func(u, next int32) bool {
		if u == v || s.inner[u] == s.round || t.net.nodes[u].Draining || t.net.nodes[u].Overloaded {
			return false
		}
		if t.rooted(u) {
			// The origin survives whatever is provided for: only its link to v does not.
			return (u == t.net.origin || s.clear(u, v, false)) && next != v && s.room(u, next, ProtectHot)
		}
		return next != v || s.room(u, v, want)
	})
	if p.n < 2 || p.resort {
		return place{}
	}
	return p
}

// dropUnused takes out standby relays over which no backup goes.
func (s *shield) dropUnused() {
	t := s.t
	used := make([]bool, len(t.c))
	for v := range s.g.spots {
		if !t.carries(int32(v)) {
			continue
		}
		for b := s.g.spots[v].backup; b >= 0 && t.c[b].standby && !used[b]; b = t.c[b].parent {
			used[b] = true
		}
	}
	for v := range t.c {
		if t.c[v].in && t.c[v].standby && !used[v] {
			t.dropAll(int32(v))
		}
	}
}
