package routing

import (
	"cmp"
	"slices"
)

// Reason answers why a node has the parent it has.
type Reason struct {
	Track   string
	Node    string
	Served  bool
	Parent  string   // empty for the source, or if not in the tree
	Path    []string // from the source
	DelayMs float64
	BoundMs float64 // 0 if the node has no viewers of its own
	SlackMs float64 // what the arrival here could still slip before someone below is late
	LeastMs float64 // least possible delay
	CostUSD float64 // of the arc to it
	Viewers int64   // its own
	Below   int64   // who depend on it, its own included
	Backup  string  // backup parent
	Choices []Choice
	WhyNot  string // for a node that is not served
}

// Choice is one other parent the node could have, all else being equal.
type Choice struct {
	Parent   string
	DelayMs  float64 // of the node below it
	CostUSD  float64 // of the arc
	Change   Score   // against the plan: positive viewers are gained, positive ms and USD are spent
	Possible bool
	Obstacle string // why it is not possible, or what it would break
}

// Explain says why node v has its place in track i, and what the alternatives
// would cost. At most limit choices are listed, best first.
func (d *Demand) Explain(p *Plan, i, v, limit int) Reason {
	k, t, g := &d.Tracks[i], p.Tracks[i].Tree, d.Graph
	delays := t.Delays(g, k.Source)
	r := Reason{Track: k.ID, Node: g.nodes[v].ID, DelayMs: delays[v], Served: delays[v] >= 0}
	for _, e := range k.Terminals {
		if e.Node == v {
			r.Viewers, r.BoundMs = e.Viewers, k.bound(e)
		}
	}
	least := LeastDelays(g, k.Source)
	r.LeastMs = least[v]
	if b := p.Tracks[i].Backup.Parent; b != nil && b[v] != None {
		r.Backup = g.nodes[b[v]].ID
	}
	base := k.Score(g, t)
	subtree := subtreeOf(t, v)
	if !r.Served {
		r.WhyNot = d.whyNot(p, i, v, least[v])
	}
	r.SlackMs = unlimitedDelay
	for _, e := range k.Terminals {
		if r.Served && subtree[e.Node] && e.Viewers > 0 {
			r.Below += e.Viewers
			r.SlackMs = min(r.SlackMs, k.bound(e)-delays[e.Node])
		}
	}
	if r.SlackMs == unlimitedDelay {
		r.SlackMs = 0
	}
	if r.Served {
		for u := v; ; u = int(t.Parent[u]) {
			r.Path = append(r.Path, g.nodes[u].ID)
			if u == k.Source {
				break
			}
		}
		slices.Reverse(r.Path)
	}
	if v == k.Source {
		return r
	}
	if u := t.Parent[v]; u != None {
		a, _ := g.Arc(int(u), v)
		r.Parent = g.nodes[u].ID
		r.CostUSD = k.RateMbps * gbPerMbpsHour * a.PricePerGB
	}
	l := d.loadsOf(p)
	kids := childRows(t)
	for u := range g.Len() {
		if delays[u] < 0 || int32(u) == t.Parent[v] || u == v {
			continue
		}
		a, ok := g.Arc(u, v)
		if !ok {
			continue
		}
		c := Choice{
			Parent: g.nodes[u].ID, Possible: true,
			DelayMs: delays[u] + g.nodes[u].ProcMs + a.DelayMs,
			CostUSD: k.RateMbps * gbPerMbpsHour * a.PricePerGB,
		}
		n := &g.nodes[u]
		switch {
		case subtree[u]:
			c.Possible, c.Obstacle = false, "it hangs below this node itself"
		case n.MaxChildren == 0:
			c.Possible, c.Obstacle = false, "it may not relay"
		case n.MaxChildren > 0 && len(kids.of(u)) >= n.MaxChildren:
			c.Possible, c.Obstacle = false, "all its child slots are taken"
		case n.EgressMbps > 0 && l.egress[u]+k.RateMbps > n.EgressMbps+loadSlackMbps:
			c.Possible, c.Obstacle = false, "its egress is full"
		case l.arc != nil && !l.arcFits(g.arcIndex(u, v), k.RateMbps):
			c.Possible, c.Obstacle = false, "the arc is full"
		}
		if !subtree[u] {
			moved := t.Clone()
			moved.Parent[v] = int32(u)
			after := k.Score(g, moved)
			c.Change = Score{
				after.InBound - base.InBound, after.Served - base.Served, after.LateMs - base.LateMs,
				after.CostUSD - base.CostUSD, after.DelayMs - base.DelayMs,
			}
			if k.MaxDepth > 0 && moved.depth(k.Source) > k.MaxDepth {
				c.Possible, c.Obstacle = false, "the tree would be too deep"
			}
		}
		r.Choices = append(r.Choices, c)
	}
	slices.SortStableFunc(r.Choices, func(a, b Choice) int {
		if a.Possible != b.Possible {
			return cmp.Compare(b2i(b.Possible), b2i(a.Possible))
		}
		if c := b.Change.Compare(a.Change); c != 0 {
			return c
		}
		return cmp.Compare(a.DelayMs, b.DelayMs)
	})
	r.Choices = r.Choices[:min(limit, len(r.Choices))]
	return r
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// depth is the number of arcs to the deepest node.
func (t Tree) depth(source int) int {
	depth := make([]int, len(t.Parent))
	deepest := 0
	t.walk(source, func(v int) {
		if v != source {
			depth[v] = depth[t.Parent[v]] + 1
			deepest = max(deepest, depth[v])
		}
	})
	return deepest
}

// subtreeOf marks v and all below it.
func subtreeOf(t Tree, v int) []bool {
	in := make([]bool, len(t.Parent))
	t.walk(v, func(u int) { in[u] = true })
	return in
}

// loadsOf computes what the plan puts on the shared capacities.
func (d *Demand) loadsOf(p *Plan) *loads {
	l := &loads{g: d.Graph, egress: make([]float64, d.Graph.Len())}
	if d.Graph.sites == nil {
		l.arc = make([]float64, len(d.Graph.arcs))
	}
	for i := range d.Tracks {
		k := &d.Tracks[i]
		for _, e := range k.Terminals {
			if e.Node == k.Source {
				l.egress[e.Node] += k.RateMbps * float64(e.Viewers)
			}
		}
		l.add(k, p.Tracks[i].Tree, +1)
	}
	return l
}

// LeastDelays returns the least possible delay from source to every node, by
// Dijkstra's algorithm over all nodes that may relay; 1e300 where no path leads.
func LeastDelays(g *Graph, source int) []float64 {
	d := make([]float64, g.Len())
	for v := range d {
		d[v] = unlimitedDelay
	}
	d[source] = 0
	h := newHeap(g.Len())
	h.push(int32(source), 0)
	for h.len() > 0 {
		u, du := h.pop()
		if g.nodes[u].MaxChildren == 0 {
			continue
		}
		g.eachOut(int(u), func(v int, delay float64) {
			if x := du + g.nodes[u].ProcMs + delay; x < d[v] {
				d[v] = x
				h.push(int32(v), x)
			}
		})
	}
	return d
}

// eachOut visits the arcs out of u.
func (g *Graph) eachOut(u int, visit func(v int, delayMs float64)) {
	if g.sites != nil {
		for v := range g.nodes {
			if v != u {
				d, _ := g.sites.arc(u, v)
				visit(v, d)
			}
		}
		return
	}
	for _, i := range g.outArcs[g.outStart[u]:g.outStart[u+1]] {
		visit(g.arcs[i].To, g.arcs[i].DelayMs)
	}
}

// whyNot says why a node is not in the tree.
func (d *Demand) whyNot(p *Plan, i, v int, least float64) string {
	k, g := &d.Tracks[i], d.Graph
	viewers := int64(0)
	for _, e := range k.Terminals {
		if e.Node == v {
			viewers = e.Viewers
		}
	}
	n := &g.nodes[v]
	l := d.loadsOf(p)
	need := k.RateMbps * float64(viewers)
	switch {
	case viewers == 0:
		return "it has no viewers and is not needed as a relay"
	case least >= unlimitedDelay:
		return "no path of relays leads to it from the source"
	case n.EgressMbps > 0 && need > n.EgressMbps+loadSlackMbps:
		return "its own viewers need more than its egress"
	case n.EgressMbps > 0 && need+l.egress[v] > n.EgressMbps+loadSlackMbps:
		return "other tracks have taken the egress that its viewers need"
	}
	return "the slots, egress and arcs that could reach it carry more viewers elsewhere"
}

// Shortfall is one terminal that is not in bound, and why.
type Shortfall struct {
	Track   string
	Node    string
	Viewers int64
	Served  bool
	LateMs  float64
	Reason  string
}

// Shortfalls lists the terminals that a plan leaves late or unserved, those with
// most viewers first.
func (d *Demand) Shortfalls(p *Plan) []Shortfall {
	var out []Shortfall
	for i := range d.Tracks {
		k := &d.Tracks[i]
		delays := p.Tracks[i].Tree.Delays(d.Graph, k.Source)
		var least []float64
		for _, e := range k.Terminals {
			late := delays[e.Node] - k.bound(e)
			if e.Viewers == 0 || delays[e.Node] >= 0 && late <= boundSlackMs {
				continue
			}
			if least == nil {
				least = LeastDelays(d.Graph, k.Source)
			}
			s := Shortfall{Track: k.ID, Node: d.Graph.nodes[e.Node].ID, Viewers: e.Viewers, Served: delays[e.Node] >= 0}
			switch {
			case !s.Served:
				s.Reason = d.whyNot(p, i, e.Node, least[e.Node])
			case least[e.Node] > k.bound(e)+boundSlackMs:
				s.LateMs, s.Reason = late, "out of reach: even the least possible delay is beyond the bound"
			default:
				s.LateMs, s.Reason = late, "the paths that are fast enough are full, or too deep"
			}
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b Shortfall) int { return cmp.Compare(b.Viewers, a.Viewers) })
	return out
}
