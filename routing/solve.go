package routing

import "math/rand/v2"

// solver plans one track beside given loads, and keeps what it knows so that it
// can go on later.
type solver struct {
	g           *Graph
	k           *Track
	l           *loads
	rng         *rand.Rand
	weightLimit int64     // see finder
	surcharge   []float64 // USD per hour and copy, by graph node; nil for none

	few   bool // see newProblem
	quick bool // see Config

	r      *search
	copies []int32 // relays of each class that the search sees
	proven bool    // best is the optimum
}

// maxNodes bounds a problem whose relays come in classes; beyond it more copies
// of a class cost more time than they bring.
const maxNodes = 900

// descendSteps ends the descent of a first plan: about ten milliseconds. Large and
// tight problems are not through by then; improving goes on where it ended.
const descendSteps = 10 * stepsPerMs

// promisedExact is the number of nodes up to which a single track is solved to
// proven optimality.
const promisedExact = 12

// build makes the problem, with room for what the tree uses.
func (s *solver) build(keep *Tree) {
	var nodes []int32
	if keep != nil {
		for v, u := range keep.Parent {
			if u != None {
				nodes = append(nodes, int32(v))
			}
		}
	}
	p := newProblem(s.g, s.k, s.l, s.copies, nodes, s.few)
	if s.surcharge != nil {
		p.charge(s.surcharge)
	}
	steps := int64(0)
	if s.r != nil {
		steps = s.r.f.steps
	}
	s.r = newSearch(p, s.rng)
	s.r.f.steps = steps
	s.r.f.weightLimit = s.weightLimit
}

// first makes the first plan: constructed in several ways, or warm, and
// improved until no move helps.
func (s *solver) first(warm *Tree) {
	s.copies = s.firstCopies()
	s.build(warm)
	if warm != nil {
		s.adopt(*warm)
	}
	way := s.construct()
	if s.short() {
		s.pack()
		return
	}
	s.descend(descendSteps)
	for range maxGrowths {
		if !s.grow() {
			break
		}
		s.r.keep(s.r.construct(way.key, way.fast)) // the new relays may change it all
		s.descend(descendSteps)
	}
	if !s.few && !s.ideal() {
		steps := int64(firstSteps)
		if s.quick {
			steps = stepsPerMs
		}
		s.improve(steps) // short slots are what construction is worst at
	}
}

// firstSteps is what a first plan that lost something spends on ruin and recreate.
const firstSteps = 8 * stepsPerMs

// quickBranches is about a millisecond of proving.
const quickBranches = 2000

// branches is the limit of a proof.
func (s *solver) branches() int64 {
	if s.quick {
		return quickBranches
	}
	return exactBranches
}

// maxGrowths is how often a first plan looks for relays beyond the first ones.
const maxGrowths = 3

// way is one way to build a tree from nothing.
type way struct {
	key  func(p *problem, t int32) float64
	fast bool
}

// construct builds trees in several ways, keeps the best, and returns how it was
// made. Where time and slots allow everything that physics allows, money is the
// question, and terminals go where it is cheapest; otherwise where it is fastest,
// since what hangs late has its slots late.
func (s *solver) construct() way {
	ways := []way{{leastSlack, false}, {nearestFirst, false}, {heaviestFirst, false}}
	best := ways[0]
	s.r.f.strict = !s.few
	s.r.keep(s.r.construct(best.key, best.fast))
	s.r.f.strict = false
	switch {
	case s.ideal():
		ways = ways[1:]
	case s.short():
		return best
	default:
		s.r.keep(s.r.construct(best.key, best.fast))
		ways = []way{{nearestFirst, true}, {heaviestFirst, true}}
	}
	for _, w := range ways {
		if s.r.keep(s.r.construct(w.key, w.fast)) {
			best = w
		}
	}
	return best
}

// ideal reports whether the best tree has in bound whom physics allows, serves
// everybody and is as little late as can be.
func (s *solver) ideal() bool {
	p, t := s.r.p, s.r.best
	return s.r.bestScore.InBound >= p.reachable() && s.r.bestScore.LateMs <= t.leastLate()+lateTie && t.complete()
}

// complete reports whether every terminal is in the tree.
func (t *treeState) complete() bool {
	for _, v := range t.p.terminals {
		if t.c[v].status != rooted {
			return false
		}
	}
	return true
}

// descend improves the best tree until no move helps, or steps are spent.
func (s *solver) descend(steps int64) {
	s.r.cur.copyFrom(s.r.best)
	limit := s.r.f.steps + steps
	s.r.keep(s.r.improve(s.r.bestScore, func() bool { return s.r.f.steps >= limit }))
	s.r.cur.copyFrom(s.r.best)
}

// adopt loads a tree over the graph as a candidate for the best.
func (s *solver) adopt(t Tree) {
	s.r.cur.reset()
	s.r.cur.load(s.k.Source, t, s.localNumbers())
	s.r.attachMissing()
	s.r.keep(s.r.cur.score())
}

// improve spends a number of steps on ruin and recreate.
func (s *solver) improve(steps int64) {
	if s.proven || len(s.r.p.terminals) == 0 {
		return
	}
	limit := s.r.f.steps + steps
	look := s.r.f.steps + growEvery
	for s.r.f.steps < limit {
		// Now and then see whether relays run out.
		pause := min(limit, look)
		if s.r.packs() {
			s.repack(func() bool { return s.r.f.steps >= limit })
			pause = min(pause, s.r.f.steps+packEvery)
		}
		s.r.cur.copyFrom(s.r.best)
		s.r.ruinAndRecreate(s.r.bestScore, func() bool { return s.r.f.steps >= pause })
		if s.r.f.steps >= look || s.r.f.steps >= limit {
			s.grow()
			look = s.r.f.steps + growEvery
		}
	}
}

// growEvery is how many steps of improvement pass between looks at classes of
// relays that are used up.
const growEvery = 250 * stepsPerMs

// tree returns the best tree over the graph.
func (s *solver) tree() Tree { return s.r.best.tree(s.g.Len()) }

// prove solves a small problem exactly, and notes whether it came to the end.
func (s *solver) prove(limit int64) {
	if int(s.r.p.n) > maxExact || s.weightLimit > 0 || s.surcharge != nil {
		return
	}
	best, proven, branches := solveExact(s.r.p, s.r.best, limit)
	s.r.f.steps += branches * int64(s.r.p.n)
	s.r.cur.copyFrom(best)
	s.r.keep(best.score())
	s.proven = proven
}

// firstCopies is how many relays of each class the search sees at first: one. Where
// the source has few slots those around it multiply them, and are seen at once.
func (s *solver) firstCopies() []int32 {
	out := make([]int32, len(s.g.classes))
	few := s.l.slots(s.k.Source, s.k.RateMbps, 0) < fewSlots && len(s.k.Terminals) > fewSlots && !s.few
	region := s.g.nodes[s.k.Source].Region
	for c := range out {
		out[c] = 1
		switch {
		case s.g.Len() <= maxExact:
			out[c] = maxExact // all there are
		case few && s.g.nodes[s.g.classes[c][0]].Region == region:
			out[c] = fewSlots
		}
	}
	return out
}

// fewSlots is a number of children below which a source cannot feed a large
// audience itself.
const fewSlots = 8

// grow rebuilds the problem with more relays of the classes that are used up,
// all their members that the search sees being full, if the graph has more.
func (s *solver) grow() bool {
	p, t := s.r.p, s.r.best
	if s.g.sites == nil || int(p.n) >= maxNodes {
		return false
	}
	used := make([]int32, len(s.g.classes))
	more := false
	for v := int32(1); v < p.n; v++ {
		if c := &t.c[v]; c.status == rooted && p.viewers[v] == 0 && c.kids >= p.slots[v] {
			class := s.g.class[p.node[v]]
			used[class]++
			if used[class] == s.copies[class] && len(s.g.classes[class]) > int(used[class]) {
				s.copies[class] += 2 + s.copies[class]/2
				more = true
			}
		}
	}
	if !more {
		return false
	}
	best := s.tree()
	s.build(&best)
	s.adopt(best)
	return true
}
