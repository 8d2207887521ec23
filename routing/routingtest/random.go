// Package routingtest makes demands for tests and benchmarks: small random ones
// in which everything binds, many tracks that share capacities, and wide graphs
// of many cities. The same generator state gives the same demand.
package routingtest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"trellis/routing"
)

// must is for demands that are valid by construction.
func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// Small returns a single track on n nodes, explicit or compact, in which each
// limit binds now and then: fan-out, egress, arc capacity, depth, bound. Numbers
// are often small integers, so that ties occur.
func Small(r *rand.Rand, n int) *routing.Demand {
	d := &routing.Demand{Name: "small", Graph: smallGraph(r, n), Tracks: []routing.Track{track(r, "t0", n)}}
	roomForLocal(d)
	return d
}

// Several returns up to tracks tracks on n nodes with shared capacities.
func Several(r *rand.Rand, n, tracks int) *routing.Demand {
	d := &routing.Demand{Name: "several", Graph: smallGraph(r, n)}
	for i := range 1 + r.IntN(tracks) {
		d.Tracks = append(d.Tracks, track(r, fmt.Sprintf("t%d", i), n))
	}
	roomForLocal(d)
	return d
}

// roomForLocal removes viewers at sources that could never be served, which
// would leave no valid plan at all.
func roomForLocal(d *routing.Demand) {
	used := make([]float64, d.Graph.Len())
	for i := range d.Tracks {
		k := &d.Tracks[i]
		limit := d.Graph.Node(k.Source).EgressMbps
		for j := range k.Terminals {
			t := &k.Terminals[j]
			if t.Node != k.Source || limit == 0 {
				continue
			}
			if used[t.Node]+k.RateMbps*float64(t.Viewers) > limit {
				t.Viewers = 0
			}
			used[t.Node] += k.RateMbps * float64(t.Viewers)
		}
	}
}

func smallGraph(r *rand.Rand, n int) *routing.Graph {
	fan := 1 + r.IntN(3)
	egress := r.IntN(3)
	round := r.IntN(2) == 0
	number := func(limit float64) float64 {
		x := r.Float64() * limit
		if round {
			x = math.Floor(x)
		}
		return x
	}
	nodes := make([]routing.Node, n)
	for i := range nodes {
		nodes[i] = routing.Node{
			ID:       fmt.Sprintf("n%d", i),
			Provider: fmt.Sprintf("p%d", r.IntN(2)),
			Region:   fmt.Sprintf("r%d", r.IntN(3)),
			ProcMs:   number(3),
		}
		switch r.IntN(6) {
		case 0:
			nodes[i].MaxChildren = 0
		case 1:
			nodes[i].MaxChildren = -1
		default:
			nodes[i].MaxChildren = 1 + r.IntN(fan)
		}
		if egress > 0 && r.IntN(2) == 0 {
			nodes[i].EgressMbps = 2 + number(float64(40*egress))
		}
	}
	if r.IntN(4) == 0 {
		return must(routing.NewSiteGraph(nodes, sites(number)))
	}
	share := 0.3 + 0.7*r.Float64()
	var arcs []routing.Arc
	for u := range n {
		for v := range n {
			if u == v || r.Float64() > share {
				continue
			}
			a := routing.Arc{From: u, To: v, DelayMs: number(40), PricePerGB: number(5) / 100}
			if r.IntN(5) == 0 {
				a.CapMbps = 1 + number(4)
			}
			arcs = append(arcs, a)
		}
	}
	return must(routing.NewGraph(nodes, arcs))
}

func sites(number func(float64) float64) routing.SiteMatrix {
	m := routing.SiteMatrix{
		Sites:                []string{"r0", "r1", "r2"},
		IntraMs:              number(1),
		CrossProviderExtraMs: number(2),
		Continent:            map[string]string{"r0": "a", "r1": "a", "r2": "b"},
		PriceSameSite:        map[string]float64{"p0": number(2) / 100},
		PriceSameContinent:   map[string]float64{"p0": number(4) / 100, "p1": number(4) / 100},
		PriceIntercontinental: map[string]float64{
			"p0": number(8) / 100, "p1": number(8) / 100,
		},
		PriceOtherProvider: map[string]float64{"p0": number(9) / 100, "p1": number(9) / 100},
	}
	for range 3 {
		m.DelayMs = append(m.DelayMs, []float64{number(40), number(40), number(40)})
	}
	return m
}

func track(r *rand.Rand, id string, n int) routing.Track {
	k := routing.Track{
		ID:       id,
		Source:   r.IntN(n),
		RateMbps: []float64{1, 2, 2.5, 0.1}[r.IntN(4)],
		BoundMs:  5 + r.Float64()*70,
	}
	if r.IntN(3) == 0 {
		k.MaxDepth = 1 + r.IntN(4)
	}
	share := 0.4 + 0.6*r.Float64()
	for v := range n {
		if r.Float64() > share {
			continue
		}
		t := routing.Terminal{Node: v, Viewers: int64(r.IntN(12))}
		if r.IntN(4) == 0 {
			t.BoundMs = 5 + r.Float64()*70
		}
		k.Terminals = append(k.Terminals, t)
	}
	return k
}

// Tight returns a single track on a complete graph of n nodes in which slots are
// short everywhere and about half of the terminals are hard to reach in time:
// the instances on which greedy planners lose most.
func Tight(r *rand.Rand, n int) *routing.Demand {
	nodes := make([]routing.Node, n)
	fan := 1 + r.IntN(2)
	for i := range nodes {
		nodes[i] = routing.Node{ID: fmt.Sprintf("n%d", i), ProcMs: 1, MaxChildren: 1 + r.IntN(fan+1)}
		if r.IntN(4) == 0 {
			nodes[i].MaxChildren = 0
		}
	}
	nodes[0].MaxChildren = 1 + fan
	x, y := make([]float64, n), make([]float64, n)
	for i := range n {
		x[i], y[i] = r.Float64()*100, r.Float64()*60
	}
	var arcs []routing.Arc
	for u := range n {
		for v := range n {
			if u != v {
				km := math.Hypot(x[u]-x[v], y[u]-y[v])
				arcs = append(arcs, routing.Arc{From: u, To: v, DelayMs: km * (1 + 0.5*r.Float64()), PricePerGB: 0.1 * r.Float64()})
			}
		}
	}
	k := routing.Track{ID: "t0", RateMbps: 1, BoundMs: 40 + 60*r.Float64()}
	for v := 1; v < n; v++ {
		if r.IntN(5) > 0 {
			k.Terminals = append(k.Terminals, routing.Terminal{Node: v, Viewers: 1 + int64(r.IntN(20))})
		}
	}
	return &routing.Demand{Name: "tight", Graph: must(routing.NewGraph(nodes, arcs)), Tracks: []routing.Track{k}}
}
