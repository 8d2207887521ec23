package routingtest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"trellis/routing"
)

// MixedKinds are the shapes of graph that [Mixed] knows.
var MixedKinds = []string{"geometric", "clustered", "power law", "sites", "full mesh"}

// Mixed returns a single track on n nodes of one of [MixedKinds], with fan-out 1 to
// 4, tight egress, limits on depth, bounds per terminal, delays that differ by
// direction and edges that may not relay, in proportions drawn at random: what a
// planner meets when it was tuned to none of it.
func Mixed(r *rand.Rand, kind string, n int) *routing.Demand {
	const rate = 4
	m := &mixed{r: r, n: n, fan: 1 + r.IntN(4), pure: 0.3 * r.Float64() * float64(r.IntN(2)), skew: 0.4 * r.Float64() * float64(r.IntN(2))}
	if m.fan == 1 {
		m.hubs = 0.1 + 0.2*r.Float64() // chains alone would serve nobody
	}
	share := 0.3 + 0.6*r.Float64()
	viewers := make([]int64, n)
	for v := 1; v < n; v++ {
		if r.Float64() < share {
			viewers[v] = int64(1 + math.Floor(300*r.ExpFloat64()))
		}
	}
	tight := r.IntN(3) == 0
	m.nodes = make([]routing.Node, n)
	for v := range m.nodes {
		x := routing.Node{
			ID: fmt.Sprintf("n%03d", v), Region: fmt.Sprintf("r%d", v%max(1, n/8)), Provider: fmt.Sprintf("p%d", r.IntN(3)),
			ProcMs: 0.2 + 0.8*r.Float64(), MaxChildren: m.fan,
		}
		switch {
		case v == 0:
			x.MaxChildren = max(m.fan, 2)
		case r.Float64() < m.pure:
			x.MaxChildren = 0
		case r.Float64() < m.hubs:
			x.MaxChildren = 6
		}
		if tight {
			x.EgressMbps = rate * (float64(viewers[v]) + float64(r.IntN(5)))
		}
		m.nodes[v] = x
	}
	k := routing.Track{ID: "v0", RateMbps: rate}
	g := m.graph(kind)
	least := routing.LeastDelays(g, 0)
	far := 0.0
	for _, x := range least {
		if !math.IsInf(x, 1) {
			far = max(far, x)
		}
	}
	k.BoundMs = far * (0.6 + 0.6*r.Float64())
	if r.IntN(4) == 0 {
		k.MaxDepth = 3 + r.IntN(8)
	}
	own := r.IntN(3) == 0
	for v, w := range viewers {
		if w == 0 {
			continue
		}
		t := routing.Terminal{Node: v, Viewers: w}
		if own && !math.IsInf(least[v], 1) {
			t.BoundMs = max(1, least[v]*(1+r.Float64()))
		}
		k.Terminals = append(k.Terminals, t)
	}
	return &routing.Demand{Name: "mixed " + kind, Graph: g, Tracks: []routing.Track{k}}
}

type mixed struct {
	r     *rand.Rand
	n     int
	fan   int
	pure  float64 // share of nodes that may not relay
	hubs  float64 // share of nodes with many children
	skew  float64 // by how much the two directions differ
	nodes []routing.Node
}

// graph makes a graph of the kind over the nodes.
func (m *mixed) graph(kind string) *routing.Graph {
	if kind == "sites" {
		return m.siteGraph()
	}
	r, n := m.r, m.n
	x, y := make([]float64, n), make([]float64, n)
	for v := range n {
		x[v], y[v] = 100*r.Float64(), 60*r.Float64()
		if kind == "clustered" && v >= 6 {
			c := r.IntN(6)
			x[v], y[v] = x[c]+3*r.NormFloat64(), y[c]+3*r.NormFloat64()
		}
	}
	price := make([]float64, n)
	for v := range price {
		price[v] = 0.004 * math.Pow(15, r.Float64())
	}
	seen := map[[2]int]bool{}
	var arcs []routing.Arc
	add := func(u, v int) {
		if u == v || seen[[2]int{u, v}] {
			return
		}
		seen[[2]int{u, v}] = true
		d := 0.2 + math.Hypot(x[u]-x[v], y[u]-y[v])*(1+0.4*r.Float64())*(1+m.skew*(2*r.Float64()-1))
		arcs = append(arcs, routing.Arc{From: u, To: v, DelayMs: d, PricePerGB: price[u] * (0.6 + 0.8*r.Float64())})
	}
	both := func(u, v int) {
		add(u, v)
		add(v, u)
	}
	switch kind {
	case "power law": // preferential attachment (Barabási and Albert)
		var ends []int
		for v := 1; v < n; v++ {
			for range min(v, 3) {
				u := r.IntN(v)
				if len(ends) > 0 && r.IntN(8) > 0 {
					u = ends[r.IntN(len(ends))]
				}
				both(u, v)
				ends = append(ends, u, v)
			}
		}
	case "geometric":
		for v := range n {
			for u := range v {
				if math.Hypot(x[u]-x[v], y[u]-y[v]) < 160/math.Sqrt(float64(n)) {
					both(u, v)
				}
			}
			if v > 0 {
				both(r.IntN(v), v)
			}
		}
	default:
		for v := range n {
			for u := range v {
				both(u, v)
			}
		}
	}
	return must(routing.NewGraph(m.nodes, arcs))
}

func (m *mixed) siteGraph() *routing.Graph {
	r := m.r
	s := routing.SiteMatrix{
		IntraMs: 0.25, CrossProviderExtraMs: 1, Continent: map[string]string{},
		PriceSameSite:         map[string]float64{"p0": 0.01},
		PriceSameContinent:    map[string]float64{"p0": 0.02, "p1": 0.01, "p2": 0.002},
		PriceIntercontinental: map[string]float64{"p0": 0.08, "p1": 0.02, "p2": 0.004},
		PriceOtherProvider:    map[string]float64{"p0": 0.09, "p1": 0.03, "p2": 0.005},
	}
	known := map[string]bool{}
	var x, y []float64
	for _, v := range m.nodes {
		if !known[v.Region] {
			known[v.Region] = true
			s.Sites = append(s.Sites, v.Region)
			s.Continent[v.Region] = string(rune('a' + r.IntN(4)))
			x, y = append(x, 100*r.Float64()), append(y, 60*r.Float64())
		}
	}
	for i := range s.Sites {
		row := make([]float64, len(s.Sites))
		for j := range row {
			row[j] = math.Hypot(x[i]-x[j], y[i]-y[j]) * (1 + 0.3*r.Float64())
		}
		s.DelayMs = append(s.DelayMs, row)
	}
	return must(routing.NewSiteGraph(m.nodes, s))
}

// Crowded returns up to tracks tracks on the graph of a [Mixed] demand, from
// sources of their own: they compete for egress that is short for one.
func Crowded(r *rand.Rand, kind string, n, tracks int) *routing.Demand {
	d := Mixed(r, kind, n)
	first := d.Tracks[0]
	for i := 1; i < 2+r.IntN(tracks-1); i++ {
		k := routing.Track{
			ID: fmt.Sprintf("v%d", i), Source: r.IntN(n), RateMbps: []float64{0.5, 1, 4}[r.IntN(3)],
			BoundMs: first.BoundMs * (0.5 + r.Float64()), MaxDepth: first.MaxDepth,
		}
		for v := range n {
			if r.Float64() < 0.4 {
				k.Terminals = append(k.Terminals, routing.Terminal{Node: v, Viewers: int64(r.IntN(40))})
			}
		}
		d.Tracks = append(d.Tracks, k)
	}
	roomForLocal(d)
	return d
}
