package routingtest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"trellis/routing"
)

// WideConfig describes a graph of cities on a globe.
type WideConfig struct {
	Cities      int
	Neighbours  int     // arcs into each city from its nearest; 0 is a full mesh
	Share       float64 // of the cities that have viewers
	MaxChildren int     // per city; -1 is no limit
	BoundMs     float64
	// Factor, if not 0, gives every terminal a bound of its own: this many times
	// its least possible delay, but at least 10 ms.
	Factor float64
}

// Wide returns a single track over cities with real geometry and arbitrary
// prices: the regime in which simple planners and simple bounds are far apart.
// Delays are great circles with a stretch of 1.3 to 2, as measured on the
// Internet; prices depend on the sender, and on whether the arc is long.
func Wide(r *rand.Rand, c WideConfig) *routing.Demand {
	x := globe(r, c.Cities)
	nodes := make([]routing.Node, c.Cities)
	price := make([]float64, c.Cities)
	for i := range nodes {
		nodes[i] = routing.Node{ID: fmt.Sprintf("city%03d", i), Region: fmt.Sprintf("city%03d", i), ProcMs: 0.5, MaxChildren: c.MaxChildren}
		price[i] = 0.004 * math.Pow(20, r.Float64())
	}
	var arcs []routing.Arc
	for v := range x {
		for _, u := range nearest(x, v, c.Neighbours) {
			d := x[u].delay(x[v])
			a := routing.Arc{From: u, To: v, DelayMs: d*(1.3+0.7*r.Float64()) + 0.2, PricePerGB: price[u] * (0.5 + d/60) * (0.8 + 0.4*r.Float64())}
			arcs = append(arcs, a)
		}
	}
	k := routing.Track{ID: "v0", RateMbps: 4, BoundMs: c.BoundMs}
	d := &routing.Demand{
		Name:  fmt.Sprintf("wide%d", c.Cities),
		Graph: must(routing.NewGraph(nodes, arcs)),
	}
	for v := 1; v < c.Cities; v++ {
		if r.Float64() < c.Share {
			k.Terminals = append(k.Terminals, routing.Terminal{Node: v, Viewers: int64(1 + math.Floor(1000*r.ExpFloat64()))})
		}
	}
	if c.Factor > 0 {
		least := routing.LeastDelays(d.Graph, 0)
		for i := range k.Terminals {
			k.Terminals[i].BoundMs = max(10, c.Factor*least[k.Terminals[i].Node])
		}
	}
	d.Tracks = []routing.Track{k}
	return d
}

// place is a point on the unit sphere.
type place [3]float64

// delay is the one-way delay along the great circle, in fibre.
func (a place) delay(b place) float64 {
	dot := min(1, max(-1, a[0]*b[0]+a[1]*b[1]+a[2]*b[2]))
	return 6371 * math.Acos(dot) / 204
}

// globe scatters cities in clusters, as continents do.
func globe(r *rand.Rand, n int) []place {
	point := func() place {
		z, t := 2*r.Float64()-1, 2*math.Pi*r.Float64()
		s := math.Sqrt(1 - z*z)
		return place{s * math.Cos(t), s * math.Sin(t), z}
	}
	centres := make([]place, 0, 6)
	for range 6 {
		centres = append(centres, point())
	}
	out := make([]place, n)
	for i := range out {
		c, p := centres[r.IntN(len(centres))], point()
		var q place
		norm := 0.0
		for j := range q {
			q[j] = c[j] + 0.45*p[j]
			norm += q[j] * q[j]
		}
		for j := range q {
			q[j] /= math.Sqrt(norm)
		}
		out[i] = q
	}
	return out
}

// nearest lists the k places nearest to v, or all others if k is 0.
func nearest(x []place, v, k int) []int {
	var out []int
	for u := range x {
		if u != v {
			out = append(out, u)
		}
	}
	if k == 0 || k >= len(out) {
		return out
	}
	for i := range k { // selection: k is small
		for j := i + 1; j < len(out); j++ {
			if x[out[j]].delay(x[v]) < x[out[i]].delay(x[v]) {
				out[i], out[j] = out[j], out[i]
			}
		}
	}
	return out[:k]
}
