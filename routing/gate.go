package routing

// The gate keeps plans quiet. Measurements wander from week to week and hour to
// hour, and the optimum with them; moving viewers for every tenth of a
// millisecond would cost more than it gains. So the running plan stands unless a
// new one is better by a margin, and small faults are mended one move at a time.

// Margins of the gate.
const (
	// gateQuantumMs is how far a terminal may slip beyond its bound, or beyond its
	// least possible delay if that is later, before it counts as late: real routes
	// wander by 2 ms and step by 30 or more.
	gateQuantumMs = 5
	// gateCost is the share of the cost that a new plan must save.
	gateCost = 0.05
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
	kept := s.keepRunning(prev)
	// The plan that knows nothing of the running one but where to begin.
	running := newTreeState(s.r.p)
	running.copyFrom(s.r.cur)
	warm := running.tree(s.g.Len())
	s.first(&warm)
	if s.g.Len() <= promisedExact {
		s.prove(exactBranches)
	}
	local := s.localNumbers()
	running = newTreeState(s.r.p)
	running.load(s.k.Source, warm, local)
	if passes(kept, s.r.best.gateScore()) {
		return
	}
	s.r.best.copyFrom(running)
	s.r.bestScore = running.score()
	s.proven = false
}

// keepRunning loads the running tree, attaches who is missing, and makes single
// moves that pass the gate. It returns what the outcome is worth to the gate.
func (s *solver) keepRunning(prev Tree) Score {
	r := s.r
	r.cur.reset()
	r.cur.load(s.k.Source, prev, s.localNumbers())
	r.attachMissing()
	score := r.cur.gateScore()
	base := newTreeState(r.p)
	for again := true; again; {
		again = false
		for v := int32(1); v < r.p.n; v++ {
			if r.cur.c[v].status != rooted {
				continue
			}
			base.copyFrom(r.cur)
			if !r.movePath(v) {
				continue
			}
			if after := r.cur.gateScore(); passes(score, after) {
				score, again = after, true
			} else {
				r.cur.copyFrom(base)
			}
		}
	}
	return score
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

// gateScore is the score with bounds widened by the quantum.
func (t *treeState) gateScore() Score {
	p := t.p
	strict := p.bound
	p.bound = make([]float64, p.n)
	for v := range p.bound {
		p.bound[v] = max(strict[v], p.least[v]) + gateQuantumMs
	}
	s := t.score()
	p.bound = strict
	return s
}

// passes reports whether after is better than before by the margins.
func passes(before, after Score) bool {
	switch {
	case after.InBound != before.InBound:
		return after.InBound > before.InBound
	case after.Served != before.Served:
		return after.Served > before.Served
	case after.LateMs < before.LateMs*(1-gateLate)-lateTie:
		return true
	case after.LateMs > before.LateMs+lateTie:
		return false
	}
	return after.CostUSD < before.CostUSD*(1-gateCost)-costTie
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
