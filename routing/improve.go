package routing

// Local search. Every move is tried on the current tree and taken back, by
// copying the cells, unless the score got better.

// improve applies moves until none helps, and returns the current score.
func (s *search) improve(score Score, stop func() bool) Score {
	for {
		before := score
		s.f.floors = nil
		score = s.movePaths(score, stop)
		if stop() {
			return score
		}
		score = s.openRelays(score)
		if stop() {
			return score
		}
		if s.f.floors != nil {
			s.useFloors(false)
		}
		score = s.closeRelays(score, stop)
		if stop() || score.Compare(before) <= 0 {
			return score
		}
	}
}

// useFloors computes floors for the current tree and has the path search use
// them.
func (s *search) useFloors(openOnly bool) {
	s.f.steps += s.floors.compute(s.cur, openOnly)
	s.f.floors = s.floors
}

// movePaths cuts each node from its parent, together with the relays that then
// serve nobody, and looks for a better path for it: a change of parent, a new
// relay in between and a chain of several are all the same move.
func (s *search) movePaths(score Score, stop func() bool) Score {
	begun := s.f.steps
	for v := int32(1); v < s.p.n && !stop(); v++ {
		if s.f.floors == nil && s.f.steps-begun > 2*int64(len(s.p.from)) {
			s.useFloors(false) // searches are long here, and floors cheaper
		}
		if s.cur.c[v].status == rooted && s.movePath(v) {
			score = s.cur.score()
		}
	}
	return score
}

// movePath reports whether it found a better path for v.
func (s *search) movePath(v int32) bool {
	t := s.cur
	delay, limit := t.c[v].delay, t.limit(v)
	late := delay > limit+boundSlackMs
	s.saveUndo()
	saved := t.cutCost(v)
	t.cut(v)
	if late {
		if f := s.f.cheapest(t, v, limit, unlimitedDelay); f.ok() {
			s.f.apply(t, f)
			return true
		}
		if f := s.f.fastest(t, v, delay-2*boundSlackMs); f.ok() {
			s.f.apply(t, f)
			return true
		}
		limit = delay
	}
	f := s.f.cheapest(t, v, limit, saved)
	if !f.ok() || f.cost > saved-costTie && f.delay >= delay-boundSlackMs {
		t.copyFrom(s.undo)
		return false
	}
	s.f.apply(t, f)
	return true
}

// cutCost is what the arcs cost that go when v is cut: its own, and those of
// relays above it that would serve nobody.
func (t *treeState) cutCost(v int32) float64 {
	cost := 0.0
	for {
		cost += t.p.cost[t.c[v].arc]
		u := t.c[v].parent
		if u <= 0 || t.c[u].kids > 1 || t.p.viewers[u] > 0 || t.c[u].parent < 0 {
			return cost
		}
		v = u
	}
}

// closeRelays removes each relay in turn and attaches its children elsewhere.
func (s *search) closeRelays(score Score, stop func() bool) Score {
	for v := int32(1); v < s.p.n && !stop(); v++ {
		if s.cur.c[v].status != rooted || s.p.viewers[v] > 0 {
			continue
		}
		s.saveUndo()
		s.order = s.cur.remove(v, s.order[:0])
		s.attachAll()
		if after := s.cur.score(); after.Compare(score) > 0 {
			score = after
		} else {
			s.cur.copyFrom(s.undo)
		}
	}
	return score
}

// openRelays looks for relays that are outside and would pay for themselves if
// several nodes moved below them at once, which no single move can show.
func (s *search) openRelays(score Score) Score {
	s.setLimits()
	for r := int32(1); r < s.p.n; r++ {
		if s.cur.c[r].status != outside || s.p.viewers[r] > 0 || s.p.slots[r] < 2 {
			continue
		}
		if s.openRelay(r) {
			if after := s.cur.score(); after.Compare(score) > 0 {
				score = after
				s.setLimits()
				continue
			}
			s.cur.copyFrom(s.undo)
		}
	}
	return score
}

// setLimits notes for every rooted node the latest arrival it bears.
func (s *search) setLimits() {
	s.setLimitsBelow(0)
}

func (s *search) setLimitsBelow(v int32) float64 {
	t := s.cur
	slack := unlimitedDelay
	if s.p.viewers[v] > 0 {
		slack = max(s.p.deadline[v]-t.c[v].delay, 0)
	}
	for k := t.c[v].firstKid; k >= 0; k = t.c[k].next {
		slack = min(slack, s.setLimitsBelow(k))
	}
	s.limits[v] = t.c[v].delay + slack
	return slack
}

// openRelay estimates what relay r could save, below its cheapest and its
// fastest parent, and if that looks like a gain makes the move. The estimate
// ignores ancestry among the movers; the caller checks the true score.
func (s *search) openRelay(r int32) bool {
	t, p := s.cur, s.p
	cheap, fast := int32(-1), int32(-1)
	var cheapDelay, fastDelay float64
	s.f.steps += int64(p.inStart[r+1] - p.inStart[r])
	for a := p.inStart[r]; a < p.inStart[r+1]; a++ {
		u := p.from[a]
		if t.c[u].status != rooted || t.c[u].kids >= p.slots[u] || t.c[u].depth+2 > p.maxDepth {
			continue
		}
		d := t.c[u].delay + p.hop[a]
		if cheap < 0 || p.cost[a] < p.cost[cheap] || p.cost[a] == p.cost[cheap] && d < cheapDelay {
			cheap, cheapDelay = a, d
		}
		if fast < 0 || d < fastDelay {
			fast, fastDelay = a, d
		}
	}
	if cheap < 0 {
		return false
	}
	if s.adopt(r, cheap, cheapDelay) {
		return true
	}
	return fast != cheap && s.adopt(r, fast, fastDelay)
}

// adopt moves below r, itself hung by arc a, all nodes that are cheaper there
// and still in time, if together they pay for a.
func (s *search) adopt(r, a int32, delay float64) bool {
	t, p := s.cur, s.p
	gain := -p.cost[a]
	s.f.steps += int64(p.outStart[r+1] - p.outStart[r])
	s.floats = s.floats[:0]
	for _, i := range p.out[p.outStart[r]:p.outStart[r+1]] {
		v := p.to[i]
		c := &t.c[v]
		if c.status == rooted && c.arc >= 0 && p.cost[i] < p.cost[c.arc] && delay+p.hop[i] <= s.limits[v]+boundSlackMs {
			gain += p.cost[c.arc] - p.cost[i]
			s.floats = append(s.floats, i)
		}
	}
	if gain <= costTie {
		return false
	}
	s.saveUndo()
	t.link(r, a)
	for _, i := range s.floats {
		v := p.to[i]
		if t.c[r].kids >= p.slots[r] || t.below(r, v) || t.c[v].status != rooted || t.c[r].depth+1+t.height(v) > p.maxDepth {
			continue
		}
		if s.f.weightLimit > 0 && !s.bearable(r, v) {
			continue
		}
		u := t.unlink(v)
		t.link(v, i)
		t.prune(u)
	}
	t.prune(r)
	return true
}

// bearable reports whether all nodes above and including r, v's own ancestors
// excepted, may carry v's viewers too.
func (s *search) bearable(r, v int32) bool {
	t := s.cur
	for a := r; a > 0; a = t.c[a].parent {
		if !t.below(v, a) && t.c[a].weight+t.c[v].weight > s.f.weightLimit {
			return false
		}
	}
	return true
}

// below reports whether v lies on the path from the source to u, or is u.
func (t *treeState) below(u, v int32) bool {
	for ; u >= 0; u = t.c[u].parent {
		if u == v {
			return true
		}
	}
	return false
}

// saveUndo remembers the current tree. Copying cells takes time too, and counts.
func (s *search) saveUndo() {
	s.undo.copyFrom(s.cur)
	s.f.steps += int64(s.p.n) / 2
}
