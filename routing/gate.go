package routing

// The gate keeps plans quiet. Measurements wander from week to week and hour to
// hour, and the optimum with them; moving viewers for every tenth of a
// millisecond would cost more than it gains. So the running plan stands unless a
// new one is better by a margin, and small faults are mended one move at a time.

// Margins of the gate.
const (
	// gateQuantumMs is how far a terminal may slip beyond its bound, or beyond its
	// least possible delay if that is later, before it counts as late: real routes
	// wander by 2 ms and step by 30 or more. It is also how much room a move must
	// leave, so that the next wandering does not undo it. A long delay may slip by
	// a tenth.
	gateQuantumMs = 5
	gateSlip      = 0.10
	// gateCost is the share of the cost that a new plan must save. It must also
	// save a share no smaller than the share of the viewers that it moves.
	gateCost = 0.05
	// gateMoved is the share of the viewers that may move for money alone, at a
	// time, unless at least gatePrices of the cost goes: prices step, too.
	gateMoved  = 0.005
	gatePrices = 0.50
	// gateLate is the share of the lateness that it must save.
	gateLate = 0.10
)

// PlanGated makes a plan that departs from prev, the running one, only where
// that gains more than the margins, or where prev is no longer possible.
func (p *Planner) PlanGated(prev *Plan) {
	for i, s := range p.solvers {
		s.gated(prev.Tracks[i].Tree)
		if len(p.solvers) > 1 {
			p.loads.add(s.k, s.tree(), +1)
		}
	}
}

// gated plans the track from its running tree.
func (s *solver) gated(prev Tree) {
	s.copies = s.firstCopies()
	s.build(&prev)
	s.keepRunning(prev)
	warm := s.r.cur.tree(s.g.Len())
	// What a plan would be that only begins with the running one.
	s.first(&warm)
	if s.g.Len() <= promisedExact {
		s.prove(s.branches())
	}
	running := newTreeState(s.r.p)
	running.load(s.k.Source, warm, s.localNumbers())
	if running.passes(s.r.best) {
		return
	}
	s.r.best.copyFrom(running)
	s.r.bestScore = running.score()
	s.proven = false
}

// keepRunning loads the running tree as the current one, attaches who is
// missing, and makes single moves that pass the gate.
func (s *solver) keepRunning(prev Tree) {
	r := s.r
	p := r.p
	r.cur.reset()
	r.cur.load(s.k.Source, prev, s.localNumbers())
	r.attachMissing()
	strict := p.deadline
	p.deadline = p.narrowBounds() // moves go where there is room to wander
	before, origin := newTreeState(p), newTreeState(p)
	origin.copyFrom(r.cur)
	for again := true; again; {
		again = false
		for v := int32(1); v < p.n; v++ {
			if r.cur.c[v].status != rooted {
				continue
			}
			before.copyFrom(r.cur)
			if !r.movePath(v) {
				continue
			}
			if before.passes(r.cur) && origin.passes(r.cur) {
				again = true
			} else {
				r.cur.copyFrom(before)
			}
		}
	}
	p.deadline = strict
}

// wideBounds are the latest delays that move nobody.
func (p *problem) wideBounds() []float64 {
	out := make([]float64, p.n)
	for v := range out {
		x := max(p.bound[v], p.least[v])
		out[v] = x + max(gateQuantumMs, gateSlip*x)
	}
	return out
}

// narrowBounds leave room to wander; nobody is asked for less than is possible.
func (p *problem) narrowBounds() []float64 {
	out := make([]float64, p.n)
	for v := range out {
		out[v] = max(p.bound[v]-gateQuantumMs, p.least[v])
	}
	return out
}

// scoreWithin is the score as if the bounds were others.
func (t *treeState) scoreWithin(bound []float64) Score {
	strict := t.p.bound
	t.p.bound = bound
	s := t.score()
	t.p.bound = strict
	return s
}

// passes reports whether tree after is better than t by the margins.
func (t *treeState) passes(after *treeState) bool {
	wide := t.p.wideBounds()
	a, b := t.scoreWithin(wide), after.scoreWithin(wide)
	switch {
	case b.InBound != a.InBound:
		return b.InBound > a.InBound
	case b.Served != a.Served:
		return b.Served > a.Served
	case b.LateMs < a.LateMs*(1-gateLate)-lateTie:
		return true
	case b.LateMs > a.LateMs+lateTie:
		return false
	}
	saved, moved := a.CostUSD-b.CostUSD, t.movedShare(after)
	if saved <= max(gateCost, moved)*a.CostUSD+costTie || moved > gateMoved && saved < gatePrices*a.CostUSD {
		return false
	}
	// Money moves nobody closer to the edge: what has room to wander keeps it.
	narrow := t.p.narrowBounds()
	a, b = t.scoreWithin(narrow), after.scoreWithin(narrow)
	return b.InBound >= a.InBound && b.LateMs <= a.LateMs+lateTie
}

// movedShare is the share of the viewers whose path differs in the other tree.
func (t *treeState) movedShare(o *treeState) float64 {
	moved, total := int64(0), int64(0)
	var walk func(v int32, same bool)
	walk = func(v int32, same bool) {
		for k := o.c[v].firstKid; k >= 0; k = o.c[k].next {
			kept := same && t.c[k].parent == v
			total += t.p.viewers[k]
			if !kept {
				moved += t.p.viewers[k]
			}
			walk(k, kept)
		}
	}
	walk(0, true)
	if total == 0 {
		return 0
	}
	return float64(moved) / float64(total)
}

// localNumbers is the inverse of the problem's list of nodes.
func (s *solver) localNumbers() []int32 {
	local := make([]int32, s.g.Len())
	for i := range local {
		local[i] = -1
	}
	for v, gv := range s.r.p.node {
		local[gv] = int32(v)
	}
	return local
}

// Moved counts viewers, by track, who are served by both plans but over another
// path: those who notice a move at all.
func (d *Demand) Moved(before, after *Plan) int64 {
	moved := int64(0)
	for i := range d.Tracks {
		k := &d.Tracks[i]
		a, b := before.Tracks[i].Tree, after.Tracks[i].Tree
		same := make([]bool, d.Graph.Len())
		b.walk(k.Source, func(v int) {
			same[v] = v == k.Source || a.Parent[v] == b.Parent[v] && same[b.Parent[v]]
		})
		for _, e := range k.Terminals {
			if a.Parent[e.Node] != None && b.Parent[e.Node] != None && !same[e.Node] {
				moved += e.Viewers
			}
		}
	}
	return moved
}
