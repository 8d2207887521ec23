package routing

import "math"

// The first plan where slots are short.

// short reports whether slots cost the best tree viewers or lateness, in a
// problem that is worth treating apart.
func (s *solver) short() bool {
	if s.few || s.ideal() {
		return false
	}
	if s.r.matrix == nil {
		s.r.matrix = newDense(s.r.p)
	}
	return s.r.matrix != nil
}

// packSteps is what a first plan spends on construction where slots are short; a
// fifth more goes to the general descent.
const packSteps = 13 * stepsPerMs

// pack builds trees made for short slots and exchanges places in them until
// nothing helps.
func (s *solver) pack() {
	r, p := s.r, s.r.p
	limit := r.f.steps + packSteps
	stop := func() bool { return r.f.steps >= limit }
	inTime := p.inTime()
	r.gatherer = newGatherer(r)
	g := r.gatherer
	for _, rate := range gatherRates {
		if len(inTime) > maxGathered || stop() {
			break
		}
		r.f.floors = nil
		r.cur.reset()
		g.gather(inTime, int(p.slots[0]), rate)
		r.hang(g.roots)
		r.keep(r.exchange(r.cur.score(), stop))
	}
	if !stop() {
		r.cur.reset()
		r.insertNearest()
		r.attachMissing()
		r.keep(r.exchange(r.cur.score(), stop))
	}
	if !r.best.complete() {
		// Not everybody can be served: whoever comes first brings slots for others.
		for _, w := range [...]way{{leastSlack, false}, {nearestFirst, true}, {heaviestFirst, true}} {
			r.keep(r.exchange(r.construct(w.key, w.fast), stop))
		}
	}
	s.descend(packSteps / 5)
	r.cur.copyFrom(r.best)
	r.keep(r.exchange(r.bestScore, stop))
	r.cur.copyFrom(r.best)
}

// inTime lists the terminals that could be in bound.
func (p *problem) inTime() []int32 {
	var out []int32
	for _, t := range p.terminals {
		if p.least[t] <= p.bound[t]+boundSlackMs {
			out = append(out, t)
		}
	}
	return out
}

// packEvery is how many steps of improvement pass between trees built from
// nothing, where slots are short: each slack rate finds another set of viewers.
const packEvery = 40 * stepsPerMs

// repack builds one more tree, at a rate drawn at random.
func (s *solver) repack(stop func() bool) {
	r, p := s.r, s.r.p
	inTime := p.inTime()
	if len(inTime) > maxGathered || s.ideal() {
		return
	}
	if r.gatherer == nil {
		r.gatherer = newGatherer(r)
	}
	r.f.floors = nil
	r.cur.reset()
	r.gatherer.gather(inTime, int(p.slots[0]), math.Exp(-7*r.rng.Float64()))
	r.hang(r.gatherer.roots)
	r.keep(r.exchange(r.cur.score(), stop))
}

// gatherRates are the rates at which slack is taken to multiply slots.
var gatherRates = []float64{0.001, math.Ln2 / 3}

// hang attaches the roots that were gathered, most viewers first, and then all
// other terminals.
func (s *search) hang(roots []int32) {
	s.order = append(s.order[:0], roots...)
	for _, v := range roots {
		s.key[v] = -float64(s.cur.c[v].weight)
	}
	s.sortOrder()
	s.attachAll()
	s.attachMissing()
}

// insertNearest attaches, time after time, the terminal whose best place in the
// tree is best: in bound, then cheap, then near.
func (s *search) insertNearest() {
	t, p, m := s.cur, s.p, s.matrix
	best := make([]insertion, p.n)
	s.inTree = append(s.inTree[:0], 0)
	for _, v := range p.terminals {
		best[v] = s.bestInsertion(v)
	}
	for {
		at := int32(-1)
		for _, v := range p.terminals {
			if t.c[v].status == outside && best[v].arc >= 0 && (at < 0 || best[v].before(best[at])) {
				at = v
			}
		}
		if at < 0 {
			return
		}
		u := p.from[best[at].arc]
		t.link(at, best[at].arc)
		s.inTree = append(s.inTree, at)
		full := t.c[u].kids >= p.slots[u]
		for _, v := range p.terminals {
			if t.c[v].status != outside {
				continue
			}
			if full && best[v].arc >= 0 && p.from[best[v].arc] == u {
				best[v] = s.bestInsertion(v)
				continue
			}
			if x, ok := s.insertionAt(v, at, m); ok && (best[v].arc < 0 || x.before(best[v])) {
				best[v] = x
			}
		}
		s.f.steps += int64(len(p.terminals))
	}
}

// insertion is a place for a terminal.
type insertion struct {
	arc               int32 // -1 for none
	late, cost, delay float64
}

func (x insertion) before(o insertion) bool {
	if x.late != o.late {
		return x.late < o.late
	}
	if x.cost != o.cost {
		return x.cost < o.cost
	}
	return x.delay < o.delay
}

func (s *search) insertionAt(v, u int32, m *dense) (insertion, bool) {
	t, p := s.cur, s.p
	arc := m.arc[m.at(u, v)]
	if arc < 0 || t.c[u].kids >= p.slots[u] || t.c[u].depth >= p.maxDepth {
		return insertion{}, false
	}
	delay := t.c[u].delay + p.hop[arc]
	return insertion{arc, max(0, delay-p.bound[v]), p.cost[arc], delay}, true
}

func (s *search) bestInsertion(v int32) insertion {
	best := insertion{arc: -1}
	for _, u := range s.inTree {
		if x, ok := s.insertionAt(v, u, s.matrix); ok && (best.arc < 0 || x.before(best)) {
			best = x
		}
	}
	s.f.steps += int64(len(s.inTree))
	return best
}
