package routing

import "math"

// Pruning by reduced costs. What dual ascent leaves of the costs says what a
// detour costs at least: a tree with an arc has a path over it to some target,
// and costs the bound and what is left of that path's costs. Arcs for which that
// is more than the best tree are in no better one, and need not be looked at in
// finer layers.

// useless marks the arcs of the problem that are in no tree whose cost exceeds the
// bound by less than the gap.
func (g *layered) useless(gap float64) []bool {
	p := g.p
	fromSource, toTarget := g.spread(true), g.spread(false)
	dead := make([]bool, len(p.from))
	for a := range dead {
		dead[a] = true
	}
	for v := range p.n {
		first, last := p.inStart[v], p.inStart[v+1]
		for x := g.lo[v]; x <= g.hi[v]; x++ {
			head := g.base[v] + x - g.lo[v]
			row := g.reduced[g.row[v]+int(x-g.lo[v])*int(last-first):]
			for a := first; a < last; a++ {
				if r := row[a-first]; dead[a] && !math.IsInf(r, 1) {
					u := p.from[a]
					tail := g.base[u] + x - g.hopq[a] - g.lo[u]
					dead[a] = fromSource[tail]+r+toTarget[head] > gap
				}
			}
		}
	}
	return dead
}

// spread computes the distances, in reduced costs, of all layered nodes from the
// source, or else to the nearest target.
func (g *layered) spread(down bool) []float64 {
	p := g.p
	dist := make([]float64, len(g.dist))
	for i := range dist {
		dist[i] = math.Inf(1)
	}
	g.heap.clear()
	reach := func(i int32, d float64) {
		if d < dist[i] {
			dist[i] = d
			g.heap.push(i, d)
		}
	}
	if down {
		reach(g.base[0], 0)
	} else {
		for j, t := range g.targets {
			for x := g.lo[t]; x <= min(g.hi[t], g.latest[j]); x++ {
				reach(g.base[t]+x-g.lo[t], 0)
			}
		}
	}
	for g.heap.len() > 0 {
		i, d := g.heap.pop()
		v := g.owner[i]
		x := i - g.base[v] + g.lo[v]
		if down {
			for _, a := range p.out[p.outStart[v]:p.outStart[v+1]] {
				w := p.to[a]
				y := x + g.hopq[a]
				if y < g.lo[w] || y > g.hi[w] {
					continue
				}
				first, last := p.inStart[w], p.inStart[w+1]
				if r := g.reduced[g.row[w]+int(y-g.lo[w])*int(last-first)+int(a-first)]; !math.IsInf(r, 1) {
					reach(g.base[w]+y-g.lo[w], d+r)
				}
			}
			continue
		}
		first, last := p.inStart[v], p.inStart[v+1]
		row := g.reduced[g.row[v]+int(x-g.lo[v])*int(last-first):][:last-first]
		for k, r := range row {
			if !math.IsInf(r, 1) {
				a := first + int32(k)
				u := p.from[a]
				reach(g.base[u]+x-g.hopq[a]-g.lo[u], d+r)
			}
		}
	}
	return dist
}

// without returns the problem without the arcs that are marked. Nodes keep their
// numbers, and least delays stay what they were.
func (p *problem) without(dead []bool) *problem {
	out := *p
	out.inStart = make([]int32, p.n+1)
	out.from, out.to, out.hop, out.cost = nil, nil, nil, nil
	for v := range p.n {
		for a := p.inStart[v]; a < p.inStart[v+1]; a++ {
			if !dead[a] {
				out.from, out.to = append(out.from, p.from[a]), append(out.to, v)
				out.hop, out.cost = append(out.hop, p.hop[a]), append(out.cost, p.cost[a])
			}
		}
		out.inStart[v+1] = int32(len(out.from))
	}
	out.indexTails()
	return &out
}

// narrow goes on with a problem that has lost some arcs, none of them the best
// tree's.
func (s *solver) narrow(p *problem) {
	best, steps := s.tree(), s.r.f.steps
	s.r = newSearch(p, s.rng)
	s.r.f.steps = steps
	s.r.f.weightLimit = s.weightLimit
	s.r.cur.load(s.k.Source, best, s.localNumbers())
	s.r.keep(s.r.cur.score())
}
