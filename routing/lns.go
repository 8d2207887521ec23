package routing

import (
	"math"
	"slices"
)

// Ruin and recreate (Schrimpf et al., J. Comput. Phys. 159, 2000; Pisinger and
// Ropke's large-neighbourhood search): take a part of the tree away, put it back
// in another order, keep what got better, and now and then what got slightly
// worse. It is what escapes a bad set of early choices when slots are short.

// ruinAndRecreate runs until stop says so.
func (s *search) ruinAndRecreate(score Score, stop func() bool) {
	if len(s.p.terminals) == 0 {
		return
	}
	base := newTreeState(s.p)
	base.copyFrom(s.cur)
	baseScore := score
	anneal := newAnnealer(s.p, score)
	s.tight = s.isTight()
	s.useFloors(s.tight)
	floors := newFloors(s.p) // of base; a round only lowers them
	floors.copyFrom(s.floors)
	accepted, polish := 0, false
	for round := 0; !stop(); round++ {
		s.f.steps += 2 * int64(s.p.n) // copies and scores of a round
		s.ruin()
		s.floors.copyFrom(floors)
		s.f.floors = s.floors
		s.f.steps += s.floors.opened(s.cur)
		if round%2 == 1 {
			s.f.blink = s.rng
		}
		if s.packs() && s.rng.IntN(3) == 0 {
			s.gatherLoose()
		}
		s.attachAll()
		s.f.blink = nil
		s.attachMissing()
		s.secondLook(stop)
		after := s.cur.score()
		switch {
		case after.Compare(s.bestScore) > 0:
			s.keep(after)
			polish = true
			base.copyFrom(s.cur)
			baseScore = after
			accepted = freshFloors
		case after.Compare(baseScore) >= 0 || anneal.accept(baseScore, after, s.rng.Float64()):
			base.copyFrom(s.cur)
			baseScore = after
			floors.copyFrom(s.floors)
			accepted++
		default:
			s.cur.copyFrom(base)
		}
		if polish && round%polishEvery == polishEvery-1 {
			polish = false
			s.cur.copyFrom(s.best)
			s.keep(s.improve(s.bestScore, stop))
			base.copyFrom(s.best)
			baseScore = s.bestScore
			accepted = freshFloors
		}
		if round%512 == 511 { // back to the best from time to time
			s.cur.copyFrom(s.best)
			base.copyFrom(s.best)
			baseScore = s.bestScore
			accepted = freshFloors
		}
		if accepted >= freshFloors {
			accepted = 0
			s.useFloors(s.tight)
			floors.copyFrom(s.floors)
		}
		anneal.cool()
	}
}

// packs reports whether the search treats slots as short.
func (s *search) packs() bool { return s.matrix != nil && s.f.weightLimit == 0 }

// gatherLoose joins some of the loose ends in s.order before they are attached,
// so that they ask for fewer slots.
func (s *search) gatherLoose() {
	if s.gatherer == nil {
		s.gatherer = newGatherer(s)
	}
	loose := s.order[:0]
	for _, v := range s.order {
		if c := &s.cur.c[v]; c.status == floating || c.status == outside && s.p.viewers[v] > 0 {
			loose = append(loose, v)
		}
	}
	slices.Sort(loose)
	loose = slices.Compact(loose) // some were loosened twice
	if len(loose) > 1 {
		s.gatherer.gather(loose, 1+s.rng.IntN(len(loose)-1), gatherRates[s.rng.IntN(len(gatherRates))])
		s.order = append(s.order[:0], s.gatherer.roots...)
	}
}

// secondLook improves the places of those who were moved.
func (s *search) secondLook(stop func() bool) {
	if !s.packs() {
		for _, v := range s.rank {
			if s.cur.c[v].status == rooted {
				s.movePath(v)
			}
		}
		return
	}
	s.rooted()
	s.valueAll()
	for range maxSecondLooks {
		if !s.sweep(s.rank, true, stop) {
			return
		}
	}
}

// maxSecondLooks is how often those who were moved try to exchange places.
const maxSecondLooks = 3

// freshFloors is after how many accepted rounds floors are computed anew: nodes
// that left the tree make them lower than they need be.
const freshFloors = 24

// maxRuin is how many terminals at most a round takes out.
const maxRuin = 26

// polishEvery is after how many rounds a tree that got better goes through the
// local search: often enough to gain, not for every small step.
const polishEvery = 64

// isTight reports whether more than a few nodes of the current tree are full.
func (s *search) isTight() bool {
	full := 0
	for v := range s.cur.c {
		if c := &s.cur.c[v]; c.status == rooted && s.p.slots[v] > 0 && c.kids >= s.p.slots[v] {
			full++
		}
	}
	return full > 2+len(s.p.terminals)/20
}

// ruin takes apart a few nodes that are near one another, or a relay with all
// that hangs on it, and puts the loose ends into s.order in random order.
func (s *search) ruin() {
	s.order, s.rank = s.order[:0], s.rank[:0]
	t := s.cur
	if s.rng.IntN(4) == 0 {
		// A node with children, chosen as the parent of a random terminal.
		if u := t.c[s.randomTerminal()].parent; u > 0 {
			s.order = t.remove(u, s.order)
			s.isolated(u)
			s.shuffleOrder()
			return
		}
	}
	seed := s.randomTerminal()
	count := 2 + s.rng.IntN(min(maxRuin, max(1, len(s.p.terminals)/2)))
	for _, v := range s.related(seed, count) {
		if t.c[v].status == outside {
			s.isolated(v)
			continue
		}
		s.order = t.remove(v, s.order)
		s.isolated(v)
	}
	s.shuffleOrder()
}

func (s *search) randomTerminal() int32 {
	return s.p.terminals[s.rng.IntN(len(s.p.terminals))]
}

// isolated notes a node that was taken out; if it is a terminal it wants back.
func (s *search) isolated(v int32) {
	if s.p.viewers[v] > 0 {
		s.order = append(s.order, v)
	}
}

// related returns terminals that compete with the seed: the same parent, or a
// similar place in delay, blurred at random.
func (s *search) related(seed int32, count int) []int32 {
	t := s.cur
	out := s.floats[:0]
	for _, v := range s.p.terminals {
		d := math.Abs(s.p.least[v] - s.p.least[seed])
		if s.p.least[v] == s.p.least[seed] { // both infinite, or equal
			d = 0
		}
		if t.c[v].parent == t.c[seed].parent {
			d *= 0.3
		}
		s.key[v] = d * (0.3 + s.rng.Float64())
		if v == seed {
			s.key[v] = -1
		}
		// Insertion into the best so far; count is small.
		i := len(out)
		if i == count {
			if s.key[v] >= s.key[out[i-1]] {
				continue
			}
			i--
			out = out[:i]
		}
		out = append(out, v)
		for ; i > 0 && s.key[out[i-1]] > s.key[v]; i-- {
			out[i] = out[i-1]
		}
		out[i] = v
	}
	s.floats = out[:0]
	return out
}

// shuffleOrder orders the loose ends by one of a few keys, blurred.
func (s *search) shuffleOrder() {
	s.rank = append(s.rank, s.order...)
	way := s.rng.IntN(4)
	for _, v := range s.order {
		r := 0.7 + 0.6*s.rng.Float64()
		switch way {
		case 0:
			s.key[v] = (s.cur.limit(v) - s.p.least[v]) * r
		case 1:
			s.key[v] = -float64(s.cur.c[v].weight) * r
			if s.cur.c[v].status == outside {
				s.key[v] = -float64(s.p.viewers[v]) * r
			}
		case 2:
			s.key[v] = s.p.least[v] * r
		default:
			s.key[v] = r
		}
	}
	s.sortOrder()
}

// annealer accepts a worse tree with a probability that falls with the loss and
// with time. The loss is in units of money: a viewer out of bound weighs as
// much as a typical terminal costs, so that exchanges of who is in bound are
// tried as freely as exchanges of arcs.
type annealer struct {
	perViewer, perLate float64
	temperature, floor float64
}

func newAnnealer(p *problem, score Score) *annealer {
	terminals := float64(max(1, len(p.terminals)))
	perTerminal := score.CostUSD / terminals
	if perTerminal <= 0 {
		perTerminal = 1
	}
	viewers := float64(max(p.total, 1)) / terminals
	a := &annealer{perViewer: 2 * perTerminal / viewers}
	a.perLate = a.perViewer / 10
	a.temperature = perTerminal / 50
	a.floor = a.temperature / 50
	return a
}

func (a *annealer) energy(s Score) float64 {
	return s.CostUSD - a.perViewer*float64(s.InBound) - a.perViewer*float64(s.Served) + a.perLate*s.LateMs
}

func (a *annealer) accept(before, after Score, r float64) bool {
	loss := a.energy(after) - a.energy(before)
	return r < math.Exp(-loss/a.temperature)
}

func (a *annealer) cool() {
	a.temperature *= 0.999
	if a.temperature < a.floor {
		a.temperature = 40 * a.floor // begin again: a budget may be long
	}
}
