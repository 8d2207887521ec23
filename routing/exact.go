package routing

import (
	"math"
	"math/bits"
)

// Exact solution of small problems by branch and bound. A tree grows from the
// source; a branch takes one arc that leaves the tree, or rules it out for good,
// so every tree is met exactly once. What prunes are optimistic completions,
// one per term of the objective, in its order: each is looked at only when the
// terms before it cannot get better.

// maxExact is the size up to which sets of nodes fit the arrays below. What is
// promised is 12; larger ones usually work too, within the limit on branches.
const maxExact = 16

type nodeSet = uint32

// exact is one run of the solver.
type exact struct {
	p    *problem
	n    int
	hop  [maxExact][maxExact]float64
	cost [maxExact][maxExact]float64
	// order lists terminals by viewers, most first.
	order []int

	best     Score
	bestTree [maxExact]int8 // parents
	branches int64
	limit    int64 // on branches; what is found beyond it is not proven
}

// partial is a tree under construction and the arcs not ruled out.
type partial struct {
	in     nodeSet
	open   nodeSet           // in the tree with a slot and depth to spare
	arcs   [maxExact]nodeSet // by tail: heads still allowed
	parent [maxExact]int8
	kids   [maxExact]int32
	depth  [maxExact]int32
	delay  [maxExact]float64
	score  Score
}

// solveExact improves on the given tree until it is optimal; proven tells if it
// came to the end within the limit of branches.
func solveExact(p *problem, start *treeState, limit int64) (best *treeState, proven bool, branches int64) {
	e := &exact{p: p, n: int(p.n), limit: limit, best: start.score()}
	s := &partial{in: 1, score: p.local}
	for i, u := range p.from {
		v := p.to[i]
		e.hop[u][v], e.cost[u][v] = p.hop[i], p.cost[i]
		s.arcs[u] |= 1 << v
	}
	for v := range e.n {
		e.bestTree[v] = int8(start.c[v].parent)
		s.parent[v] = -1
	}
	for _, t := range p.terminals {
		i := len(e.order)
		e.order = append(e.order, int(t))
		for ; i > 0 && p.viewers[e.order[i-1]] < p.viewers[t]; i-- {
			e.order[i] = e.order[i-1]
		}
		e.order[i] = int(t)
	}
	e.reopen(s, 0)
	e.branch(s)
	best = newTreeState(p)
	e.build(best, 0)
	return best, e.branches < e.limit, e.branches
}

// build hangs the best tree's nodes into t, from v downwards.
func (e *exact) build(t *treeState, v int) {
	for c := range e.n {
		if int(e.bestTree[c]) != v || c == 0 {
			continue
		}
		for i := e.p.inStart[c]; i < e.p.inStart[c+1]; i++ {
			if e.p.from[i] == int32(v) {
				t.link(int32(c), i)
			}
		}
		e.build(t, c)
	}
}

func (e *exact) reopen(s *partial, u int) {
	if s.kids[u] < e.p.slots[u] && s.depth[u] < e.p.maxDepth {
		s.open |= 1 << u
	} else {
		s.open &^= 1 << u
	}
}

// take adds the arc u -> v.
func (e *exact) take(s *partial, u, v int) {
	s.in |= 1 << v
	s.parent[v] = int8(u)
	s.kids[u]++
	s.depth[v] = s.depth[u] + 1
	s.delay[v] = s.delay[u] + e.hop[u][v]
	s.score.CostUSD += e.cost[u][v]
	if w := e.p.viewers[v]; w > 0 {
		s.score.Served += w
		s.score.DelayMs += float64(w) * s.delay[v]
		if late := s.delay[v] - e.p.bound[v]; late <= boundSlackMs {
			s.score.InBound += w
		} else {
			s.score.LateMs += float64(w) * late
		}
	}
	e.reopen(s, u)
	e.reopen(s, v)
}

// branch explores all completions of s.
func (e *exact) branch(s *partial) {
	for {
		if e.branches++; e.branches >= e.limit {
			return
		}
		e.offer(s)
		var o optimist
		o.look(e, s)
		if !o.hopeful(e, s) {
			return
		}
		u, v := o.choose(e, s)
		if u < 0 {
			return
		}
		with := *s
		e.take(&with, u, v)
		e.branch(&with)
		s.arcs[u] &^= 1 << v // and now all trees without it
	}
}

// offer takes the tree as it is, without its useless leaves, as a candidate.
func (e *exact) offer(s *partial) {
	score := s.score
	parent, kids, in := s.parent, s.kids, s.in
	for again := true; again; {
		again = false
		for rest := in &^ 1; rest != 0; rest &= rest - 1 {
			v := bits.TrailingZeros32(rest)
			if kids[v] == 0 && e.p.viewers[v] == 0 {
				u := parent[v]
				score.CostUSD -= e.cost[u][v]
				kids[u]--
				parent[v] = -1
				in &^= 1 << v
				again = true
			}
		}
	}
	if score.Compare(e.best) > 0 {
		e.best, e.bestTree = score, parent
	}
}

// optimist holds the best that could still happen to each node outside a tree.
type optimist struct {
	delay  [maxExact]float64 // least delay with the arcs that are left
	via    [maxExact]int8    // the node before on that path
	canIn  nodeSet           // terminals outside that could be in bound
	canGet nodeSet           // terminals outside that could be served
	needIn nodeSet           // those of canIn that must be, to equal the best
	need   nodeSet           // those of canGet that must be
	limit  [maxExact]float64 // latest useful arrival of needed terminals
}

// look finds the optimistic delays: the tree's nodes stand, open ones may go on,
// and nobody else's slots are short.
func (o *optimist) look(e *exact, s *partial) {
	for v := range e.n {
		o.delay[v] = math.Inf(1)
		o.via[v] = -1
	}
	if e.p.maxDepth < int32(e.n-1) {
		o.lookByDepth(e, s)
	} else {
		for rest := s.in; rest != 0; rest &= rest - 1 {
			v := bits.TrailingZeros32(rest)
			o.delay[v] = s.delay[v]
		}
		todo := s.open
		fringe := todo
		for fringe != 0 {
			u, least := -1, math.Inf(1)
			for rest := fringe; rest != 0; rest &= rest - 1 {
				if v := bits.TrailingZeros32(rest); o.delay[v] < least || u < 0 {
					u, least = v, o.delay[v]
				}
			}
			fringe &^= 1 << u
			for rest := s.arcs[u] &^ s.in; rest != 0; rest &= rest - 1 {
				v := bits.TrailingZeros32(rest)
				if d := least + e.hop[u][v]; d < o.delay[v] {
					o.delay[v], o.via[v] = d, int8(u)
					if e.p.slots[v] > 0 {
						fringe |= 1 << v
					}
				}
			}
		}
	}
	for _, t := range e.order {
		if s.in&(1<<t) != 0 || math.IsInf(o.delay[t], 1) {
			continue
		}
		o.canGet |= 1 << t
		if o.delay[t] <= e.p.bound[t]+boundSlackMs {
			o.canIn |= 1 << t
		}
	}
}

// lookByDepth is look with a limit on depth: paths by their number of arcs.
func (o *optimist) lookByDepth(e *exact, s *partial) {
	var at [maxExact]float64 // least delay of arrivals at exactly this depth
	for d := int32(0); d <= e.p.maxDepth; d++ {
		var next [maxExact]float64
		for v := range e.n {
			next[v] = math.Inf(1)
		}
		for u := range e.n {
			if s.in&(1<<u) != 0 {
				if s.depth[u] == d {
					o.delay[u] = s.delay[u]
				}
				if s.depth[u] != d || s.open&(1<<u) == 0 {
					continue
				}
				at[u] = s.delay[u]
			} else if d == 0 || math.IsInf(at[u], 1) || e.p.slots[u] <= 0 {
				continue
			}
			if d == e.p.maxDepth {
				continue
			}
			for rest := s.arcs[u] &^ s.in; rest != 0; rest &= rest - 1 {
				v := bits.TrailingZeros32(rest)
				x := at[u] + e.hop[u][v]
				next[v] = min(next[v], x)
				if x < o.delay[v] {
					o.delay[v], o.via[v] = x, int8(u)
				}
			}
		}
		at = next
	}
}

// weigh sums the viewers of a set.
func (e *exact) weigh(set nodeSet) int64 {
	n := int64(0)
	for ; set != 0; set &= set - 1 {
		n += e.p.viewers[bits.TrailingZeros32(set)]
	}
	return n
}

// hopeful reports whether a completion of s could be better than the best.
func (o *optimist) hopeful(e *exact, s *partial) bool {
	lackIn := e.best.InBound - s.score.InBound
	sum := e.weigh(o.canIn)
	if sum < lackIn {
		return false
	}
	most := sum
	if sum > 0 {
		most = e.assign(s, o, o.canIn, true)
	}
	if most != lackIn {
		return most > lackIn
	}
	o.needIn = e.needed(s, o, o.canIn, true, lackIn, sum)

	lack := e.best.Served - s.score.Served
	sum = e.weigh(o.canGet)
	if sum < lack {
		return false
	}
	if sum > 0 {
		most = e.assign(s, o, o.canGet, false)
	} else {
		most = 0
	}
	if most != lack {
		return most > lack
	}
	o.need = e.needed(s, o, o.canGet, false, lack, sum)
	return o.hopefulLate(e, s)
}

// hopefulLate goes on where in bound and served can at best be equalled.
func (o *optimist) hopefulLate(e *exact, s *partial) bool {
	late, delay := s.score.LateMs, s.score.DelayMs
	for rest := o.need | o.needIn; rest != 0; rest &= rest - 1 {
		t := bits.TrailingZeros32(rest)
		w := float64(e.p.viewers[t])
		late += w * max(0, o.delay[t]-e.p.bound[t]-boundSlackMs)
		delay += w * o.delay[t]
	}
	spare := e.best.LateMs + lateTie - late
	if spare < 0 {
		return false
	}
	if late < e.best.LateMs-lateTie {
		return true
	}
	for rest := o.need | o.needIn; rest != 0; rest &= rest - 1 {
		t := bits.TrailingZeros32(rest)
		o.limit[t] = e.p.bound[t]
		if o.needIn&(1<<t) == 0 {
			o.limit[t] = max(o.delay[t], e.p.bound[t]) + spare/float64(e.p.viewers[t])
		}
	}
	cost := s.score.CostUSD + o.leastCost(e, s)
	if cost > e.best.CostUSD+costTie {
		return false
	}
	return cost < e.best.CostUSD-costTie || delay < e.best.DelayMs
}

// needed returns the members of set without whom the sum would stay below lack.
func (e *exact) needed(s *partial, o *optimist, set nodeSet, inBound bool, lack, sum int64) nodeSet {
	need := nodeSet(0)
	for rest := set; rest != 0; rest &= rest - 1 {
		t := bits.TrailingZeros32(rest)
		if sum-e.p.viewers[t] < lack || e.assign(s, o, set&^(1<<t), inBound) < lack {
			need |= 1 << t
		}
	}
	return need
}

// assign returns the most viewers of set that could be served when every one of
// them needs a slot of a parent near enough: a maximum-weight transversal, for
// which greedy augmentation is exact (Edmonds and Fulkerson, 1965).
func (e *exact) assign(s *partial, o *optimist, set nodeSet, inBound bool) int64 {
	var near [maxExact]nodeSet // parents that would do, of each terminal
	for u := range e.n {
		if e.p.slots[u] <= 0 || s.in&(1<<u) != 0 && s.open&(1<<u) == 0 || math.IsInf(o.delay[u], 1) {
			continue
		}
		for rest := s.arcs[u] & set; rest != 0; rest &= rest - 1 {
			v := bits.TrailingZeros32(rest)
			if !inBound || o.delay[u]+e.hop[u][v] <= e.p.bound[v]+boundSlackMs {
				near[v] |= 1 << u
			}
		}
	}
	var m matching
	for u := range e.n {
		m.room[u] = e.p.slots[u] - s.kids[u]
	}
	total := int64(0)
	for _, t := range e.order {
		if set&(1<<t) == 0 {
			continue
		}
		m.seen = 0
		if m.augment(&near, t) {
			total += e.p.viewers[t]
		}
	}
	return total
}

// matching assigns terminals to slots of parents.
type matching struct {
	room [maxExact]int32
	of   [maxExact]nodeSet // terminals that each parent holds
	seen nodeSet
}

// augment finds a slot for t, moving others if need be.
func (m *matching) augment(near *[maxExact]nodeSet, t int) bool {
	for rest := near[t] &^ m.seen; rest != 0; rest &= rest - 1 {
		if u := bits.TrailingZeros32(rest); m.room[u] > 0 {
			m.room[u]--
			m.of[u] |= 1 << t
			return true
		}
	}
	for rest := near[t] &^ m.seen; rest != 0; rest &= rest - 1 {
		u := bits.TrailingZeros32(rest)
		if m.seen&(1<<u) != 0 {
			continue
		}
		m.seen |= 1 << u
		for held := m.of[u]; held != 0; held &= held - 1 {
			x := bits.TrailingZeros32(held)
			if m.augment(near, x) {
				m.of[u] = m.of[u]&^(1<<x) | 1<<t
				return true
			}
		}
	}
	return false
}

// leastCost bounds from below what it costs to connect the needed terminals: dual
// ascent (Wong, Math. Programming 28, 1984) with the tree as the root, over arcs
// that could be in time.
func (o *optimist) leastCost(e *exact, s *partial) float64 {
	need := o.need | o.needIn
	if need == 0 {
		return 0
	}
	latest := 0.0
	for rest := need; rest != 0; rest &= rest - 1 {
		latest = max(latest, o.limit[bits.TrailingZeros32(rest)])
	}
	var reduced [maxExact][maxExact]float64
	var tails [maxExact]nodeSet // by head: arcs that count
	for u := range e.n {
		if s.in&(1<<u) != 0 && s.open&(1<<u) == 0 || math.IsInf(o.delay[u], 1) {
			continue
		}
		for rest := s.arcs[u] &^ s.in; rest != 0; rest &= rest - 1 {
			v := bits.TrailingZeros32(rest)
			limit := latest
			if need&(1<<v) != 0 {
				limit = o.limit[v]
			}
			if o.delay[u]+e.hop[u][v] <= limit+boundSlackMs {
				reduced[u][v] = e.cost[u][v]
				tails[v] |= 1 << u
			}
		}
	}
	bound := 0.0
	for rest := need; rest != 0; rest &= rest - 1 {
		t := bits.TrailingZeros32(rest)
		for {
			// All that reach t over arcs without reduced cost.
			reach := nodeSet(1 << t)
			for todo := reach; todo != 0; {
				v := bits.TrailingZeros32(todo)
				todo &= todo - 1
				for q := tails[v] &^ reach; q != 0; q &= q - 1 {
					if u := bits.TrailingZeros32(q); reduced[u][v] <= 0 {
						reach |= 1 << u
						todo |= 1 << u
					}
				}
			}
			if reach&s.in != 0 {
				break
			}
			raise := math.Inf(1)
			for q := reach; q != 0; q &= q - 1 {
				v := bits.TrailingZeros32(q)
				for x := tails[v] &^ reach; x != 0; x &= x - 1 {
					raise = min(raise, reduced[bits.TrailingZeros32(x)][v])
				}
			}
			if math.IsInf(raise, 1) {
				return raise // t cannot be connected in time
			}
			bound += raise
			for q := reach; q != 0; q &= q - 1 {
				v := bits.TrailingZeros32(q)
				for x := tails[v] &^ reach; x != 0; x &= x - 1 {
					reduced[bits.TrailingZeros32(x)][v] -= raise
				}
			}
		}
	}
	return bound
}

// choose picks the arc to branch on: the first on the optimistic path to the
// heaviest terminal that matters. Without such a terminal the branch is at its
// end.
func (o *optimist) choose(e *exact, s *partial) (u, v int) {
	for _, set := range [...]nodeSet{o.needIn, o.canIn, o.need, o.canGet} {
		for _, t := range e.order {
			if set&(1<<t) == 0 {
				continue
			}
			v = t
			for u = int(o.via[v]); s.in&(1<<u) == 0; u = int(o.via[v]) {
				v = u
			}
			return u, v
		}
	}
	return -1, -1
}
