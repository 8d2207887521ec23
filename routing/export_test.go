package routing

import (
	"math"
	"time"
)

// RawCostBound is the bound on cost as it was found, before it is cut off at the
// plan's own cost.
func (p *Planner) RawCostBound(budget time.Duration) float64 {
	t := p.solvers[0].r.best
	targets, deadline := t.targets(t.lateSpare())
	best := 0.0
	if len(targets) == 0 {
		return 0
	}
	for _, q := range quanta {
		if g := newLayered(t.p, deadline, targets, q, maxLayeredArcs); g != nil {
			g.ascend(ascendRounds, budget.Milliseconds()*stepsPerMs)
			best = max(best, g.bound)
		}
	}
	return best
}

// SlotBounds are the raw bounds of the slot relaxation, without the plan's own
// score; infinite where there is none.
func (p *Planner) SlotBounds(budget time.Duration) (inBound, late float64) {
	s := p.solvers[0]
	t := s.r.best
	steps := budget.Milliseconds() * stepsPerMs
	inBound, late = math.Inf(1), math.Inf(-1)
	if b := newSlotBound(s.g, s.k, s.l, t, goalInBound); b != nil {
		inBound = b.run(0, steps) + float64(t.p.local.InBound)
	}
	if b := newSlotBound(s.g, s.k, s.l, t, goalLate); b != nil {
		late = -b.run(0, steps)
	}
	return inBound, late
}
