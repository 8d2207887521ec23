package routing

import "slices"

// None marks a node without a parent in a [Tree].
const None = -1

// Tree is the parent of every node of the graph, [None] where there is none.
type Tree struct {
	Parent []int32
}

// NewTree returns a tree over n nodes with no arcs.
func NewTree(n int) Tree {
	t := Tree{Parent: make([]int32, n)}
	for i := range t.Parent {
		t.Parent[i] = None
	}
	return t
}

// Clone returns a copy that shares nothing.
func (t Tree) Clone() Tree { return Tree{Parent: append([]int32(nil), t.Parent...)} }

// Arcs is the number of arcs in the tree.
func (t Tree) Arcs() int {
	n := 0
	for _, p := range t.Parent {
		if p != None {
			n++
		}
	}
	return n
}

// TrackPlan is the decision for one track.
type TrackPlan struct {
	ID     string
	Tree   Tree
	Backup Tree // Parent is nil when there is no standby tree
}

// Plan is the decision for all tracks of a demand, in its order.
type Plan struct {
	Tracks []TrackPlan
}

// walk visits the tree from source downwards, parents before children, and
// reports false if some node with a parent was not reached. Children come in
// order of their index, so that sums come out the same every time.
func (t Tree) walk(source int, visit func(v int)) bool {
	kids := childRows(t)
	stack := []int32{int32(source)}
	reached := 0
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		visit(int(v))
		row := kids.of(int(v))
		reached += len(row)
		for _, kid := range slices.Backward(row) {
			if int(kid) != source { // a stray plan may have circles
				stack = append(stack, kid)
			}
		}
	}
	return reached == t.Arcs()
}

// rows is a list of children for every node, in one slice.
type rows struct{ start, item []int32 }

func (r rows) of(v int) []int32 { return r.item[r.start[v]:r.start[v+1]] }

func childRows(t Tree) rows {
	n := len(t.Parent)
	r := rows{start: make([]int32, n+1)}
	for _, p := range t.Parent {
		if p != None {
			r.start[p+1]++
		}
	}
	for v := range n {
		r.start[v+1] += r.start[v]
	}
	r.item = make([]int32, r.start[n])
	next := append([]int32(nil), r.start[:n]...)
	for v, p := range t.Parent {
		if p != None {
			r.item[next[p]] = int32(v)
			next[p]++
		}
	}
	return r
}

// Delays returns each node's delay from the source, -1 for nodes outside the
// tree.
func (t Tree) Delays(g *Graph, source int) []float64 {
	d := make([]float64, len(t.Parent))
	for i := range d {
		d[i] = -1
	}
	t.walk(source, func(v int) {
		if v == source {
			d[v] = 0
			return
		}
		p := int(t.Parent[v])
		a, _ := g.Arc(p, v)
		d[v] = d[p] + g.nodes[p].ProcMs + a.DelayMs
	})
	return d
}

// Score computes what tree t is worth for track k.
func (k *Track) Score(g *Graph, t Tree) Score {
	var s Score
	d := t.Delays(g, k.Source)
	for v, p := range t.Parent {
		if p != None {
			a, _ := g.Arc(int(p), v)
			s.CostUSD += k.RateMbps * gbPerMbpsHour * a.PricePerGB
		}
	}
	for _, e := range k.Terminals {
		if d[e.Node] < 0 {
			continue
		}
		w, bound := float64(e.Viewers), k.bound(e)
		s.Served += e.Viewers
		s.DelayMs += w * d[e.Node]
		if d[e.Node] <= bound+boundSlackMs {
			s.InBound += e.Viewers
		} else {
			s.LateMs += w * (d[e.Node] - bound)
		}
	}
	return s
}

// Score computes what the plan is worth.
func (p *Plan) Score(d *Demand) Score {
	var s Score
	for i := range d.Tracks {
		s = s.Add(d.Tracks[i].Score(d.Graph, p.Tracks[i].Tree))
	}
	return s
}
