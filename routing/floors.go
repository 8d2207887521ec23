package routing

import "math"

// floors are lower bounds, for the current tree, on when and for how much the
// track could be brought to a node that is outside: from any node of the tree,
// over relays that are outside. They are what keeps the path search from looking
// at paths that cannot be better than what it has: one pass of Dijkstra's
// algorithm for many searches.
type floors struct {
	p     *problem
	delay []float64
	cost  []float64
	heap  *heap
	stale int // nodes that entered the tree since
}

func newFloors(p *problem) *floors {
	return &floors{p: p, delay: make([]float64, p.n), cost: make([]float64, p.n), heap: newHeap(int(p.n))}
}

// compute sets the floors for tree t. With openOnly nodes without a free slot do
// not count as starts: the floors are higher then, but no longer bounds when a
// slot becomes free. It returns the steps it took.
func (f *floors) compute(t *treeState, openOnly bool) int64 {
	f.stale = 0
	return f.spread(t, openOnly, f.delay, f.p.hop, true) + f.spread(t, openOnly, f.cost, f.p.cost, false)
}

// computeDelays sets the floors of delay alone; those of cost say nothing.
func (f *floors) computeDelays(t *treeState, openOnly bool) int64 {
	f.stale = 0
	clear(f.cost)
	return f.spread(t, openOnly, f.delay, f.p.hop, true)
}

func (f *floors) spread(t *treeState, openOnly bool, out, length []float64, delays bool) int64 {
	p := f.p
	f.heap.clear()
	steps := int64(0)
	for v := range out {
		out[v] = math.Inf(1)
		c := &t.c[v]
		if c.status != rooted {
			continue
		}
		if openOnly && c.kids >= p.slots[v] {
			continue
		}
		out[v] = 0
		if delays {
			out[v] = c.delay
		}
		f.heap.push(int32(v), out[v])
	}
	for f.heap.len() > 0 {
		u, d := f.heap.pop()
		if t.c[u].status == floating {
			continue
		}
		row := p.out[p.outStart[u]:p.outStart[u+1]]
		steps += int64(len(row)) + labelSteps
		for _, a := range row {
			if v := p.to[a]; d+length[a] < out[v] && t.c[v].status != rooted {
				out[v] = d + length[a]
				f.heap.push(v, out[v])
			}
		}
	}
	return steps
}

// entered lowers the floors around node u, which is in the tree now.
func (f *floors) entered(t *treeState, u int32) int64 {
	f.stale++
	p := f.p
	f.delay[u], f.cost[u] = min(f.delay[u], t.c[u].delay), 0
	row := p.out[p.outStart[u]:p.outStart[u+1]]
	for _, a := range row {
		v := p.to[a]
		f.delay[v] = min(f.delay[v], t.c[u].delay+p.hop[a])
		f.cost[v] = min(f.cost[v], p.cost[a])
	}
	return int64(len(row))
}

// copyFrom makes f the same as o.
func (f *floors) copyFrom(o *floors) {
	copy(f.delay, o.delay)
	copy(f.cost, o.cost)
	f.stale = o.stale
}

// opened lowers the floors around nodes of the tree that have a free slot, and
// had none when the floors were computed.
func (f *floors) opened(t *treeState) int64 {
	steps := int64(0)
	for v := range t.c {
		c := &t.c[v]
		if c.status == rooted && c.kids < f.p.slots[v] && f.delay[v] > c.delay {
			steps += f.entered(t, int32(v))
		}
	}
	return steps
}
