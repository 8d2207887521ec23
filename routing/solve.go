package routing

import "math/rand/v2"

// solution is what one track's search found.
type solution struct {
	tree  Tree
	score Score
	steps int64
}

// solver plans one track beside given loads.
type solver struct {
	g           *Graph
	k           *Track
	l           *loads
	rng         *rand.Rand
	steps       int64   // budget of the improvement, in arcs looked at
	weightLimit int64   // see finder
	spent       int64
}

// maxNodes bounds a problem whose relays come in classes; beyond it more copies
// of a class cost more time than they bring.
const maxNodes = 900

// solve plans the track. With a warm tree the search starts there as well.
func (s *solver) solve(warm *Tree) solution {
	copies := s.firstCopies()
	var keep []int32
	var out solution
	for {
		p := newProblem(s.g, s.k, s.l, copies, keep)
		r := newSearch(p, s.rng)
		r.f.weightLimit = s.weightLimit
		s.plan(r, warm)
		out = solution{tree: r.best.tree(s.g.Len()), score: r.bestScore}
		s.spent += r.f.steps
		if !s.wantsMore(p, r.best, copies) {
			break
		}
		copies *= 3
		keep = keep[:0]
		for v := int32(1); v < p.n; v++ {
			if r.best.c[v].status == rooted && p.viewers[v] == 0 {
				keep = append(keep, p.node[v])
			}
		}
		warm = &out.tree
	}
	out.steps = s.spent
	return out
}

// plan constructs in several ways, improves, and spends what budget is left on
// ruin and recreate.
func (s *solver) plan(r *search, warm *Tree) {
	never := func() bool { return false }
	if warm != nil {
		local := make([]int32, s.g.Len())
		for i := range local {
			local[i] = -1
		}
		for v, gv := range r.p.node {
			local[gv] = int32(v)
		}
		r.cur.load(s.k.Source, *warm, local)
		r.attachMissing()
		r.keep(r.improve(r.cur.score(), never))
	}
	for _, key := range constructions {
		r.keep(r.improve(r.construct(key), never))
	}
	r.cur.copyFrom(r.best)
	limit := r.f.steps + s.steps
	r.ruinAndRecreate(r.bestScore, func() bool { return r.f.steps >= limit })
}

// firstCopies is how many relays of each class the search sees at first: one is
// enough where a relay has many slots.
func (s *solver) firstCopies() int {
	need := len(s.k.Terminals)
	limit := max(1, (maxNodes-need)/max(1, len(s.g.classes)))
	copies := 1
	for _, members := range s.g.classes {
		if f := int(s.l.slots(int(members[0]), s.k.RateMbps, 0)); f > 0 && 4*f < need {
			copies = max(copies, need/(4*f))
		}
	}
	return min(copies, limit)
}

// wantsMore reports whether some class is used up although the graph has more
// of it.
func (s *solver) wantsMore(p *problem, t *treeState, copies int) bool {
	if s.g.sites == nil || int(p.n) >= maxNodes {
		return false
	}
	used := make(map[int32]int)
	for v := int32(1); v < p.n; v++ {
		if c := &t.c[v]; c.status == rooted && p.viewers[v] == 0 && c.kids >= p.slots[v] {
			used[s.g.class[p.node[v]]]++
		}
	}
	for c, n := range used {
		if n >= copies && len(s.g.classes[c]) > n {
			return true
		}
	}
	return false
}
