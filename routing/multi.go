package routing

import (
	"cmp"
	"slices"
)

// Several tracks share egress and arcs. Each is planned beside the loads of the
// others, so no plan is ever invalid; which track goes first decides who gets
// what is scarce. So several orders are tried, and then tracks are taken out a
// few at a time and planned anew, in other orders and with a surcharge on
// capacity that is scarce, as routers of circuits negotiate congestion
// (McMurchie and Ebeling, PathFinder, FPGA 1995).

// trackOrders are keys by which tracks are planned, least first.
var trackOrders = []func(k *Track, viewers int64) float64{
	// Viewers per Mbit/s: a slot on a scarce node serves the most of them.
	func(k *Track, viewers int64) float64 { return -float64(viewers) / max(k.RateMbps, 1e-9) },
	// Small tracks first: they fit in what is left least well later.
	func(_ *Track, viewers int64) float64 { return float64(viewers) },
	// Tight bounds first.
	func(k *Track, _ int64) float64 { return k.BoundMs },
}

// planTracks plans all tracks in several orders and keeps the best outcome.
func (p *Planner) planTracks(warm *Plan) {
	if warm != nil {
		for i, s := range p.solvers {
			s.first(&warm.Tracks[i].Tree)
			p.loads.add(s.k, s.tree(), +1)
		}
		return
	}
	order := make([]int, len(p.solvers))
	best := p.planInOrder(p.trackOrder(order, trackOrders[0]))
	if p.lossless() || len(p.solvers) > manyTracks {
		return
	}
	for _, key := range trackOrders[1:] {
		kept := slices.Clone(p.solvers)
		for i, s := range p.solvers {
			p.loads.add(s.k, s.tree(), -1)
			fresh := *s
			fresh.r = nil
			p.solvers[i] = &fresh
		}
		if score := p.planInOrder(p.trackOrder(order, key)); score.Compare(best) > 0 {
			best = score
			continue
		}
		for i, s := range p.solvers {
			p.loads.add(s.k, s.tree(), -1)
			p.solvers[i] = kept[i]
		}
		for _, s := range p.solvers {
			p.loads.add(s.k, s.tree(), +1)
		}
	}
}

func (p *Planner) trackOrder(order []int, key func(*Track, int64) float64) []int {
	keys := make([]float64, len(order))
	for i := range order {
		order[i] = i
		viewers := int64(0)
		for _, t := range p.d.Tracks[i].Terminals {
			viewers += t.Viewers
		}
		keys[i] = key(&p.d.Tracks[i], viewers)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(keys[a], keys[b]) })
	return order
}

func (p *Planner) planInOrder(order []int) Score {
	var total Score
	for _, i := range order {
		s := p.solvers[i]
		s.first(nil)
		p.loads.add(s.k, s.tree(), +1)
		total = total.Add(s.r.bestScore)
	}
	return total
}

// lossless reports whether capacity cost no track a viewer in bound.
func (p *Planner) lossless() bool {
	for _, s := range p.solvers {
		if s.lost() > 0 {
			return false
		}
	}
	return true
}

// lost is how many viewers the track could have in bound by the least delays,
// and has not.
func (s *solver) lost() int64 {
	reach := int64(0)
	for _, t := range s.k.Terminals {
		if t.Node == s.k.Source {
			reach += t.Viewers
		}
	}
	p := s.r.p
	for _, t := range p.terminals {
		if p.least[t] <= p.bound[t]+boundSlackMs {
			reach += p.viewers[t]
		}
	}
	for _, t := range p.unusable {
		if t.Node != s.k.Source {
			reach += t.Viewers // no room for its own viewers; elsewhere others may give way
		}
	}
	return reach - s.r.bestScore.InBound
}

// improveTracks takes out a few tracks at a time, plans them anew, and keeps the
// outcome if the sum is not worse.
func (p *Planner) improveTracks(steps int64) {
	if len(p.solvers) == 0 {
		return
	}
	spent := int64(0)
	p.surcharge = make([]float64, p.d.Graph.Len())
	for round := 0; spent < steps; round++ {
		chosen := p.chooseTracks(round)
		var before Score
		kept := make([]solver, len(chosen))
		for j, i := range chosen {
			s := p.solvers[i]
			kept[j] = *s
			before = before.Add(s.r.bestScore)
			p.loads.add(s.k, s.tree(), -1)
		}
		var after Score
		if round%2 == 1 {
			p.raiseSurcharge()
		}
		for _, i := range chosen {
			spent += p.replan(p.solvers[i], round) + stepsPerMs/50
			after = after.Add(p.solvers[i].r.bestScore)
			p.loads.add(p.solvers[i].k, p.solvers[i].tree(), +1)
		}
		if after.Compare(before) >= 0 {
			continue
		}
		for _, i := range chosen {
			p.loads.add(p.solvers[i].k, p.solvers[i].tree(), -1)
		}
		for j, i := range chosen {
			*p.solvers[i] = kept[j]
			p.loads.add(kept[j].k, kept[j].tree(), +1)
		}
	}
	p.surcharge = nil
}

// replan plans one track anew, and returns the steps it took. In odd rounds it
// shuns scarce nodes at first, and only then looks at true cost.
func (p *Planner) replan(s *solver, round int) int64 {
	old := s.tree()
	s.r = nil
	if round%2 == 1 {
		s.surcharge = p.surcharge
		s.first(nil)
		polite := s.tree()
		spent := s.r.f.steps
		s.surcharge = nil
		s.r = nil
		s.build(&polite)
		s.r.f.steps = spent
		s.adopt(polite)
		return s.r.f.steps
	}
	s.first(&old)
	s.improve(stepsPerMs / 4)
	return s.r.f.steps
}

// chooseTracks picks tracks to plan anew: one that lost viewers if there is one,
// and up to three others, in random order.
func (p *Planner) chooseTracks(round int) []int {
	n := len(p.solvers)
	chosen := []int{p.rng.IntN(n)}
	if round%4 != 3 {
		for range 4 { // a few draws find a loser if they are many
			if p.solvers[chosen[0]].lost() > 0 {
				break
			}
			chosen[0] = p.rng.IntN(n)
		}
	}
	for range min(n-1, 1+p.rng.IntN(3)) {
		if i := p.rng.IntN(n); !slices.Contains(chosen, i) {
			chosen = append(chosen, i)
		}
	}
	p.rng.Shuffle(len(chosen), func(a, b int) { chosen[a], chosen[b] = chosen[b], chosen[a] })
	return chosen
}

// raiseSurcharge makes the use of nearly full nodes dearer, by about what an arc
// costs, and lets the surcharge of others fade.
func (p *Planner) raiseSurcharge() {
	cost, arcs := 0.0, 0
	for _, s := range p.solvers {
		cost += s.r.bestScore.CostUSD
		arcs += int(s.r.best.size)
	}
	unit := max(cost/float64(max(arcs, 1)), 0.01)
	for v := range p.surcharge {
		n := &p.d.Graph.nodes[v]
		switch {
		case n.EgressMbps > 0 && p.loads.egress[v] > 0.8*n.EgressMbps:
			p.surcharge[v] += unit * p.rng.Float64()
		default:
			p.surcharge[v] *= 0.8
		}
	}
}
