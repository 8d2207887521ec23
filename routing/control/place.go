package control

// maxChain is the most links that one search adds to a tree.
const maxChain = 5

// place is a way to hang a node into the tree: over its links, the first of which
// starts in the tree, and all others at relays that are outside of it.
type place struct {
	arcs   [maxChain]int32
	n      int // links; 0: there is no place
	delay  float64
	price  float64 // USD per GB, of all links
	inTime bool
	resort bool // over a link that was lost not long ago, or for want of anything else
}

func (p *place) ok() bool { return p.n > 0 }

// parent of the node to be hung.
func (p *place) parent(n *network) int32 { return n.arcs[p.arcs[p.n-1]].from }

// better prefers what is steady, then in time, then cheap, then fast; of late
// places the fast ones.
func (p *place) better(o *place) bool {
	const priceTie = 1e-12
	switch {
	case !o.ok():
		return true
	case p.resort != o.resort:
		return o.resort
	case p.inTime != o.inTime:
		return p.inTime
	case p.inTime && (p.price < o.price-priceTie || p.price > o.price+priceTie):
		return p.price < o.price
	case p.delay != o.delay:
		return p.delay < o.delay
	}
	return p.price < o.price
}

// finder holds the memory of searches.
type finder struct {
	dist []float64
	via  []int32 // link towards the node that is searched for
	hops []int32
	heap heap
}

// best finds the best place for v, which is in no tree or root of a floating
// subtree, to be heard there by limit.
func (t *tree) best(f *finder, v int32, limit float64) place {
	p := t.near(v, limit)
	if p.ok() && p.inTime && !p.resort {
		return p
	}
	if q := t.fastest(f, v, limit, nil); q.ok() && q.better(&p) {
		return q
	}
	return p
}

// near looks at all parents in the tree, and at all over one relay outside.
func (t *tree) near(v int32, limit float64) (best place) {
	n := t.net
	deepest := t.deepest - t.height(v) // that v may be
	for i := n.inStart[v]; i < n.inStart[v+1]; i++ {
		u := n.arcs[i].from
		switch {
		case t.rooted(u):
			ok, resort := t.usable(u, v, i)
			if !ok || t.c[u].depth+1 > deepest {
				continue
			}
			p := place{n: 1, delay: t.c[u].delay + n.hop(i), price: n.arcs[i].price, resort: resort}
			p.arcs[0] = i
			p.inTime = p.delay <= limit
			if p.better(&best) {
				best = p
			}
		case !t.c[u].in:
			if ok, resort := t.usable(u, v, i); ok {
				t.through(v, i, resort, limit, deepest, &best)
			}
		}
	}
	return best
}

// through looks at the parents of the relay at the tail of link i into v.
func (t *tree) through(v, i int32, resort bool, limit float64, deepest int32, best *place) {
	n := t.net
	x := n.arcs[i].from
	if best.ok() && best.inTime && !best.resort && n.arcs[i].price > best.price {
		return // the last link is dearer already
	}
	for j := n.inStart[x]; j < n.inStart[x+1]; j++ {
		u := n.arcs[j].from
		if !t.rooted(u) || t.c[u].depth+2 > deepest {
			continue
		}
		ok, again := t.usable(u, x, j)
		if !ok || t.careful && t.tangled(u, v) {
			continue
		}
		p := place{n: 2, delay: t.c[u].delay + n.hop(j) + n.hop(i), price: n.arcs[j].price + n.arcs[i].price, resort: resort || again}
		p.arcs[0], p.arcs[1] = j, i
		p.inTime = p.delay <= limit
		if p.better(best) {
			*best = p
		}
	}
}

// fastest finds the place at which v is heard first, over at most maxChain links
// and steady ones alone, if there is one. may, if not nil, says which nodes the
// path may use, tree or not.
func (t *tree) fastest(f *finder, v int32, limit float64, may func(u, next int32) bool) place {
	for _, resort := range []bool{false, true} {
		if p := t.shortest(f, v, resort, may); p.ok() {
			p.inTime = p.delay <= limit
			return p
		}
	}
	return place{}
}

func (t *tree) shortest(f *finder, v int32, resorts bool, may func(u, next int32) bool) (best place) {
	n := t.net
	f.prepare(len(t.c))
	f.dist[v], f.via[v], f.hops[v] = 0, -1, 0
	f.heap.push(v, 0)
	start := int32(-1) // the link out of the tree
	deepest := t.deepest - t.height(v)
	total := far
	for f.heap.len() > 0 {
		x, d := f.heap.pop()
		if d > f.dist[x] {
			continue
		}
		if d >= total {
			break
		}
		if f.hops[x] >= maxChain {
			continue
		}
		for i := n.inStart[x]; i < n.inStart[x+1]; i++ {
			u := n.arcs[i].from
			to := d + n.hop(i)
			inTree := t.rooted(u)
			if u == v || !inTree && (t.c[u].in || to >= f.dist[u]) || inTree && t.c[u].delay+to >= total {
				continue
			}
			ok, resort := t.usable(u, x, i)
			if !ok || resort && !resorts || may != nil && !may(u, x) {
				continue
			}
			if inTree && (t.c[u].depth+f.hops[x]+1 > deepest || t.careful && t.tangled(u, v)) {
				continue
			}
			if inTree {
				total, start = t.c[u].delay+to, i
				best = place{delay: total, resort: resorts}
				continue
			}
			f.dist[u], f.via[u], f.hops[u] = to, i, f.hops[x]+1
			f.heap.push(u, to)
		}
	}
	for i := start; i >= 0; i = f.via[n.arcs[i].to] {
		best.arcs[best.n] = i
		best.n++
		best.price += n.arcs[i].price
	}
	return best
}

func (f *finder) prepare(nodes int) {
	if len(f.dist) != nodes {
		f.dist, f.via, f.hops = make([]float64, nodes), make([]int32, nodes), make([]int32, nodes)
	}
	for i := range f.dist {
		f.dist[i] = far
	}
	f.heap.reset(nodes)
}

// hang applies a place. Relays on the way enter the tree, as standbys if that is
// what v is.
func (t *tree) hang(p *place, standby bool) {
	for _, i := range p.arcs[:p.n] {
		a := &t.net.arcs[i]
		if !t.c[a.to].in {
			t.c[a.to] = t.c[a.to].fresh(standby)
		}
		t.link(a.to, a.from, i)
	}
}

// fresh is a cell that enters the tree.
func (c cell) fresh(standby bool) cell {
	x := newCell()
	x.home, x.actual, x.viewers, x.bound, x.standby = c.home, c.actual, c.viewers, c.bound, standby
	x.leaving, x.held, x.room = c.leaving, c.held, c.room
	return x
}
