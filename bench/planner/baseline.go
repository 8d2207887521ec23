package main

import (
	"trellis/routing"
)

// baseline is the planner to beat: nearest insertion, then re-parenting until
// nothing helps, one node at a time. It sees the whole objective and keeps every
// limit of a single track, but it never moves two things at once.
type baseline struct {
	d     *routing.Demand
	k     *routing.Track
	tree  routing.Tree
	kids  []int
	room  []int
	score routing.Score
}

func newBaseline(d *routing.Demand) *baseline {
	b := &baseline{d: d, k: &d.Tracks[0], tree: routing.NewTree(d.Graph.Len()), kids: make([]int, d.Graph.Len())}
	viewers := make([]int64, d.Graph.Len())
	for _, t := range b.k.Terminals {
		viewers[t.Node] = t.Viewers
	}
	for v := range d.Graph.Len() {
		n := d.Graph.Node(v)
		room := n.MaxChildren
		if room < 0 {
			room = d.Graph.Len()
		}
		if n.EgressMbps > 0 {
			room = min(room, int(n.EgressMbps/b.k.RateMbps)-int(viewers[v]))
		}
		b.room = append(b.room, room)
	}
	return b
}

// run plans, and returns the score.
func (b *baseline) run() routing.Score {
	for b.insertNearest() {
	}
	for b.reparent() {
	}
	return b.k.Score(b.d.Graph, b.tree)
}

// insertNearest attaches the outside terminal whose best place is best: in bound
// first, then cheap, then near.
func (b *baseline) insertNearest() bool {
	delay := b.tree.Delays(b.d.Graph, b.k.Source)
	at, parent := -1, -1
	var best [3]float64
	for _, t := range b.k.Terminals {
		if delay[t.Node] >= 0 || t.Viewers == 0 || b.room[t.Node] < 0 {
			continue
		}
		bound := b.k.BoundMs
		if t.BoundMs > 0 {
			bound = t.BoundMs
		}
		for u := range delay {
			if delay[u] < 0 || b.kids[u] >= b.room[u] {
				continue
			}
			a, ok := b.d.Graph.Arc(u, t.Node)
			if !ok {
				continue
			}
			x := delay[u] + b.d.Graph.Node(u).ProcMs + a.DelayMs
			key := [3]float64{max(0, x-bound), a.PricePerGB, x}
			if at < 0 || less(key, best) {
				at, parent, best = t.Node, u, key
			}
		}
	}
	if at < 0 {
		return false
	}
	b.tree.Parent[at] = int32(parent)
	b.kids[parent]++
	return true
}

func less(a, b [3]float64) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// reparent makes the first moves that help, over all nodes once.
func (b *baseline) reparent() bool {
	moved := false
	b.score = b.k.Score(b.d.Graph, b.tree)
	for v, old := range b.tree.Parent {
		if old == routing.None {
			continue
		}
		delay := b.tree.Delays(b.d.Graph, b.k.Source)
		for u := range delay {
			if delay[u] < 0 || u == int(old) || b.kids[u] >= b.room[u] || b.below(u, v) {
				continue
			}
			if _, ok := b.d.Graph.Arc(u, v); !ok {
				continue
			}
			b.tree.Parent[v] = int32(u)
			if s := b.k.Score(b.d.Graph, b.tree); s.Compare(b.score) > 0 {
				b.score = s
				b.kids[old]--
				b.kids[u]++
				old = int32(u)
				moved = true
			} else {
				b.tree.Parent[v] = old
			}
		}
	}
	return moved
}

// below reports whether u hangs below v.
func (b *baseline) below(u, v int) bool {
	for ; u != b.k.Source; u = int(b.tree.Parent[u]) {
		if u == v {
			return true
		}
	}
	return false
}
