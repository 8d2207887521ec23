package routing

import "time"

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
