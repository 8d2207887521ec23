package routing

import (
	"cmp"
	"math"
	"slices"
)

// problem is what one track sees of the graph: usable nodes and arcs only, the
// source being node 0, with every capacity turned into a number of children.
// For a single track that is exact: a node in the tree serves all its viewers,
// so what is left of its egress is a whole number of copies.
type problem struct {
	n        int32
	node     []int32   // number in the graph
	viewers  []int64   // 0 for a node that has none
	bound    []float64 // of terminals
	deadline []float64 // max(bound, least): what a terminal can be asked to meet
	slots    []int32   // children it may have
	place    []int32   // equal for nodes with the same arcs, but for those between them
	maxDepth int32     // arcs
	rate     float64
	total    int64 // viewers of all terminals, those left out included
	local    Score // what the source's own viewers add

	// Arcs by head, inStart[v] to inStart[v+1], cheapest first. A hop is what the arc adds to
	// the delay: its own and the sender's processing.
	inStart []int32
	from    []int32
	to      []int32
	hop     []float64
	cost    []float64 // USD per hour
	// Arcs by tail: numbers of arcs as above.
	outStart []int32
	out      []int32

	least     []float64 // least delay from the source, infinite if out of reach
	terminals []int32   // nodes with viewers, not the source
	unusable  []Terminal
}

// unlimitedDepth stands for no limit on depth.
const unlimitedDepth = math.MaxInt32 / 4

// newProblem builds the problem of track k beside the other tracks' loads, with
// at most copies members of each class of interchangeable relays. The nodes of
// keep are always part of it. With few only the most promising classes of a
// compact graph are: small rooms by the thousand need no more.
func newProblem(g *Graph, k *Track, l *loads, copies []int32, keep []int32, few bool) *problem {
	p := &problem{rate: k.RateMbps, maxDepth: int32(min(k.MaxDepth, unlimitedDepth))}
	if p.maxDepth == 0 {
		p.maxDepth = unlimitedDepth
	}
	local := p.chooseNodes(g, k, l, copies, keep, few)
	if g.sites != nil {
		p.siteArcs(g)
	} else {
		p.explicitArcs(g, k, l, local)
	}
	p.finish()
	return p
}

// finish derives what follows from nodes and arcs.
func (p *problem) finish() {
	p.indexTails()
	p.findLeast()
	p.deadline = make([]float64, p.n)
	for _, t := range p.terminals {
		p.deadline[t] = max(p.bound[t], p.least[t])
	}
}

// addNode appends a usable node.
func (p *problem) addNode(v int, viewers int64, bound float64, slots, place int32) {
	if p.n > 0 && viewers > 0 {
		p.terminals = append(p.terminals, p.n)
	}
	p.node = append(p.node, int32(v))
	p.viewers = append(p.viewers, viewers)
	p.bound = append(p.bound, bound)
	p.slots = append(p.slots, slots)
	p.place = append(p.place, place)
	p.n++
}

// chooseNodes picks the source, the terminals that can carry their viewers and
// the relays, and returns each graph node's number here, -1 for the others.
func (p *problem) chooseNodes(g *Graph, k *Track, l *loads, copies []int32, keep []int32, few bool) []int32 {
	local := make([]int32, g.Len())
	for i := range local {
		local[i] = -1
	}
	take := func(v int, viewers int64, bound float64, slots int32) {
		local[v] = p.n
		place := int32(v)
		if g.sites != nil {
			place = g.sites.place[v]
		}
		p.addNode(v, viewers, bound, slots, place)
	}
	// Viewers at the source are part of the loads from the start.
	take(k.Source, 0, 0, l.slots(k.Source, k.RateMbps, 0))
	for _, t := range k.Terminals {
		p.total += t.Viewers
		if t.Node == k.Source {
			p.local = Score{InBound: t.Viewers, Served: t.Viewers}
		} else if t.Viewers > 0 {
			s := l.slots(t.Node, k.RateMbps, float64(t.Viewers))
			if s < 0 {
				p.unusable = append(p.unusable, t)
				local[t.Node] = -2 // not even as a relay
				continue
			}
			take(t.Node, t.Viewers, k.bound(t), s)
		}
	}
	relay := func(v int32) {
		if local[v] != -1 {
			return
		}
		if s := l.slots(int(v), k.RateMbps, 0); s > 0 {
			take(int(v), 0, 0, s)
		}
	}
	for _, v := range keep {
		relay(v)
	}
	type candidate struct {
		v     int32
		slots int32
	}
	var free []candidate
	var chosen []bool
	if few && g.sites != nil {
		chosen = p.promising(g, k)
	}
	for class, members := range g.classes {
		if chosen != nil && !chosen[class] {
			continue
		}
		free = free[:0]
		for _, v := range members {
			if local[v] == -1 {
				free = append(free, candidate{v, l.slots(int(v), k.RateMbps, 0)})
			}
		}
		// The roomiest first; other tracks may have left them unequal.
		slices.SortStableFunc(free, func(a, b candidate) int { return cmp.Compare(b.slots, a.slots) })
		for _, c := range free[:min(int(copies[class]), len(free))] {
			relay(c.v)
		}
	}
	for _, t := range p.unusable {
		local[t.Node] = -1
	}
	return local
}

// fewClasses is how many classes of relays a small room looks at.
const fewClasses = 32

// promising marks the classes over which some terminal is heard in time and for
// little: one arc from the source, one to the terminal.
func (p *problem) promising(g *Graph, k *Track) []bool {
	type rated struct {
		class int32
		price float64
	}
	t := g.sites
	best := make([]rated, 0, fewClasses+1)
	for c, members := range g.classes {
		v := int(members[0])
		n := &g.nodes[v]
		if n.MaxChildren == 0 {
			continue
		}
		d0, p0 := t.arc(k.Source, v)
		if v == k.Source {
			d0, p0 = 0, 0
		}
		r := rated{int32(c), math.Inf(1)}
		for _, x := range p.terminals {
			gx := int(p.node[x])
			d, price := t.arc(v, gx)
			late := max(0, d0+d+n.ProcMs+g.nodes[k.Source].ProcMs-p.bound[x])
			r.price = min(r.price, p0+price+late)
		}
		i := len(best)
		if i == fewClasses {
			if r.price >= best[i-1].price {
				continue
			}
			i--
			best = best[:i]
		}
		best = append(best, r)
		for ; i > 0 && best[i-1].price > r.price; i-- {
			best[i] = best[i-1]
		}
		best[i] = r
	}
	out := make([]bool, len(g.classes))
	for _, r := range best {
		out[r.class] = true
	}
	return out
}

// siteArcs lists the arcs between all nodes of a compact graph. Arcs into a
// relay that may not relay on, and out of nodes without slots, are of no use.
func (p *problem) siteArcs(g *Graph) {
	t := g.sites
	p.inStart = make([]int32, p.n+1)
	size := int(p.n) * int(p.n)
	p.from, p.to = make([]int32, 0, size), make([]int32, 0, size)
	p.hop, p.cost = make([]float64, 0, size), make([]float64, 0, size)
	scale := p.rate * gbPerMbpsHour
	at := make([][]int32, t.places) // nodes that may relay, by place
	for u := range p.n {
		if p.slots[u] > 0 {
			at[t.place[p.node[u]]] = append(at[t.place[p.node[u]]], u)
		}
	}
	for v := range p.n {
		if v > 0 {
			to := int(t.place[p.node[v]])
			for _, from := range t.senders[to] {
				i := int(from)*t.places + to
				delay, cost := t.delay[i], scale*t.price[i]
				for _, u := range at[from] {
					if u != v {
						p.from, p.to = append(p.from, u), append(p.to, v)
						p.hop = append(p.hop, delay+g.nodes[p.node[u]].ProcMs)
						p.cost = append(p.cost, cost)
					}
				}
			}
		}
		p.inStart[v+1] = int32(len(p.from))
	}
}

// explicitArcs lists the arcs of an explicit graph that have room.
func (p *problem) explicitArcs(g *Graph, k *Track, l *loads, local []int32) {
	p.inStart = make([]int32, p.n+1)
	scale := p.rate * gbPerMbpsHour
	for v := range p.n {
		if v > 0 {
			gv := p.node[v]
			for _, i := range g.inArcs[g.inStart[gv]:g.inStart[gv+1]] {
				a := &g.arcs[i]
				u := local[a.From]
				if u < 0 || p.slots[u] <= 0 || !l.arcFits(i, k.RateMbps) {
					continue
				}
				p.from, p.to = append(p.from, u), append(p.to, v)
				p.hop = append(p.hop, a.DelayMs+g.nodes[a.From].ProcMs)
				p.cost = append(p.cost, scale*a.PricePerGB)
			}
		}
		p.inStart[v+1] = int32(len(p.from))
	}
}

// charge adds to the cost of every arc a surcharge by its tail, and restores
// the order by cost.
func (p *problem) charge(surcharge []float64) {
	for i, u := range p.from {
		p.cost[i] += surcharge[p.node[u]]
	}
	index := make([]int32, len(p.from))
	for i := range index {
		index[i] = int32(i)
	}
	for v := range p.n {
		row := index[p.inStart[v]:p.inStart[v+1]]
		slices.SortStableFunc(row, func(a, b int32) int { return cmp.Compare(p.cost[a], p.cost[b]) })
	}
	from, hop, cost := slices.Clone(p.from), slices.Clone(p.hop), slices.Clone(p.cost)
	for i, j := range index {
		p.from[i], p.hop[i], p.cost[i] = from[j], hop[j], cost[j]
	}
	p.finish()
}

func (p *problem) indexTails() {
	p.outStart = make([]int32, p.n+1)
	for _, u := range p.from {
		p.outStart[u+1]++
	}
	for u := range p.n {
		p.outStart[u+1] += p.outStart[u]
	}
	p.out = make([]int32, len(p.from))
	next := append([]int32(nil), p.outStart[:p.n]...)
	for i, u := range p.from {
		p.out[next[u]] = int32(i)
		next[u]++
	}
}

// findLeast computes the least delay to every node, which no plan can beat.
func (p *problem) findLeast() {
	p.least = make([]float64, p.n)
	for v := range p.least {
		p.least[v] = math.Inf(1)
	}
	p.least[0] = 0
	if p.maxDepth < p.n-1 {
		p.leastByDepth()
		return
	}
	h := newHeap(int(p.n))
	h.push(0, 0)
	for h.len() > 0 {
		u, d := h.pop()
		for _, i := range p.out[p.outStart[u]:p.outStart[u+1]] {
			if v := p.to[i]; d+p.hop[i] < p.least[v] {
				p.least[v] = d + p.hop[i]
				h.push(v, p.least[v])
			}
		}
	}
}

// leastByDepth is Bellman and Ford's recurrence: round by round, paths of one
// more arc, so that the limit on depth holds.
func (p *problem) leastByDepth() {
	before := make([]float64, p.n)
	for range p.maxDepth {
		copy(before, p.least)
		changed := false
		for i, u := range p.from {
			if d := before[u] + p.hop[i]; d < p.least[p.to[i]] {
				p.least[p.to[i]] = d
				changed = true
			}
		}
		if !changed {
			return
		}
	}
}

// reachable is the number of viewers that the least delays leave in bound.
func (p *problem) reachable() int64 {
	n := p.local.InBound
	for _, t := range p.terminals {
		if p.least[t] <= p.bound[t]+boundSlackMs {
			n += p.viewers[t]
		}
	}
	return n
}
