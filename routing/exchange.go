package routing

import "math"

// Exchanges: moves for trees whose slots are full, where a node can get a better
// place only if another gives it up. Two subtrees swap their parents, two nodes
// swap their places with all that hangs below, or one node moves to a free slot.
// What a move is worth follows from the nodes below it alone, so that a sweep
// over all pairs takes a fraction of a millisecond.

// dense is the problem's arcs as a matrix.
type dense struct {
	n   int32
	hop []float64 // infinite where there is no arc
	arc []int32   // -1 where there is none
}

// maxDense bounds a matrix: 1,200 nodes are 17 MB.
const maxDense = 1200

// newDense returns the matrix, or nil if it would be too large.
func newDense(p *problem) *dense {
	if p.n > maxDense {
		return nil
	}
	n := int(p.n)
	m := &dense{n: p.n, hop: make([]float64, n*n), arc: make([]int32, n*n)}
	for i := range m.hop {
		m.hop[i], m.arc[i] = math.Inf(1), -1
	}
	for i, u := range p.from {
		at := m.at(u, p.to[i])
		m.hop[at], m.arc[at] = p.hop[i], int32(i)
	}
	return m
}

func (m *dense) at(u, v int32) int { return int(u)*int(m.n) + int(v) }

// below adds to s what v and all below it are worth, arcs excepted, if v heard
// the track at the given time.
func (t *treeState) worth(v int32, arrival float64, s *Score) int64 {
	t.own(v, arrival, s)
	seen := int64(1)
	for k := t.c[v].firstKid; k >= 0; k = t.c[k].next {
		seen += t.worth(k, arrival+t.p.hop[t.c[k].arc], s)
	}
	return seen
}

// own is worth of v alone.
func (t *treeState) own(v int32, arrival float64, s *Score) {
	w := t.p.viewers[v]
	if w == 0 {
		return
	}
	s.Served += w
	s.DelayMs += float64(w) * arrival
	if late := arrival - t.p.bound[v]; late <= boundSlackMs {
		s.InBound += w
	} else {
		s.LateMs += float64(w) * late
	}
}

// minus subtracts.
func (s Score) minus(o Score) Score {
	return Score{s.InBound - o.InBound, s.Served - o.Served, s.LateMs - o.LateMs, s.CostUSD - o.CostUSD, s.DelayMs - o.DelayMs}
}

// gains reports whether a change of score is for the better, by more than
// rounding.
func (s Score) gains() bool {
	if s.InBound == 0 && s.Served == 0 && math.Abs(s.LateMs) <= lateTie && math.Abs(s.CostUSD) <= costTie {
		return s.DelayMs < -1e-6
	}
	return s.Compare(Score{}) > 0
}

// exchange sweeps over all exchanges until none helps, and returns the current
// score. First come those in which somebody is late; where nobody is, they can
// only save money or delay.
func (s *search) exchange(score Score, stop func() bool) Score {
	if s.matrix == nil || s.f.weightLimit > 0 {
		return score
	}
	s.rooted()
	s.valueAll()
	for _, all := range [2]bool{false, true} {
		for s.sweep(s.inTree, all, stop) && !stop() {
			s.rooted()
		}
	}
	return s.cur.score()
}

// sweep tries the exchanges of the given nodes with all others once, and reports
// whether any helped.
func (s *search) sweep(nodes []int32, all bool, stop func() bool) bool {
	moved := false
	for _, a := range nodes {
		if stop() {
			return moved
		}
		for _, b := range s.inTree {
			if s.cur.c[a].status != rooted {
				break
			}
			if !all && !s.late(a) && !s.late(b) {
				continue
			}
			if s.toFreeSlot(a, b) || b != a && s.swap(a, b) {
				moved = true
				s.valueAll()
			}
		}
		if s.cur.c[a].status == rooted && (all || s.late(a)) && s.toFreeSlot(a, 0) {
			moved = true
			s.valueAll()
		}
	}
	return moved
}

// late reports whether somebody is late at or below v.
func (s *search) late(v int32) bool { return s.now[v].InBound < s.now[v].Served }

// rooted lists the nodes of the tree, the source excepted.
func (s *search) rooted() {
	s.inTree = s.inTree[:0]
	for v := int32(1); v < s.p.n; v++ {
		if s.cur.c[v].status == rooted {
			s.inTree = append(s.inTree, v)
		}
	}
}

// valueAll notes for every node what it and all below it are worth now.
func (s *search) valueAll() {
	t, now := s.cur, s.now
	var visit func(v int32) Score
	visit = func(v int32) Score {
		var x Score
		t.own(v, t.c[v].delay, &x)
		for k := t.c[v].firstKid; k >= 0; k = t.c[k].next {
			x = x.Add(visit(k))
		}
		now[v] = x
		return x
	}
	visit(0)
	s.f.steps += int64(len(s.inTree))
}

// toFreeSlot moves a, with all below it, to a free slot of b.
func (s *search) toFreeSlot(a, b int32) bool {
	t, p := s.cur, s.p
	c := &t.c[a]
	s.f.steps += 2
	if t.c[b].status != rooted || c.status != rooted || t.c[b].kids >= p.slots[b] || b == c.parent {
		return false
	}
	i := s.matrix.at(b, a)
	arc := s.matrix.arc[i]
	if arc < 0 || t.below(b, a) || !t.fitsDepth(a, t.c[b].depth+1) {
		return false
	}
	arrival := t.c[b].delay + p.hop[arc]
	if arrival >= c.delay && p.cost[arc] >= p.cost[c.arc] && t.cutCost(a) <= p.cost[c.arc] {
		return false // neither sooner nor cheaper
	}
	after := Score{CostUSD: p.cost[arc] - t.cutCost(a)}
	s.f.steps += t.worth(a, arrival, &after)
	if !after.minus(s.now[a]).gains() || t.lonely(a, b) {
		return false
	}
	u := t.unlink(a)
	t.link(a, arc)
	t.prune(u)
	return true
}

// lonely reports whether b is one of the relays that go when a is cut.
func (t *treeState) lonely(a, b int32) bool {
	for u := t.c[a].parent; u > 0 && t.c[u].kids == 1 && t.p.viewers[u] == 0; u = t.c[u].parent {
		if u == b {
			return true
		}
	}
	return false
}

// fitsDepth reports whether v and all below it stay within the limit at a depth.
func (t *treeState) fitsDepth(v, depth int32) bool {
	return t.p.maxDepth == unlimitedDepth || depth+t.height(v) <= t.p.maxDepth
}

// swap makes the better of two exchanges between a and b, if it helps: their
// subtrees swap parents, or they alone swap places.
func (s *search) swap(a, b int32) bool {
	t, p, m := s.cur, s.p, s.matrix
	x, y := &t.c[a], &t.c[b]
	s.f.steps += 4
	if x.status != rooted || y.status != rooted {
		return false
	}
	if x.parent == b || y.parent == a {
		if y.parent == a {
			a, b = b, a
		}
		return s.flip(a, b)
	}
	// a would hang below b's parent, and b below a's.
	toA, toB := m.arc[m.at(y.parent, a)], m.arc[m.at(x.parent, b)]
	if toA < 0 || toB < 0 || t.below(a, b) || t.below(b, a) {
		return false
	}
	before := s.now[a].Add(s.now[b])
	before.CostUSD += p.cost[x.arc] + p.cost[y.arc]
	atA, atB := t.c[y.parent].delay+p.hop[toA], t.c[x.parent].delay+p.hop[toB]
	roots := Score{CostUSD: p.cost[toA] + p.cost[toB]}
	if x.parent != y.parent && t.fitsDepth(a, y.depth) && t.fitsDepth(b, x.depth) {
		after := roots
		s.f.steps += t.worth(a, atA, &after) + t.worth(b, atB, &after)
		if after.minus(before).gains() {
			t.unlink(a)
			t.unlink(b)
			t.link(a, toA)
			t.link(b, toB)
			return true
		}
	}
	if x.kids > p.slots[b] || y.kids > p.slots[a] || x.kids+y.kids == 0 ||
		y.kids == 0 && p.viewers[a] == 0 || x.kids == 0 && p.viewers[b] == 0 {
		return false // no room, no difference, or a relay without use
	}
	after := roots
	t.own(a, atA, &after)
	t.own(b, atB, &after)
	if !s.adopts(a, atA, b, -1, &before, &after) || !s.adopts(b, atB, a, -1, &before, &after) || !after.minus(before).gains() {
		return false
	}
	kidsA, kidsB := t.takeKids(a, s.kids[0][:0]), t.takeKids(b, s.kids[1][:0])
	t.unlink(a)
	t.unlink(b)
	t.link(a, toA)
	t.link(b, toB)
	for _, k := range kidsA {
		t.link(k, m.arc[m.at(b, k)])
	}
	for _, k := range kidsB {
		t.link(k, m.arc[m.at(a, k)])
	}
	s.kids = [2][]int32{kidsA, kidsB}
	return true
}

// adopts adds to after what the children of b, one excepted, are worth below a,
// who hears the track at the given time, and their arcs to both sums. It reports
// whether there are arcs to all of them.
func (s *search) adopts(a int32, at float64, b, except int32, before, after *Score) bool {
	t, p, m := s.cur, s.p, s.matrix
	for k := t.c[b].firstKid; k >= 0; k = t.c[k].next {
		if k == except {
			continue
		}
		arc := m.arc[m.at(a, k)]
		if arc < 0 {
			return false
		}
		before.CostUSD += p.cost[t.c[k].arc]
		after.CostUSD += p.cost[arc]
		s.f.steps += t.worth(k, at+p.hop[arc], after)
	}
	return true
}

// takeKids unlinks all children of v, and appends them to out.
func (t *treeState) takeKids(v int32, out []int32) []int32 {
	for t.c[v].firstKid >= 0 {
		k := t.c[v].firstKid
		t.unlink(k)
		out = append(out, k)
	}
	return out
}

// flip lets a, a child of b, and b swap places, if that helps.
func (s *search) flip(a, b int32) bool {
	t, p, m := s.cur, s.p, s.matrix
	u := t.c[b].parent
	toA, toB := m.arc[m.at(u, a)], m.arc[m.at(a, b)]
	if toA < 0 || toB < 0 || t.c[a].kids > p.slots[b] || t.c[b].kids > p.slots[a] ||
		t.c[a].kids == 0 && p.viewers[b] == 0 {
		return false
	}
	before := s.now[b]
	before.CostUSD += p.cost[t.c[a].arc] + p.cost[t.c[b].arc]
	atA := t.c[u].delay + p.hop[toA]
	atB := atA + p.hop[toB]
	after := Score{CostUSD: p.cost[toA] + p.cost[toB]}
	t.own(a, atA, &after)
	t.own(b, atB, &after)
	if !s.adopts(b, atB, a, -1, &before, &after) || !s.adopts(a, atA, b, a, &before, &after) || !after.minus(before).gains() {
		return false
	}
	kidsA := t.takeKids(a, s.kids[0][:0])
	t.unlink(a)
	kidsB := t.takeKids(b, s.kids[1][:0])
	t.unlink(b)
	t.link(a, toA)
	t.link(b, toB)
	for _, k := range kidsA {
		t.link(k, m.arc[m.at(b, k)])
	}
	for _, k := range kidsB {
		t.link(k, m.arc[m.at(a, k)])
	}
	s.kids = [2][]int32{kidsA, kidsB}
	return true
}
