package backbone

import (
	"cmp"
	"slices"
	"time"

	"trellis/routing/spf"
	"trellis/wire"
)

// Query asks by which neighbours a track can be had.
type Query struct {
	Track  wire.TrackName
	Origin string
	Self   string
	// Neighbours are the nodes to which we have a live link, with its cost.
	Neighbours []Neighbour
}

// Neighbour is a node at the other end of a live link.
type Neighbour struct {
	Node string
	Cost time.Duration
}

// Candidate is a neighbour that can deliver a track.
type Candidate struct {
	Node string
	// Cost is the measured delay from the origin through Node to us, with what
	// hops and losses add to it.
	Cost time.Duration
	// Path holds the nodes from the origin to Node, both included.
	Path []string
}

// Router ranks the neighbours from which a track may be taken, best first. It
// leaves out those that have no path to the origin but through us. It is called
// on the mesh's loop and must not block. The graph holds the links that both
// ends advertise; it is not changed after the call.
type Router interface {
	Rank(g *spf.Graph, q Query) []Candidate
}

// Cheapest is the Router that follows the least measured delay.
type Cheapest struct{}

// Rank implements Router.
func (Cheapest) Rank(g *spf.Graph, q Query) []Candidate {
	tree := g.From(q.Origin, q.Self)
	var all []Candidate
	for _, n := range q.Neighbours {
		if cost, ok := tree.Cost(n.Node); ok {
			all = append(all, Candidate{Node: n.Node, Cost: cost + n.Cost, Path: tree.Path(n.Node)})
		}
	}
	slices.SortFunc(all, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(len(a.Path), len(b.Path)), cmp.Compare(a.Node, b.Node))
	})
	return all
}

// hopCost is what a relay adds, so that of two equal paths the shorter wins.
const hopCost = 500 * time.Microsecond

// linkCost turns what is measured on a link into the delay to expect: the median,
// and for each loss the round trip and a half that its repair takes.
func linkCost(delay time.Duration, loss float64) time.Duration {
	return delay + time.Duration(loss*3*float64(delay)) + hopCost
}
