package routing

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrAssign is wrapped by every error about an assignment of viewers.
var ErrAssign = errors.New("invalid assignment")

// Edge is a node that takes viewers.
type Edge struct {
	Node      int
	Viewers   int64   // it has room for
	ViewerUSD float64 // cost of one viewer for an hour
	OpenUSD   float64 // cost of using the edge at all: about one arc of the tree
}

// Access is the way from a cluster of viewers to one edge.
type Access struct {
	Edge    int // number of the edge
	DelayMs float64
}

// Cluster is a group of viewers who are near one another.
type Cluster struct {
	Viewers int64
	Access  []Access // to its nearest edges
}

// Share is the part of a cluster that goes to one edge.
type Share struct {
	Cluster, Edge int
	Viewers       int64
}

// Assignment is who goes where.
type Assignment struct {
	Shares   []Share
	Assigned int64
	CostUSD  float64 // viewers and open edges
	Opened   int
}

// Assign sends viewers to edges before any tree is planned: first as many as
// possible, then as cheaply as possible, then as near as possible. Access slower
// than maxAccessMs does not count. The transport is solved by successive
// shortest augmenting paths over the edges, of which there are few; opening costs
// are then spared by closing edges whose viewers fit elsewhere for less.
func Assign(clusters []Cluster, edges []Edge, maxAccessMs float64) (*Assignment, error) {
	a, err := newAssigner(clusters, edges, maxAccessMs)
	if err != nil {
		return nil, err
	}
	a.fill()
	a.closeEdges()
	return a.result(), nil
}

// delayWeight turns a millisecond of access into money: small enough that it
// only decides between equals.
const delayWeight = 1e-9

// assigner holds a transport under construction. A pair is a (cluster, edge)
// that may be used; pairs of a cluster lie side by side.
type assigner struct {
	clusters []Cluster
	edges    []Edge
	first    []int32 // of each cluster's pairs
	edge     []int32
	cost     []float64 // per viewer
	flow     []int64
	left     []int64 // viewers without a place, by cluster
	room     []int64 // by edge
	closed   []bool
	byEdge   [][]int32 // pairs of each edge
	owner    []int32   // cluster of each pair

	// One search's memory: distance to each edge, and the pairs through which a
	// viewer would be moved.
	dist     []float64
	from, to []int32
}

func newAssigner(clusters []Cluster, edges []Edge, maxAccessMs float64) (*assigner, error) {
	n := len(edges)
	a := &assigner{
		clusters: clusters, edges: edges, first: make([]int32, len(clusters)+1),
		left: make([]int64, len(clusters)), room: make([]int64, n), closed: make([]bool, n),
		byEdge: make([][]int32, n), dist: make([]float64, n), from: make([]int32, n), to: make([]int32, n),
	}
	for i, e := range edges {
		if e.Viewers < 0 || !isLimit(e.ViewerUSD) || !isLimit(e.OpenUSD) {
			return nil, fmt.Errorf("%w: edge %d has a negative or infinite number", ErrAssign, i)
		}
		a.room[i] = e.Viewers
	}
	for j, c := range clusters {
		if c.Viewers < 0 {
			return nil, fmt.Errorf("%w: cluster %d has a negative number of viewers", ErrAssign, j)
		}
		a.left[j] = c.Viewers
		for _, x := range c.Access {
			if x.Edge < 0 || x.Edge >= n || !isLimit(x.DelayMs) {
				return nil, fmt.Errorf("%w: cluster %d has an access to no edge, or of no length", ErrAssign, j)
			}
			if x.DelayMs > maxAccessMs {
				continue
			}
			a.byEdge[x.Edge] = append(a.byEdge[x.Edge], int32(len(a.edge)))
			a.owner = append(a.owner, int32(j))
			a.edge = append(a.edge, int32(x.Edge))
			a.cost = append(a.cost, edges[x.Edge].ViewerUSD+delayWeight*x.DelayMs)
		}
		a.first[j+1] = int32(len(a.edge))
	}
	a.flow = make([]int64, len(a.edge))
	return a, nil
}

// fill places all viewers it can, cluster by cluster, each over the cheapest way
// there is, which may move others aside.
func (a *assigner) fill() {
	order := make([]int32, len(a.clusters))
	for j := range order {
		order[j] = int32(j)
	}
	// Clusters with little choice first: fewer moves later.
	slices.SortStableFunc(order, func(x, y int32) int {
		return cmp.Compare(a.first[x+1]-a.first[x], a.first[y+1]-a.first[y])
	})
	for _, j := range order {
		for a.left[j] > 0 && a.place(j) {
		}
	}
}

// place sends some viewers of cluster j over the cheapest way.
func (a *assigner) place(j int32) bool {
	// The common case: the cheapest open edge has room.
	best := int32(-1)
	for i := a.first[j]; i < a.first[j+1]; i++ {
		if !a.closed[a.edge[i]] && (best < 0 || a.cost[i] < a.cost[best]) {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	if e := a.edge[best]; a.room[e] > 0 {
		n := min(a.left[j], a.room[e])
		a.flow[best] += n
		a.room[e] -= n
		a.left[j] -= n
		return true
	}
	end := a.search(j)
	if end < 0 {
		return false
	}
	n := min(a.left[j], a.room[end])
	for e := end; ; {
		i := a.from[e]
		if i < 0 {
			break
		}
		n = min(n, a.flow[i])
		e = a.edge[i]
	}
	a.room[end] -= n
	a.left[j] -= n
	for e := end; ; {
		a.flow[a.to[e]] += n
		i := a.from[e]
		if i < 0 {
			break
		}
		a.flow[i] -= n
		e = a.edge[i]
	}
	return true
}

// search finds the cheapest way for a viewer of cluster j to an edge with room:
// to an edge, from which a viewer of another cluster moves on, and so forth.
// Costs of moves may be negative, circles are not (the flow is optimal so far),
// so labels are corrected until they stand (Bellman and Ford).
func (a *assigner) search(j int32) int32 {
	for e := range a.dist {
		a.dist[e] = math.Inf(1)
	}
	queue := make([]int32, 0, len(a.edges))
	queued := make([]bool, len(a.edges))
	push := func(e int32, d float64, from, to int32) {
		if a.closed[e] || d >= a.dist[e]-1e-15 {
			return
		}
		a.dist[e], a.from[e], a.to[e] = d, from, to
		if !queued[e] {
			queued[e] = true
			queue = append(queue, e)
		}
	}
	for i := a.first[j]; i < a.first[j+1]; i++ {
		push(a.edge[i], a.cost[i], -1, i)
	}
	for len(queue) > 0 {
		e := queue[0]
		queue = queue[1:]
		queued[e] = false
		if a.room[e] > 0 {
			continue // nobody moves on from where there is room
		}
		for _, i := range a.byEdge[e] {
			if a.flow[i] == 0 {
				continue
			}
			c := a.owner[i]
			for x := a.first[c]; x < a.first[c+1]; x++ {
				if x != i {
					push(a.edge[x], a.dist[e]+a.cost[x]-a.cost[i], i, x)
				}
			}
		}
	}
	best := int32(-1)
	for e, d := range a.dist {
		if a.room[e] > 0 && !math.IsInf(d, 1) && (best < 0 || d < a.dist[best]) {
			best = int32(e)
		}
	}
	return best
}

// closeEdges closes edges one at a time, those with fewest viewers first, and
// keeps them closed where everybody finds a place for less than the opening cost.
func (a *assigner) closeEdges() {
	used := make([]int64, len(a.edges))
	for i, n := range a.flow {
		used[a.edge[i]] += n
	}
	order := make([]int, 0, len(a.edges))
	for e := range a.edges {
		if used[e] > 0 && a.edges[e].OpenUSD > 0 {
			order = append(order, e)
		}
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(used[x], used[y]) })
	for _, e := range order {
		if used[e] > 0 {
			a.tryClose(e)
		}
	}
}

func (a *assigner) tryClose(e int) {
	saved := a.edges[e].OpenUSD
	flow, left, room := slices.Clone(a.flow), slices.Clone(a.left), slices.Clone(a.room)
	before := a.total()
	a.closed[e] = true
	lost := false
	for _, i := range a.byEdge[e] {
		j := a.owner[i]
		a.left[j] += a.flow[i]
		a.room[e] += a.flow[i]
		a.flow[i] = 0
		for a.left[j] > left[j] && a.place(j) {
		}
		if lost = a.left[j] > left[j]; lost {
			break
		}
	}
	if lost || a.total()-before >= saved {
		a.flow, a.left, a.room = flow, left, room
		a.closed[e] = false
	}
}

// total is the cost of all viewers; opening is not part of it.
func (a *assigner) total() float64 {
	t := 0.0
	for i, n := range a.flow {
		t += float64(n) * a.cost[i]
	}
	return t
}

func (a *assigner) result() *Assignment {
	out := &Assignment{}
	opened := make([]bool, len(a.edges))
	for i, n := range a.flow {
		if n == 0 {
			continue
		}
		e := int(a.edge[i])
		out.Shares = append(out.Shares, Share{int(a.owner[i]), e, n})
		out.Assigned += n
		out.CostUSD += float64(n) * a.edges[e].ViewerUSD
		if !opened[e] {
			opened[e] = true
			out.Opened++
			out.CostUSD += a.edges[e].OpenUSD
		}
	}
	return out
}
