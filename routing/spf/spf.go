// Package spf finds cheapest paths on the graph of links. It is pure.
package spf

import (
	"container/heap"
	"slices"
	"time"
)

// Graph is a set of nodes and directed edges with a cost. The zero value is
// empty. It must not change while it is searched.
type Graph struct{ edges map[string][]edge }

type edge struct {
	to   string
	cost time.Duration
}

// Out says which edges leave a node, of which the caller hands over each once:
// each calls its argument for all of them. It takes the place of as many calls of
// Add, and of the search that each of those makes.
func (g *Graph) Out(from string, n int, each func(edge func(to string, cost time.Duration))) {
	if g.edges == nil {
		g.edges = map[string][]edge{}
	}
	out := make([]edge, 0, n)
	each(func(to string, cost time.Duration) { out = append(out, edge{to: to, cost: cost}) })
	g.edges[from] = out
}

// Add adds an edge, or lowers the cost of the one that is there.
func (g *Graph) Add(from, to string, cost time.Duration) {
	if g.edges == nil {
		g.edges = map[string][]edge{}
	}
	out := g.edges[from]
	if i := slices.IndexFunc(out, func(e edge) bool { return e.to == to }); i >= 0 {
		out[i].cost = min(out[i].cost, cost)
		return
	}
	g.edges[from] = append(out, edge{to: to, cost: cost})
}

// Tree holds the cheapest paths from one node.
type Tree struct {
	src   string
	nodes map[string]*vertex
}

type vertex struct {
	id     string
	parent *vertex
	cost   time.Duration
	hops   int
	index  int // in the heap, -1 when settled
}

// From returns the cheapest paths from src that do not pass through avoid (which
// may be empty). Of equal costs the one with fewer hops wins, then the parent
// whose id sorts first: every node of a cluster finds the same paths.
func (g *Graph) From(src, avoid string) Tree {
	t := Tree{src: src, nodes: map[string]*vertex{}}
	if src == avoid {
		return t
	}
	root := &vertex{id: src}
	t.nodes[src] = root
	frontier := queue{root}
	for len(frontier) > 0 {
		v := heap.Pop(&frontier).(*vertex)
		v.index = -1
		for _, e := range g.edges[v.id] {
			if e.to == avoid {
				continue
			}
			known := t.nodes[e.to]
			if known == nil { // most edges lead to who is known: only here is there something to allocate
				known = &vertex{id: e.to, parent: v, cost: v.cost + max(e.cost, 0), hops: v.hops + 1}
				t.nodes[e.to] = known
				heap.Push(&frontier, known)
				continue
			}
			next := vertex{id: e.to, parent: v, cost: v.cost + max(e.cost, 0), hops: v.hops + 1, index: known.index}
			if known.index >= 0 && next.before(known) {
				*known = next
				heap.Fix(&frontier, known.index)
			}
		}
	}
	return t
}

// Cost returns the cost of the path to dst, false if there is none.
func (t Tree) Cost(dst string) (time.Duration, bool) {
	v := t.nodes[dst]
	if v == nil {
		return 0, false
	}
	return v.cost, true
}

// Path returns the nodes from the source to dst, both included, nil if there is
// no path.
func (t Tree) Path(dst string) []string {
	v := t.nodes[dst]
	if v == nil {
		return nil
	}
	path := make([]string, v.hops+1)
	for ; v != nil; v = v.parent {
		path[v.hops] = v.id
	}
	return path
}

func (v *vertex) before(w *vertex) bool {
	switch {
	case v.cost != w.cost:
		return v.cost < w.cost
	case v.hops != w.hops:
		return v.hops < w.hops
	case v.parent != nil && w.parent != nil && v.parent.id != w.parent.id:
		return v.parent.id < w.parent.id
	default:
		return v.id < w.id
	}
}

type queue []*vertex

func (q *queue) Len() int           { return len(*q) }
func (q *queue) Less(i, j int) bool { return (*q)[i].before((*q)[j]) }
func (q *queue) Swap(i, j int) {
	v := *q
	v[i], v[j] = v[j], v[i]
	v[i].index, v[j].index = i, j
}

func (q *queue) Push(x any) {
	v := x.(*vertex)
	v.index = len(*q)
	*q = append(*q, v)
}

func (q *queue) Pop() any {
	v := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return v
}
