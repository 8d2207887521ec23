package routing

import "math"

// A lower bound on cost that knows about time. In the delay-layered graph
// (Gouveia, Simonetti, Uchoa, Math. Programming 128, 2011; Ruthmair and Raidl,
// IPCO 2011) a node occurs once per quantum of delay at which it may be heard:
// (v, layer). A tree in time becomes a Steiner arborescence without any limit on
// delay, and dual ascent bounds its cost from below. Delays are rounded down to
// the quantum, so that every tree that is in time stays possible: the bound is
// valid for any quantum, and sharper for a finer one.

// layered is the layered graph of a problem for given deadlines.
type layered struct {
	p       *problem
	targets []int32   // terminals that must be reached
	latest  []int32   // by target: last layer
	hopq    []int32   // layers per arc
	lo, hi  []int32   // layers in which a node is of use; lo > hi if in none
	until   []float64 // latest arrival at a node that is of use
	base    []int32   // first layered node of each node
	row     []int     // first entry in reduced of each node's first layer
	owner   []int32   // node of each layered node
	reduced []float64 // reduced cost of layered arcs: by node, layer, arc

	bound float64 // proven so far
	steps int64

	// One search's memory.
	dist  []float64
	heap  *heap
	dirty []int32
}

// eliminated marks layered arcs that do not exist.
var eliminated = math.Inf(1)

// newLayered builds the graph with the given quantum; nil if it would have more
// than maxArcs arcs.
func newLayered(p *problem, deadline []float64, targets []int32, quantum float64, maxArcs int) *layered {
	g := &layered{p: p, targets: targets}
	g.hopq = make([]int32, len(p.hop))
	for i, h := range p.hop { // none, for an infinite quantum
		g.hopq[i] = int32(math.Floor(h/quantum + 1e-9))
	}
	g.latest = make([]int32, len(targets))
	for j, t := range targets {
		g.latest[j] = int32(math.Floor((deadline[t]+boundSlackMs)/quantum + 1e-9))
	}
	g.findRange()
	g.findUntil(deadline)
	nodes, arcs := int32(0), 0
	g.base, g.row = make([]int32, p.n+1), make([]int, p.n+1)
	for v := range p.n {
		g.base[v], g.row[v] = nodes, arcs
		if n := g.hi[v] - g.lo[v] + 1; n > 0 {
			nodes += n
			arcs += int(n) * int(p.inStart[v+1]-p.inStart[v])
		}
	}
	g.base[p.n], g.row[p.n] = nodes, arcs
	if arcs > maxArcs {
		return nil
	}
	g.reduced = make([]float64, arcs)
	g.owner = make([]int32, nodes)
	for v := range p.n {
		first, last := p.inStart[v], p.inStart[v+1]
		for x := g.lo[v]; x <= g.hi[v]; x++ {
			g.owner[g.base[v]+x-g.lo[v]] = v
			row := g.reduced[g.row[v]+int(x-g.lo[v])*int(last-first):]
			for a := first; a < last; a++ {
				u := p.from[a]
				if from := x - g.hopq[a]; from < g.lo[u] || from > g.hi[u] || p.least[u]+p.hop[a] > g.until[v] {
					row[a-first] = eliminated
				} else {
					row[a-first] = p.cost[a]
				}
			}
		}
	}
	g.dist = make([]float64, nodes)
	for i := range g.dist {
		g.dist[i] = math.Inf(1)
	}
	g.heap = newHeap(int(nodes))
	return g
}

// findRange computes for each node the first layer it can be heard in, and the
// last from which some target can still be reached in time.
func (g *layered) findRange() {
	p := g.p
	far := int32(math.MaxInt32 / 4)
	g.lo, g.hi = make([]int32, p.n), make([]int32, p.n)
	for v := range g.lo {
		g.lo[v], g.hi[v] = far, -far
	}
	h := newHeap(int(p.n))
	g.lo[0] = 0
	h.push(0, 0)
	for h.len() > 0 {
		u, _ := h.pop()
		for _, a := range p.out[p.outStart[u]:p.outStart[u+1]] {
			if v, d := p.to[a], g.lo[u]+g.hopq[a]; d < g.lo[v] {
				g.lo[v] = d
				h.push(v, float64(d))
			}
		}
	}
	for j, t := range g.targets {
		g.hi[t] = max(g.hi[t], g.latest[j])
		h.push(t, -float64(g.hi[t]))
	}
	for h.len() > 0 {
		v, _ := h.pop()
		for a := p.inStart[v]; a < p.inStart[v+1]; a++ {
			if u, d := p.from[a], g.hi[v]-g.hopq[a]; d > g.hi[u] {
				g.hi[u] = d
				h.push(u, -float64(d))
			}
		}
	}
	g.hi[0] = 0 // the source is heard at once or never
}

// findUntil computes in real delays what findRange does in layers: it is all that
// an infinite quantum knows of time.
func (g *layered) findUntil(deadline []float64) {
	p := g.p
	g.until = make([]float64, p.n)
	for v := range g.until {
		g.until[v] = math.Inf(-1)
	}
	h := newHeap(int(p.n))
	for _, t := range g.targets {
		g.until[t] = deadline[t] + boundSlackMs
		h.push(t, -g.until[t])
	}
	for h.len() > 0 {
		v, _ := h.pop()
		for a := p.inStart[v]; a < p.inStart[v+1]; a++ {
			if u, d := p.from[a], g.until[v]-p.hop[a]; d > g.until[u] {
				g.until[u] = d
				h.push(u, -d)
			}
		}
	}
}

// ascend raises the bound (Wong 1984): around each target in turn grow the set
// of layered nodes that reach it for less than a step, and charge the growth to
// the arcs into the set. Small steps in rounds spread the charge; growing one
// target to the end at once would let it take all of what others share.
func (g *layered) ascend(rounds int, budget int64) {
	active := make([]int, len(g.targets))
	far := 0.0
	for j := range g.targets {
		active[j] = j
		far = max(far, g.grow(j, math.Inf(1), false))
	}
	limit := g.steps + budget
	for round := 1; len(active) > 0; round++ {
		step := far / float64(rounds)
		if round > 2*rounds || g.steps > limit {
			step = math.Inf(1) // finish: every target to the source
		}
		still := active[:0]
		for _, j := range active {
			if g.grow(j, step, true) >= step {
				still = append(still, j)
			}
		}
		active = still
	}
}

// grow searches backwards from target j up to distance step or the source,
// whichever is nearer, and returns that distance. With charge, it raises the
// bound by it and lowers the reduced costs.
func (g *layered) grow(j int, step float64, charge bool) float64 {
	t := g.targets[j]
	g.heap.clear()
	for _, i := range g.dirty {
		g.dist[i] = math.Inf(1)
	}
	g.dirty = g.dirty[:0]
	for x := g.lo[t]; x <= min(g.hi[t], g.latest[j]); x++ {
		g.reach(g.base[t]+x-g.lo[t], 0)
	}
	reached := step
	settled := 0
	for g.heap.len() > 0 {
		i, d := g.heap.pop()
		if d >= reached {
			break
		}
		settled++
		v := g.owner[i]
		if v == 0 {
			reached = d
			break
		}
		g.relax(v, i, d, reached)
	}
	if math.IsInf(reached, 1) || !charge || reached == 0 {
		return reached
	}
	g.bound += reached
	for _, i := range g.dirty {
		if d := g.dist[i]; d < reached {
			g.chargeInto(i, d, reached)
		}
	}
	return reached
}

func (g *layered) reach(i int32, d float64) {
	if d < g.dist[i] {
		if math.IsInf(g.dist[i], 1) {
			g.dirty = append(g.dirty, i)
		}
		g.dist[i] = d
		g.heap.push(i, d)
	}
}

// relax follows the arcs into layered node i of node v.
func (g *layered) relax(v, i int32, d, limit float64) {
	p := g.p
	first, last := p.inStart[v], p.inStart[v+1]
	x := i - g.base[v]
	row := g.reduced[g.row[v]+int(x)*int(last-first):][:last-first]
	g.steps += int64(last - first)
	x += g.lo[v]
	for k, r := range row {
		if d+r < limit {
			a := first + int32(k)
			u := p.from[a]
			g.reach(g.base[u]+x-g.hopq[a]-g.lo[u], d+r)
		}
	}
}

// chargeInto lowers the reduced costs of the arcs into layered node i, which is
// at distance d of the target, by what they contributed to the growth.
func (g *layered) chargeInto(i int32, d, reached float64) {
	p := g.p
	v := g.owner[i]
	first, last := p.inStart[v], p.inStart[v+1]
	x := i - g.base[v]
	row := g.reduced[g.row[v]+int(x)*int(last-first):][:last-first]
	g.steps += int64(last - first)
	x += g.lo[v]
	for k, r := range row {
		if math.IsInf(r, 1) {
			continue
		}
		a := first + int32(k)
		u := p.from[a]
		if up := min(g.dist[g.base[u]+x-g.hopq[a]-g.lo[u]], reached); up > d {
			row[k] = max(0, r-(up-d))
		}
	}
}
