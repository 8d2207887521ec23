package routing

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// gbPerMbpsHour is the volume of one Mbit/s during one hour: 3600 s of 10^6 bit
// are 0.45 GB of 10^9 byte. It turns a price per GB into a cost per hour.
const gbPerMbpsHour = 0.45

// Slack in comparisons with limits: the specification's for bounds, and its
// tenth for loads, so that a plan never leans on a checker's own slack.
const (
	boundSlackMs  = 1e-9
	loadSlackMbps = 1e-7
)

// ErrGraph is wrapped by every error about the shape of a graph.
var ErrGraph = errors.New("invalid graph")

// Node is a relay or an edge.
type Node struct {
	ID       string
	Provider string
	Region   string
	// ProcMs is added to the delay of whatever this node forwards.
	ProcMs float64
	// MaxChildren limits the children in one track: 0 forbids relaying, a
	// negative number means no limit.
	MaxChildren int
	// EgressMbps limits children and local viewers over all tracks; 0 is no limit.
	EgressMbps float64
}

// Arc is a directed link that a tree may use.
type Arc struct {
	From, To   int // indices of nodes
	DelayMs    float64
	PricePerGB float64
	CapMbps    float64 // over all tracks; 0 is no limit
}

// Graph is an immutable snapshot of nodes and arcs. It is safe for concurrent
// use.
type Graph struct {
	nodes []Node
	byID  map[string]int

	// Explicit form: arcs sorted by head in inArcs[inStart[v]:inStart[v+1]].
	arcs     []Arc
	inStart  []int32
	inArcs   []int32
	outStart []int32
	outArcs  []int32

	// Compact form: one arc between every two nodes, its delay and price decided
	// by the pair of (region, provider) places. Nil in explicit form.
	sites *siteTable

	// class groups nodes that no plan can tell apart when they have no viewers.
	class   []int32
	classes [][]int32 // members, in order of index
}

// NewGraph makes a graph in explicit form.
func NewGraph(nodes []Node, arcs []Arc) (*Graph, error) {
	g := &Graph{nodes: nodes, arcs: arcs}
	if err := g.indexNodes(); err != nil {
		return nil, err
	}
	n := len(nodes)
	seen := make(map[[2]int]bool, len(arcs))
	for i, a := range arcs {
		if a.From < 0 || a.From >= n || a.To < 0 || a.To >= n {
			return nil, fmt.Errorf("%w: arc %d has no such end", ErrGraph, i)
		}
		name := func() string { return nodes[a.From].ID + " -> " + nodes[a.To].ID }
		switch {
		case a.From == a.To:
			return nil, fmt.Errorf("%w: arc %s is a self loop", ErrGraph, name())
		case seen[[2]int{a.From, a.To}]:
			return nil, fmt.Errorf("%w: arc %s is parallel to an earlier one", ErrGraph, name())
		case !isLimit(a.DelayMs) || !isLimit(a.PricePerGB) || !isLimit(a.CapMbps):
			return nil, fmt.Errorf("%w: arc %s has a negative or infinite number", ErrGraph, name())
		}
		seen[[2]int{a.From, a.To}] = true
	}
	g.inStart, g.inArcs = bucket(n, arcs, func(a Arc) int { return a.To })
	for v := range n {
		// Cheapest first, so that a search for cheap arcs can stop early.
		slices.SortFunc(g.inArcs[g.inStart[v]:g.inStart[v+1]], func(a, b int32) int {
			x, y := &arcs[a], &arcs[b]
			return cmp.Or(cmp.Compare(x.PricePerGB, y.PricePerGB), cmp.Compare(x.DelayMs, y.DelayMs), cmp.Compare(a, b))
		})
	}
	g.outStart, g.outArcs = bucket(n, arcs, func(a Arc) int { return a.From })
	// In explicit form every node is a class of its own.
	g.class = make([]int32, n)
	g.classes = make([][]int32, n)
	for v := range n {
		g.class[v] = int32(v)
		g.classes[v] = []int32{int32(v)}
	}
	return g, nil
}

// bucket sorts the indices of arcs by one end, in compressed rows.
func bucket(n int, arcs []Arc, end func(Arc) int) (start, index []int32) {
	start = make([]int32, n+1)
	for _, a := range arcs {
		start[end(a)+1]++
	}
	for v := range n {
		start[v+1] += start[v]
	}
	index = make([]int32, len(arcs))
	next := append([]int32(nil), start[:n]...)
	for i, a := range arcs {
		v := end(a)
		index[next[v]] = int32(i)
		next[v]++
	}
	return start, index
}

func (g *Graph) indexNodes() error {
	g.byID = make(map[string]int, len(g.nodes))
	for i, n := range g.nodes {
		if n.ID == "" {
			return fmt.Errorf("%w: node %d has no id", ErrGraph, i)
		}
		if _, dup := g.byID[n.ID]; dup {
			return fmt.Errorf("%w: node %s occurs twice", ErrGraph, n.ID)
		}
		if !isLimit(n.ProcMs) || !isLimit(n.EgressMbps) {
			return fmt.Errorf("%w: node %s has a negative or infinite number", ErrGraph, n.ID)
		}
		g.byID[n.ID] = i
	}
	return nil
}

func isLimit(x float64) bool { return x >= 0 && !math.IsInf(x, 1) }

// Len is the number of nodes.
func (g *Graph) Len() int { return len(g.nodes) }

// Node returns node v.
func (g *Graph) Node(v int) Node { return g.nodes[v] }

// Index finds a node by its id.
func (g *Graph) Index(id string) (v int, ok bool) {
	v, ok = g.byID[id]
	return v, ok
}

// Arc returns the arc u -> v, if there is one. In explicit form it takes time
// in proportion to the arcs into v.
func (g *Graph) Arc(u, v int) (Arc, bool) {
	if u == v {
		return Arc{}, false
	}
	if g.sites != nil {
		d, p := g.sites.arc(u, v)
		return Arc{From: u, To: v, DelayMs: d, PricePerGB: p}, true
	}
	for _, i := range g.inArcs[g.inStart[v]:g.inStart[v+1]] {
		if g.arcs[i].From == u {
			return g.arcs[i], true
		}
	}
	return Arc{}, false
}

// arcIndex is Arc for explicit graphs, by number; -1 if there is none.
func (g *Graph) arcIndex(u, v int) int32 {
	if g.sites != nil {
		return -1
	}
	for _, i := range g.inArcs[g.inStart[v]:g.inStart[v+1]] {
		if g.arcs[i].From == u {
			return i
		}
	}
	return -1
}

// WithNodes returns a copy of the graph in which each node is what change makes
// of it; ids, regions and providers must stay. It costs no more than a copy of
// the nodes: what depends on places is shared.
func (g *Graph) WithNodes(change func(*Node)) (*Graph, error) {
	out := *g
	out.nodes = slices.Clone(g.nodes)
	for v := range out.nodes {
		n := &out.nodes[v]
		change(n)
		if old := &g.nodes[v]; n.ID != old.ID || n.Region != old.Region || n.Provider != old.Provider {
			return nil, fmt.Errorf("%w: node %s became another", ErrGraph, old.ID)
		}
	}
	if err := out.indexNodes(); err != nil {
		return nil, err
	}
	if out.sites != nil {
		out.classes = nil
		out.classify()
	}
	return &out, nil
}
