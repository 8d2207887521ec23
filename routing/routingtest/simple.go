package routingtest

import (
	"slices"

	"trellis/routing"
)

// Simple is the planner to beat: it attaches the terminal whose best place is
// best (in bound, then cheap, then near) until none is left, and then re-parents
// single nodes and inserts single relays until nothing helps. It sees the whole
// objective and keeps every limit of a single track, but never moves two things
// at once.
func Simple(d *routing.Demand) (routing.Tree, routing.Score) {
	s := newSimple(d)
	for s.attachBest() {
	}
	s.score = s.evaluate()
	for again := true; again; {
		again = s.reparent()
		again = s.insertRelays() || again
	}
	return s.tree, s.k.Score(d.Graph, s.tree)
}

type simple struct {
	d       *routing.Demand
	k       *routing.Track
	tree    routing.Tree
	kids    [][]int
	room    []int // children that a node may have; negative if it cannot be used
	viewers []int64
	bound   []float64
	depth   int // limit, in arcs
	score   routing.Score
}

func newSimple(d *routing.Demand) *simple {
	n := d.Graph.Len()
	s := &simple{
		d: d, k: &d.Tracks[0], tree: routing.NewTree(n), kids: make([][]int, n),
		viewers: make([]int64, n), bound: make([]float64, n), depth: d.Tracks[0].MaxDepth,
	}
	if s.depth == 0 {
		s.depth = n
	}
	for _, t := range s.k.Terminals {
		s.viewers[t.Node] = t.Viewers
		s.bound[t.Node] = s.k.BoundMs
		if t.BoundMs > 0 {
			s.bound[t.Node] = t.BoundMs
		}
	}
	for v := range n {
		node := d.Graph.Node(v)
		room := node.MaxChildren
		if room < 0 {
			room = n
		}
		if node.EgressMbps > 0 {
			left := node.EgressMbps/s.k.RateMbps - float64(s.viewers[v])
			if left < 0 {
				room = -1
			} else {
				room = min(room, int(left))
			}
		}
		s.room = append(s.room, room)
	}
	return s
}

func (s *simple) inTree(v int) bool { return v == s.k.Source || s.tree.Parent[v] != routing.None }

// arc returns delay and price of u -> v, if the track fits on it.
func (s *simple) arc(u, v int) (delay, price float64, ok bool) {
	a, ok := s.d.Graph.Arc(u, v)
	if !ok || a.CapMbps > 0 && s.k.RateMbps > a.CapMbps {
		return 0, 0, false
	}
	return s.d.Graph.Node(u).ProcMs + a.DelayMs, a.PricePerGB, true
}

func (s *simple) link(u, v int) {
	s.tree.Parent[v] = int32(u)
	s.kids[u] = append(s.kids[u], v)
}

func (s *simple) unlink(v int) (u int) {
	u = int(s.tree.Parent[v])
	for i, k := range s.kids[u] {
		if k == v {
			s.kids[u] = append(s.kids[u][:i], s.kids[u][i+1:]...)
			break
		}
	}
	s.tree.Parent[v] = routing.None
	return u
}

// evaluate sums the objective; too deep a tree is worth less than any other.
func (s *simple) evaluate() routing.Score {
	var out routing.Score
	if !s.sum(s.k.Source, 0, 0, &out) {
		return routing.Score{InBound: -1}
	}
	return out
}

func (s *simple) sum(v, depth int, delay float64, out *routing.Score) bool {
	if depth > s.depth {
		return false
	}
	if w := s.viewers[v]; w > 0 {
		out.Served += w
		out.DelayMs += float64(w) * delay
		if delay <= s.bound[v]+1e-9 {
			out.InBound += w
		} else {
			out.LateMs += float64(w) * (delay - s.bound[v])
		}
	}
	for _, c := range s.kids[v] {
		hop, price, _ := s.arc(v, c)
		out.CostUSD += price * s.k.RateMbps * 0.45
		if !s.sum(c, depth+1, delay+hop, out) {
			return false
		}
	}
	return true
}

// attachBest attaches the terminal whose best place is best.
func (s *simple) attachBest() bool {
	delay := s.tree.Delays(s.d.Graph, s.k.Source)
	at, parent := -1, -1
	var best [3]float64
	for _, t := range s.k.Terminals {
		if s.inTree(t.Node) || t.Viewers == 0 || s.room[t.Node] < 0 {
			continue
		}
		for u := range delay {
			if !s.inTree(u) || len(s.kids[u]) >= s.room[u] || s.depthOf(u) >= s.depth {
				continue
			}
			hop, price, ok := s.arc(u, t.Node)
			if !ok {
				continue
			}
			x := delay[u] + hop
			key := [3]float64{max(0, x-s.bound[t.Node]), price, x}
			if at < 0 || less(key, best) {
				at, parent, best = t.Node, u, key
			}
		}
	}
	if at >= 0 {
		s.link(parent, at)
	}
	return at >= 0
}

func less(a, b [3]float64) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

func (s *simple) depthOf(v int) int {
	n := 0
	for ; v != s.k.Source; v = int(s.tree.Parent[v]) {
		n++
	}
	return n
}

// below reports whether u hangs below v, or is v.
func (s *simple) below(u, v int) bool {
	for ; u != s.k.Source; u = int(s.tree.Parent[u]) {
		if u == v {
			return true
		}
	}
	return u == v
}

// takeOut unlinks v and the relays that are of no use without it, and returns
// the arcs that went, lowest first.
func (s *simple) takeOut(v int) (arcs [][2]int) {
	for {
		u := s.unlink(v)
		arcs = append(arcs, [2]int{u, v})
		if u == s.k.Source || len(s.kids[u]) > 0 || s.viewers[u] > 0 {
			return arcs
		}
		v = u
	}
}

func (s *simple) putBack(arcs [][2]int) {
	for _, a := range slices.Backward(arcs) {
		s.link(a[0], a[1])
	}
}

// better keeps the tree if it got better.
func (s *simple) better() bool {
	if x := s.evaluate(); x.Compare(s.score) > 0 {
		s.score = x
		return true
	}
	return false
}

// reparent makes the first moves that help, over all nodes once.
func (s *simple) reparent() bool {
	moved := false
	for v := range s.tree.Parent {
		if s.tree.Parent[v] == routing.None || v == s.k.Source {
			continue
		}
		for u := range s.tree.Parent {
			if !s.inTree(u) || len(s.kids[u]) >= s.room[u] || u == int(s.tree.Parent[v]) || s.below(u, v) {
				continue
			}
			if _, _, ok := s.arc(u, v); !ok {
				continue
			}
			undo := s.takeOut(v)
			if !s.inTree(u) { // it was there for v alone
				s.putBack(undo)
				continue
			}
			s.link(u, v)
			if s.better() {
				moved = true
				continue
			}
			s.unlink(v)
			s.putBack(undo)
		}
	}
	return moved
}

// insertRelays puts an unused relay between a node and its parent where it helps.
func (s *simple) insertRelays() bool {
	moved := false
	for v := range s.tree.Parent {
		if s.tree.Parent[v] == routing.None || v == s.k.Source {
			continue
		}
		for r := range s.tree.Parent {
			if s.inTree(r) || s.room[r] < 1 || s.viewers[r] > 0 {
				continue
			}
			u := int(s.tree.Parent[v])
			_, _, in := s.arc(u, r)
			_, _, out := s.arc(r, v)
			if !in || !out {
				continue
			}
			s.unlink(v)
			s.link(u, r)
			s.link(r, v)
			if s.better() {
				moved = true
				continue
			}
			s.unlink(v)
			s.unlink(r)
			s.link(u, v)
		}
	}
	return moved
}
