package routing

import "math/rand/v2"

// The one primitive of construction and search: the cheapest path that brings
// the track to v in time. It starts anywhere in the tree where a slot is free
// and runs over relays that are still outside. Delay-constrained cheapest paths
// are NP-hard in general, and tame here: labels (cost, hop) are settled in order
// of cost, so at each node only a strictly smaller hop survives, and the least
// delays from the source cut off what cannot be in time (Dumitrescu and Boland,
// Networks 42, 2003).

// label is a path from a node to v.
type label struct {
	node int32
	arc  int32 // out of node, first of the path
	rest int32 // label of the arc's head; -1 at v itself
	arcs int32 // in the path
	alt  int32 // the previous label of the same node; -1
	cost float64
	hop  float64
	// limit is the latest arrival at v with which the terminals on the path, who
	// get the track too, meet their deadlines.
	limit float64
}

// blinkEvery is how rarely a search overlooks a place: rebuilding a part of a tree
// without it always ends in the same tree (Christiaens and Vanden Berghe,
// Transportation Science 54, 2020).
const blinkEvery = 40

// freshenAfter is how many nodes may enter a tree under construction before its
// floors are computed anew.
const freshenAfter = 24

// labelSteps is what settling a label takes, in steps: a heap, and other labels
// of the node.
const labelSteps = 24

// labelsPerNode ends a search that grows out of hand: with a limit on depth, and
// terminals on the way, few labels are as good as another in every way.
const labelsPerNode = 6

// finder holds the memory of the path search between calls.
type finder struct {
	p      *problem
	labels []label
	heap   []int32 // of labels by (cost, hop)
	last   []int32 // newest label of each node; valid if stamp says so
	stamp  []uint32
	round  uint32
	byHop  bool // labels are settled in order of hop, not of cost

	// steps counts arcs looked at: the planner's clock, the same on every
	// machine.
	steps int64

	blink  *rand.Rand // if not nil, a place is overlooked now and then
	hurry  bool       // attach where it is fastest, whatever it costs
	strict bool       // attach in time or not at all
	spare  *floors    // to use when slots run short while a tree is built from nothing
	floors *floors    // what prunes, if not nil, beside the least delays

	// Restrictions, off when nil or zero.
	weightLimit int64              // on the weight of any node with children, the source excepted
	banned      func(v int32) bool // nodes that may not be inner nodes of the path
	bannedRoot  func(u int32) bool // tree nodes that the path may not start from
}

func newFinder(p *problem) *finder {
	return &finder{p: p, last: make([]int32, p.n), stamp: make([]uint32, p.n)}
}

// found is a path to v, and what it would bring.
type found struct {
	label int32   // first label of the path; -1 if there is none
	arc   int32   // from the tree to the label's node
	cost  float64 // of all new arcs
	delay float64 // arrival at v
}

func (f found) ok() bool { return f.arc >= 0 }

// better orders paths by cost, then delay.
func (f found) better(o found) bool {
	if f.cost < o.cost-costTie/4 {
		return true
	}
	return f.cost <= o.cost && f.delay < o.delay
}

// mayStart reports whether tree node u can take one more child of the given
// weight.
func (s *finder) mayStart(t *treeState, u int32, weight int64) bool {
	if t.c[u].kids >= s.p.slots[u] || s.blink != nil && s.blink.Uint32()%blinkEvery == 0 {
		return false
	}
	if s.weightLimit > 0 {
		for a := u; a > 0; a = t.c[a].parent {
			if t.c[a].weight+weight > s.weightLimit {
				return false
			}
		}
	}
	return s.bannedRoot == nil || !s.bannedRoot(u)
}

// mayPass reports whether outside node u can be an inner node of the path. A
// terminal can, and is served on the way, unless shares are limited: its viewers
// would count for all nodes above.
func (s *finder) mayPass(t *treeState, u int32, weight int64) bool {
	if t.c[u].status != outside || s.p.slots[u] <= 0 {
		return false
	}
	if s.weightLimit > 0 && (weight > s.weightLimit || s.p.viewers[u] > 0) {
		return false
	}
	return s.banned == nil || !s.banned(u)
}

// cheapest finds the cheapest path that reaches v, outside or root of a floating
// subtree, not later than limit, at no more than maxCost.
func (s *finder) cheapest(t *treeState, v int32, limit, maxCost float64) found {
	best := found{label: -1, arc: -1, cost: maxCost, delay: limit}
	s.byHop = false
	limit += boundSlackMs
	weight := s.start(t, v, limit)
	roomBelow := s.p.maxDepth - t.height(v)
	for {
		i := s.popLabel()
		if i < 0 || len(s.labels) > labelsPerNode*int(s.p.n) {
			return best
		}
		l := s.labels[i] // a copy: the slice grows below
		if l.cost > best.cost {
			return best
		}
		if s.stale(i, &l) {
			continue
		}
		first, last := s.p.inStart[l.node], s.p.inStart[l.node+1]
		s.steps += int64(last-first) + labelSteps
		for a := first; a < last; a++ {
			cost, hop := l.cost+s.p.cost[a], l.hop+s.p.hop[a]
			if cost > best.cost { // and so are all that follow
				s.steps -= int64(last - a)
				break
			}
			u := s.p.from[a]
			if s.p.least[u]+hop > l.limit {
				continue
			}
			c := &t.c[u]
			if c.status == rooted {
				if delay := c.delay + hop; delay <= l.limit && c.depth+l.arcs+1 <= roomBelow {
					f := found{label: i, arc: a, cost: cost, delay: delay}
					if (f.better(best) || !best.ok()) && s.mayStart(t, u, weight) {
						best = f
					}
				}
				continue
			}
			if f := s.floors; f != nil && (f.delay[u]+hop > l.limit || cost+f.cost[u] > best.cost+costTie) {
				continue
			}
			if l.arcs+2 <= roomBelow && s.mayPass(t, u, weight) {
				s.pushLabel(u, a, i, l.arcs+1, cost, hop, l.limit)
			}
		}
	}
}

// fastest finds the path that reaches v first, before the given time, and the
// cheapest among equals.
func (s *finder) fastest(t *treeState, v int32, before float64) found {
	best := found{label: -1, arc: -1, cost: unlimitedDelay, delay: before}
	s.byHop = true
	weight := s.start(t, v, unlimitedDelay)
	roomBelow := s.p.maxDepth - t.height(v)
	for {
		i := s.popLabel()
		if i < 0 {
			return best
		}
		l := s.labels[i]
		if s.stale(i, &l) {
			continue
		}
		first, last := s.p.inStart[l.node], s.p.inStart[l.node+1]
		s.steps += int64(last-first) + labelSteps
		for a := first; a < last; a++ {
			hop := l.hop + s.p.hop[a]
			u := s.p.from[a]
			if s.p.least[u]+hop > best.delay+boundSlackMs {
				continue
			}
			c := &t.c[u]
			cost := l.cost + s.p.cost[a]
			if c.status == rooted {
				f := found{label: i, arc: a, cost: cost, delay: c.delay + hop}
				if f.delay <= l.limit && c.depth+l.arcs+1 <= roomBelow && (f.delay < best.delay-boundSlackMs ||
					f.delay <= best.delay+boundSlackMs && f.cost < best.cost) && s.mayStart(t, u, weight) {
					best = f
				}
				continue
			}
			if s.floors != nil && s.floors.delay[u]+hop > best.delay+boundSlackMs {
				continue
			}
			if l.arcs+2 <= roomBelow && s.mayPass(t, u, weight) {
				s.pushLabel(u, a, i, l.arcs+1, cost, hop, l.limit)
			}
		}
	}
}

// start begins a search from v, and returns the weight that the path carries.
func (s *finder) start(t *treeState, v int32, limit float64) int64 {
	s.round++
	if s.round == 0 { // the counter has gone round: old stamps could match
		clear(s.stamp)
		s.round = 1
	}
	s.labels, s.heap = s.labels[:0], s.heap[:0]
	s.pushLabel(v, -1, -1, 0, 0, 0, limit)
	if t.c[v].status == outside {
		return s.p.viewers[v]
	}
	return t.c[v].weight
}

// covers reports whether a label of the same node makes another one superfluous:
// it is as good in every way. The search for the fastest path asks for less: one
// label per node is nearly always right, and many are not worth their time.
func (s *finder) covers(o *label, hop, cost, limit float64, arcs int32) bool {
	if o.hop > hop || o.arcs > arcs && s.p.maxDepth != unlimitedDepth {
		return false
	}
	return s.byHop || o.cost <= cost && o.limit >= limit
}

// stale reports whether another label of the node, settled or waiting, makes
// label i superfluous.
func (s *finder) stale(i int32, l *label) bool {
	for j := s.last[l.node]; j >= 0; j = s.labels[j].alt {
		o := &s.labels[j]
		if j != i && s.covers(o, l.hop, l.cost, l.limit, l.arcs) && (o.hop < l.hop || o.cost < l.cost || j < i) {
			return true
		}
	}
	return false
}

// pushLabel adds a label unless one of the same node is as good in every way.
func (s *finder) pushLabel(node, arc, rest, arcs int32, cost, hop, limit float64) {
	if rest >= 0 && s.p.viewers[node] > 0 {
		limit = min(limit, s.p.deadline[node]+boundSlackMs+hop)
	}
	alt := int32(-1)
	if s.stamp[node] == s.round {
		alt = s.last[node]
		for j := alt; j >= 0; j = s.labels[j].alt {
			s.steps++
			o := &s.labels[j]
			if s.covers(o, hop, cost, limit, arcs) {
				return
			}
		}
	}
	i := int32(len(s.labels))
	s.labels = append(s.labels, label{node: node, arc: arc, rest: rest, arcs: arcs, alt: alt, cost: cost, hop: hop, limit: limit})
	s.last[node], s.stamp[node] = i, s.round
	s.heap = append(s.heap, i)
	at := len(s.heap) - 1
	for at > 0 {
		up := (at - 1) / 4
		if !s.less(i, s.heap[up]) {
			break
		}
		s.heap[at] = s.heap[up]
		at = up
	}
	s.heap[at] = i
}

func (s *finder) less(i, j int32) bool {
	a, b := &s.labels[i], &s.labels[j]
	if s.byHop {
		return a.hop < b.hop || a.hop == b.hop && a.cost < b.cost
	}
	return a.cost < b.cost || a.cost == b.cost && a.hop < b.hop
}

// popLabel takes the cheapest label, -1 if there is none.
func (s *finder) popLabel() int32 {
	if len(s.heap) == 0 {
		return -1
	}
	top := s.heap[0]
	last := len(s.heap) - 1
	moved := s.heap[last]
	s.heap = s.heap[:last]
	if last == 0 {
		return top
	}
	at := 0
	for {
		child := 4*at + 1
		if child >= last {
			break
		}
		for c := child + 1; c < min(child+4, last); c++ {
			if s.less(s.heap[c], s.heap[child]) {
				child = c
			}
		}
		if !s.less(s.heap[child], moved) {
			break
		}
		s.heap[at] = s.heap[child]
		at = child
	}
	s.heap[at] = moved
	return top
}

// apply hangs v into the tree along the path.
func (s *finder) apply(t *treeState, f found) {
	a := f.arc
	for i := f.label; i >= 0; i = s.labels[i].rest {
		l := &s.labels[i]
		t.link(l.node, a)
		a = l.arc
	}
	if s.floors == nil {
		return
	}
	for i := f.label; i >= 0; i = s.labels[i].rest {
		s.steps += s.floors.entered(t, s.labels[i].node)
	}
}

// hasRoom reports whether any node of the tree can have one more child.
func (t *treeState) hasRoom() bool {
	for v := range t.c {
		if c := &t.c[v]; c.status == rooted && c.kids < t.p.slots[v] && c.depth < t.p.maxDepth {
			return true
		}
	}
	return false
}

// attach hangs v where it is cheapest in time; if that cannot be, where it is
// fastest. It reports whether there was any place.
func (s *finder) attach(t *treeState, v int32) bool {
	if !t.hasRoom() {
		return false
	}
	limit := t.p.deadline[v]
	if t.c[v].status == floating {
		limit = t.limit(v)
	}
	f := found{arc: -1}
	if !s.hurry {
		f = s.cheapest(t, v, limit, unlimitedDelay)
	}
	if !f.ok() && s.strict {
		return false
	}
	if !f.ok() {
		if s.spare != nil && (s.floors == nil || s.floors.stale >= freshenAfter) {
			s.floors = s.spare
			s.steps += s.floors.computeDelays(t, true)
		}
		f = s.fastest(t, v, unlimitedDelay)
	}
	if !f.ok() {
		return false
	}
	s.apply(t, f)
	return true
}
