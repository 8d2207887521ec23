package routing

import (
	"math"
	"slices"
)

// newSlotBound makes the relaxation of a tree's problem, nil if it cannot be had
// at a resolution that tells time.
func newSlotBound(g *Graph, k *Track, l *loads, t *treeState, goal slotGoal) *slotBound {
	p := t.p
	b := &slotBound{goal: goal}
	b.addSpots(g, t)
	b.addKinds(g, k, l, t)
	horizon, shortest := 0.0, math.Inf(1)
	for _, v := range p.terminals {
		if math.IsInf(p.least[v], 1) {
			continue
		}
		x := p.bound[v]
		if goal != goalInBound {
			x = lateHorizon * max(x, p.least[v])
		}
		horizon = max(horizon, x)
	}
	hops := b.arcs(g, t)
	for _, h := range hops {
		shortest = min(shortest, h)
	}
	if horizon <= 0 || shortest <= 0 || len(b.to) == 0 {
		return nil
	}
	// No hop may vanish: a chain of them would have no end.
	b.quantum = shortest * (1 - 1e-9)
	fine := horizon / slotLayers
	if len(b.to)*slotLayers > maxSlotCells/6 {
		fine *= 2
	}
	if b.quantum > fine {
		b.quantum /= math.Ceil(b.quantum / fine)
	}
	layers := horizon/b.quantum + 2
	if layers > maxSlotLayers || layers*float64(len(b.to)) > maxSlotCells {
		return nil
	}
	b.layers = int32(layers)
	b.hop = make([]int32, len(hops))
	for i, h := range hops {
		b.hop[i] = int32(math.Floor(h/b.quantum + 1e-9))
	}
	b.setGoal(t)
	cells := int(b.spots) * int(b.layers)
	b.value, b.gain, b.mass = make([]float64, cells), make([]float64, cells), make([]float64, cells)
	b.fed = make([]float64, cells)
	b.next, b.bestKind = make([]int32, cells), make([]int32, cells)
	for i := range b.gain {
		b.gain[i] = math.Inf(-1)
	}
	return b
}

// addSpots numbers the places from which, and the processing with which, nodes of
// the problem send. Spot numbers are kept in p's order.
func (b *slotBound) addSpots(g *Graph, t *treeState) {
	p := t.p
	type where struct {
		place int32
		proc  float64
	}
	number := map[where]int32{}
	b.spotOf = make([]int32, p.n)
	for v := range p.n {
		w := where{p.place[v], g.nodes[p.node[v]].ProcMs}
		i, ok := number[w]
		if !ok {
			i = b.spots
			number[w] = i
			b.spots++
			b.nodeOf = append(b.nodeOf, v)
		}
		b.spotOf[v] = i
	}
	b.source = b.spotOf[0]
	b.kindsOf = make([][]int32, b.spots)
}

// addKinds lists terminals one by one and relays by class, as many as there are:
// the problem itself may see but a few of them.
func (b *slotBound) addKinds(g *Graph, k *Track, l *loads, t *treeState) {
	p := t.p
	most := float64(len(p.terminals)) // of use to anybody: each child leads to a terminal
	b.fan = min(float64(p.slots[0]), most)
	taken := make([]bool, g.Len())
	taken[k.Source] = true
	for _, v := range p.terminals {
		taken[p.node[v]] = true
		b.add(slotKind{spot: b.spotOf[v], slots: min(float64(p.slots[v]), most), copies: 1, viewers: p.viewers[v], bound: p.bound[v], node: v})
	}
	for _, e := range p.unusable {
		taken[e.Node] = true
	}
	seen := make([]bool, len(g.classes))
	for v := int32(1); v < p.n; v++ {
		class := g.class[p.node[v]]
		if p.viewers[v] > 0 || seen[class] {
			continue
		}
		seen[class] = true
		x := slotKind{spot: b.spotOf[v], node: v}
		for _, u := range g.classes[class] {
			if s := l.slots(int(u), k.RateMbps, 0); s > 0 && !taken[u] {
				x.copies++
				x.slots = max(x.slots, min(float64(s), most))
			}
		}
		b.add(x)
	}
}

func (b *slotBound) add(k slotKind) {
	b.kindsOf[k.spot] = append(b.kindsOf[k.spot], int32(len(b.kinds)))
	b.kinds = append(b.kinds, k)
}

// arcs lists the arcs between spots and returns their lengths.
func (b *slotBound) arcs(g *Graph, t *treeState) (hops []float64) {
	p := t.p
	type arc struct {
		from, to int32
		hop      float64
	}
	var all []arc
	if g.sites != nil {
		for i := range b.spots {
			for j := range b.spots {
				u, v := p.node[b.nodeOf[i]], p.node[b.nodeOf[j]]
				at := int(g.sites.place[u])*g.sites.places + int(g.sites.place[v])
				all = append(all, arc{i, j, g.sites.delay[at] + g.nodes[u].ProcMs})
			}
		}
	} else {
		for i, u := range p.from {
			all = append(all, arc{b.spotOf[u], b.spotOf[p.to[i]], p.hop[i]})
		}
		slices.SortStableFunc(all, func(x, y arc) int { return int(x.from - y.from) })
	}
	b.start = make([]int32, b.spots+1)
	for _, a := range all {
		b.start[a.from+1]++
		b.to = append(b.to, a.to)
		hops = append(hops, a.hop)
	}
	for i := range b.spots {
		b.start[i+1] += b.start[i]
	}
	return hops
}

// setGoal sets what each terminal must and may, and the prices to begin with.
func (b *slotBound) setGoal(t *treeState) {
	p := t.p
	layer := func(ms float64) int32 {
		return int32(min(math.Floor((ms+boundSlackMs)/b.quantum+1e-9), float64(b.layers-1)))
	}
	b.findFirst()
	kept := b.kindsOf
	for i := range kept {
		kept[i] = slices.DeleteFunc(kept[i], func(v int32) bool {
			return b.goal != goalInBound && b.kinds[v].viewers > 0 && t.c[b.kinds[v].node].status != rooted
		})
	}
	for i := range b.kinds {
		k := &b.kinds[i]
		if k.viewers == 0 {
			continue
		}
		k.floor = p.least[k.node]
		b.largest = max(b.largest, float64(k.viewers))
		inBound := t.c[k.node].delay <= k.bound+boundSlackMs
		switch {
		case b.goal == goalInBound:
			k.last = layer(k.bound)
			k.top = float64(k.viewers)
			k.base = float64(k.viewers)
			if p.least[k.node] > k.bound+boundSlackMs {
				k.base, k.last = 0, -1
			}
		case t.c[k.node].status != rooted:
			k.copies = 0
		case b.goal == goalLate && !inBound:
			k.must, k.last = true, b.layers-1
			w := float64(k.viewers)
			k.base = -w * max(0, p.least[k.node]-k.bound-boundSlackMs)
			k.top = k.base
			k.least = -w * max(0, float64(b.layers-1)*b.quantum-k.bound)
		default:
			k.must, k.last, k.least = true, layer(k.bound), math.Inf(-1)
		}
	}
}

// findFirst computes the first layer in which each spot can be heard: a little
// before the least delay, since every hop was rounded down.
func (b *slotBound) findFirst() {
	b.lo = make([]int32, b.spots)
	for i := range b.lo {
		b.lo[i] = math.MaxInt32
	}
	h := newHeap(int(b.spots))
	b.lo[b.source] = 0
	h.push(b.source, 0)
	for h.len() > 0 {
		u, _ := h.pop()
		for a := b.start[u]; a < b.start[u+1]; a++ {
			if v, x := b.to[a], b.lo[u]+b.hop[a]; x < b.lo[v] {
				b.lo[v] = x
				h.push(v, float64(x))
			}
		}
	}
}
