package routing

// status says how a node takes part in a tree under construction.
type status int32

const (
	outside  status = iota // in no tree
	rooted                 // connected to the source
	floating               // in a subtree that was cut off and waits for a parent
)

// cell is what a tree knows of one node. All cells lie in one slice, so that
// trying a move and taking it back is one copy of a few kilobytes.
type cell struct {
	arc                  int32 // by which the node hangs; -1 for none
	parent               int32 // -1 for none
	firstKid, next, prev int32 // siblings are a list; -1 at its ends
	kids                 int32
	depth                int32
	status               status
	delay                float64 // from the source, or from the root of the floating subtree
	weight               int64   // viewers in the subtree
}

// treeState is a tree under construction: one part rooted at the source, and
// any number of floating subtrees.
type treeState struct {
	p    *problem
	c    []cell
	size int32 // nodes that are not outside, the source included
}

func newTreeState(p *problem) *treeState {
	t := &treeState{p: p, c: make([]cell, p.n)}
	t.reset()
	return t
}

// reset leaves nothing but the source.
func (t *treeState) reset() {
	for v := range t.c {
		t.c[v] = cell{arc: -1, parent: -1, firstKid: -1, next: -1, prev: -1}
	}
	t.c[0].status = rooted
	t.size = 1
}

// copyFrom makes t the same as o.
func (t *treeState) copyFrom(o *treeState) {
	copy(t.c, o.c)
	t.size = o.size
}

// link hangs v, outside or the root of a floating subtree, below the tail of
// arc i. If the tail is rooted, so is the whole subtree of v afterwards.
func (t *treeState) link(v, i int32) {
	u := t.p.from[i]
	c, up := &t.c[v], &t.c[u]
	if c.status == outside {
		t.size++
		c.weight = t.p.viewers[v]
	}
	c.arc, c.parent = i, u
	c.next, c.prev = up.firstKid, -1
	if up.firstKid >= 0 {
		t.c[up.firstKid].prev = v
	}
	up.firstKid = v
	up.kids++
	for a := u; a >= 0; a = t.c[a].parent {
		t.c[a].weight += c.weight
	}
	t.settle(v)
}

// settle brings depth, delay and status of v's subtree in line with its parent.
// Delays are summed from the top every time, never shifted, so that no rounding
// builds up.
func (t *treeState) settle(v int32) {
	c := &t.c[v]
	if c.parent >= 0 {
		up := &t.c[c.parent]
		c.depth, c.delay, c.status = up.depth+1, up.delay+t.p.hop[c.arc], up.status
	}
	for k := c.firstKid; k >= 0; k = t.c[k].next {
		t.settle(k)
	}
}

// cut takes v from its parent; its subtree floats. Relays that are left without
// children go as well.
func (t *treeState) cut(v int32) {
	u := t.unlink(v)
	c := &t.c[v]
	c.delay, c.depth, c.status = 0, 0, floating
	t.settle(v)
	t.prune(u)
}

// unlink takes v out of its parent's list of children and returns the parent.
func (t *treeState) unlink(v int32) int32 {
	c := &t.c[v]
	u := c.parent
	if c.prev >= 0 {
		t.c[c.prev].next = c.next
	} else {
		t.c[u].firstKid = c.next
	}
	if c.next >= 0 {
		t.c[c.next].prev = c.prev
	}
	t.c[u].kids--
	for a := u; a >= 0; a = t.c[a].parent {
		t.c[a].weight -= c.weight
	}
	c.arc, c.parent, c.next, c.prev = -1, -1, -1, -1
	return u
}

// prune removes v, and then its ancestors, as long as they are of no use: no
// children and no viewers.
func (t *treeState) prune(v int32) {
	for v > 0 && t.c[v].kids == 0 && t.p.viewers[v] == 0 {
		u := int32(-1)
		if t.c[v].parent >= 0 {
			u = t.unlink(v)
		}
		t.c[v].status = outside
		t.size--
		if u < 0 {
			return
		}
		v = u
	}
}

// remove takes v out of the tree altogether: its children float, one subtree
// each.
func (t *treeState) remove(v int32, floats []int32) []int32 {
	for k := t.c[v].firstKid; k >= 0; {
		next := t.c[k].next
		t.unlink(k)
		c := &t.c[k]
		c.delay, c.depth, c.status = 0, 0, floating
		t.settle(k)
		floats = append(floats, k)
		k = next
	}
	u := int32(-1)
	if t.c[v].parent >= 0 {
		u = t.unlink(v)
	}
	t.c[v].status = outside
	t.c[v].weight = 0
	t.size--
	if u >= 0 {
		t.prune(u)
	}
	return floats
}

// height is the number of arcs from v to the deepest node below it.
func (t *treeState) height(v int32) int32 {
	h := int32(0)
	for k := t.c[v].firstKid; k >= 0; k = t.c[k].next {
		h = max(h, t.height(k)+1)
	}
	return h
}

// score computes what the rooted part is worth, from scratch.
func (t *treeState) score() Score {
	s := t.p.local
	t.scoreBelow(0, &s)
	return s
}

func (t *treeState) scoreBelow(v int32, s *Score) {
	for k := t.c[v].firstKid; k >= 0; k = t.c[k].next {
		c := &t.c[k]
		s.CostUSD += t.p.cost[c.arc]
		if w := t.p.viewers[k]; w > 0 {
			s.Served += w
			s.DelayMs += float64(w) * c.delay
			if late := c.delay - t.p.bound[k]; late <= boundSlackMs {
				s.InBound += w
			} else {
				s.LateMs += float64(w) * late
			}
		}
		t.scoreBelow(k, s)
	}
}

// limit returns the latest arrival at v, the root of a subtree, with which every
// terminal below it still meets its deadline.
func (t *treeState) limit(v int32) float64 {
	return t.limitBelow(v, t.c[v].delay)
}

func (t *treeState) limitBelow(v int32, base float64) float64 {
	limit := unlimitedDelay
	if t.p.viewers[v] > 0 {
		limit = t.p.deadline[v] - (t.c[v].delay - base)
	}
	for k := t.c[v].firstKid; k >= 0; k = t.c[k].next {
		limit = min(limit, t.limitBelow(k, base))
	}
	return limit
}

// unlimitedDelay stands for no limit on delay.
const unlimitedDelay = 1e300

// tree returns the rooted part as a tree over the graph.
func (t *treeState) tree(nodes int) Tree {
	out := NewTree(nodes)
	for v := range t.c {
		if c := &t.c[v]; c.status == rooted && c.parent >= 0 {
			out.Parent[t.p.node[v]] = t.p.node[c.parent]
		}
	}
	return out
}

// load rebuilds a tree over the graph, as far as nodes and arcs still exist and
// have room. What does not fit is left out.
func (t *treeState) load(source int, old Tree, local []int32) {
	old.walk(source, func(gv int) {
		v := local[gv]
		if gv == source || v < 0 || old.Parent[gv] == None {
			return
		}
		u := local[old.Parent[gv]]
		if u < 0 || t.c[u].status != rooted || t.c[u].kids >= t.p.slots[u] || t.c[u].depth >= t.p.maxDepth {
			return
		}
		for i := t.p.inStart[v]; i < t.p.inStart[v+1]; i++ {
			if t.p.from[i] == u {
				t.link(v, i)
				return
			}
		}
	})
	for v := range t.p.n {
		if t.c[v].status == rooted {
			t.prune(v)
		}
	}
}

// detach makes v, outside so far, the root of a floating subtree of its own.
func (t *treeState) detach(v int32) {
	c := &t.c[v]
	*c = cell{arc: -1, parent: -1, firstKid: -1, next: -1, prev: -1, status: floating, weight: t.p.viewers[v]}
	t.size++
}
