package routing

import "math"

// Bounds say how good a plan is.
type Bounds struct {
	// Reachable is the number of viewers in bound if capacity were no object: the
	// bound that physics sets.
	Reachable int64
	// InBound is the most viewers that any plan can have in bound, as far as is
	// proven.
	InBound int64
	// LeastLateMs is the least lateness of serving the plan's viewers.
	LeastLateMs float64
	// CostUSD is the least cost, as far as is proven, of serving the same
	// viewers, the same in bound, with no more lateness. It is no bound for plans
	// that differ in these.
	CostUSD float64
	// QuantumMs is the resolution of delay at which the cost bound was found.
	QuantumMs float64
}

// Gap is by how much the plan's cost exceeds the bound, relative to the bound.
func (b Bounds) Gap(cost float64) float64 {
	if cost <= b.CostUSD+costTie {
		return 0
	}
	if b.CostUSD <= 0 {
		return math.Inf(1)
	}
	return cost/b.CostUSD - 1
}

// targets lists the terminals a tree serves and the latest arrival of each in
// any tree that serves the same, has the same in bound, and is not later in sum.
func (t *treeState) targets() (served []int32, deadline []float64) {
	p := t.p
	deadline = make([]float64, p.n)
	late, least := 0.0, 0.0
	for _, v := range p.terminals {
		if t.c[v].status != rooted {
			continue
		}
		served = append(served, v)
		if d := t.c[v].delay; d > p.bound[v]+boundSlackMs {
			w := float64(p.viewers[v])
			late += w * (d - p.bound[v])
			least += w * max(0, p.least[v]-p.bound[v])
		}
	}
	for _, v := range served {
		deadline[v] = p.bound[v]
		if t.c[v].delay > p.bound[v]+boundSlackMs {
			deadline[v] = max(p.least[v], p.bound[v]) + (late-least+lateTie)/float64(p.viewers[v])
		}
	}
	return served, deadline
}

// quanta are the resolutions tried, coarse to fine.
var quanta = []float64{8, 4, 2, 1, 0.5, 0.25, 0.125}

// costBound bounds the cost of the solver's best tree from below, with finer and
// finer resolution until the bound meets the tree or steps are spent.
func (s *solver) costBound(steps int64) (bound, quantum float64, last *layered) {
	p, t := s.withoutTwins()
	targets, deadline := t.targets()
	if len(targets) == 0 {
		return 0, 0, nil
	}
	cost := t.score().CostUSD
	for _, q := range quanta {
		// A pass looks at each arc a few dozen times.
		g := newLayered(p, deadline, targets, q, int(min(steps/4, 40_000_000)))
		if g == nil {
			break
		}
		g.ascend(12, steps)
		steps -= g.steps + int64(len(g.reduced))
		last = g
		if g.bound > bound || quantum == 0 {
			bound, quantum = g.bound, q
		}
		if bound >= cost-costTie || steps <= 0 {
			break
		}
	}
	return bound, quantum, last
}

// withoutTwins is the solver's problem and best tree, in which relays that
// differ in capacity only are one: bounds know no capacity. Relays of the tree
// stay, so that it can be carried over.
func (s *solver) withoutTwins() (*problem, *treeState) {
	if s.g.sites == nil {
		return s.r.p, s.r.best
	}
	return s.r.p, s.r.best
}
