package routing

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// search improves a tree for one problem. It owns the current tree, the best
// one, and memory for trying moves.
type search struct {
	p    *problem
	f    *finder
	rng  *rand.Rand
	cur  *treeState // the tree under change
	undo *treeState
	best *treeState
	// bestScore is best's; the score of cur is kept by whoever changes it.
	bestScore Score

	floors   *floors
	tight    bool   // slots are short: many nodes are full
	matrix   *dense // for short slots; nil until then, or if the problem is too large
	gatherer *gatherer
	inTree   []int32    // nodes of the current tree, the source excepted
	now      []Score    // by node: what the current tree's part below it is worth
	kids     [2][]int32 // scratch of exchanges

	order  []int32 // scratch: terminals to attach
	floats []int32 // scratch: roots of floating subtrees
	key    []float64
	limits []float64
	rank   []int32
}

func newSearch(p *problem, rng *rand.Rand) *search {
	return &search{
		p: p, f: newFinder(p), rng: rng,
		cur: newTreeState(p), undo: newTreeState(p), best: newTreeState(p),
		bestScore: p.local, floors: newFloors(p),
		now: make([]Score, p.n), key: make([]float64, p.n), limits: make([]float64, p.n),
	}
}

// keep makes the current tree the best one if it is better.
func (s *search) keep(score Score) bool {
	if score.Compare(s.bestScore) <= 0 {
		return false
	}
	s.best.copyFrom(s.cur)
	s.bestScore = score
	return true
}

// Orders in which terminals are attached, least key first. Which is best depends
// on what binds: time, slots or money.

// leastSlack lets who has no choice choose first; those who will be late in any
// case get the fastest paths before others take the slots.
func leastSlack(p *problem, t int32) float64 { return p.deadline[t] - p.least[t] }

// nearestFirst grows the tree outwards, as Prim and Takahashi-Matsuyama do.
func nearestFirst(p *problem, t int32) float64 { return p.least[t] }

// heaviestFirst serves most viewers first: when slots run short, it is them that
// count.
func heaviestFirst(p *problem, t int32) float64 { return -float64(p.viewers[t]) }

// construct builds the current tree from nothing, in order of the key; fast
// attaches everybody where it is fastest, and lets the descent look for savings.
func (s *search) construct(key func(p *problem, t int32) float64, fast bool) Score {
	s.cur.reset()
	s.f.floors = nil
	s.order = append(s.order[:0], s.p.terminals...)
	for _, t := range s.order {
		s.key[t] = key(s.p, t)
	}
	s.sortOrder()
	s.f.spare, s.f.hurry = s.floors, fast
	s.attachAll()
	s.f.spare, s.f.hurry = nil, false
	return s.cur.score()
}

// sortOrder sorts s.order by s.key, equals by viewers, then by number.
func (s *search) sortOrder() {
	slices.SortFunc(s.order, func(a, b int32) int {
		if c := cmp.Compare(s.key[a], s.key[b]); c != 0 {
			return c
		}
		if c := cmp.Compare(s.p.viewers[b], s.p.viewers[a]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
}

// attachAll attaches the nodes of s.order. Those that found no place try again
// when others have been attached, through whom a place may have appeared;
// floating subtrees that never find one are taken apart, so that at least some
// of their terminals do.
func (s *search) attachAll() {
	for len(s.order) > 0 {
		failed := s.order[:0]
		progress := false
		for _, t := range s.order {
			if c := &s.cur.c[t]; c.status == rooted || c.status == outside && s.p.viewers[t] == 0 {
				continue // there already, or a relay that lost all its children
			}
			switch {
			case s.f.attach(s.cur, t):
				progress = true
			case s.f.strict:
				return // as a whole it has failed
			default:
				failed = append(failed, t)
			}
		}
		s.order = failed
		if progress {
			continue
		}
		taken := false
		for _, t := range failed {
			if s.cur.c[t].status == floating {
				taken = true
				s.order = s.cur.remove(t, s.order) // t itself is in s.order already
			}
		}
		if !taken {
			return
		}
	}
}

// attachMissing tries every terminal that is not in the tree.
func (s *search) attachMissing() {
	s.order = s.order[:0]
	for _, t := range s.p.terminals {
		if s.cur.c[t].status != rooted {
			s.order = append(s.order, t)
		}
	}
	if len(s.order) > 1 {
		for _, t := range s.order {
			s.key[t] = -float64(s.p.viewers[t])
		}
		s.sortOrder()
	}
	s.attachAll()
}
