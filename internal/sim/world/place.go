package world

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Class is how much a node can carry.
type Class struct {
	Name string
	// EgressMbps is what it can send.
	EgressMbps int
}

// Classes are those that nodes are drawn from.
var classes = []Class{{"small", 2_000}, {"medium", 5_000}, {"large", 10_000}}

// Place is a node in the world.
type Place struct {
	ID       string
	Region   int // of the matrix
	Provider Provider
	Class    Class
	// Viewers is how many watch there from the beginning.
	Viewers int
}

// Delays that the matrices say nothing about: they are assumptions.
const (
	// intraRegion is between two nodes of a region, one way.
	intraRegion = 250 * time.Microsecond
	// crossProvider is added where two providers meet.
	crossProvider = time.Millisecond
	// jitterFloor and jitterShare are the most that a datagram may take longer
	// than the matrix says: evenly up to the floor and a share of the delay.
	jitterFloor = 200 * time.Microsecond
	jitterShare = 0.01
	// access is a client's way to its node.
	access = 5 * time.Millisecond
)

// place puts nodes into regions: by the square root of their audience, so that
// small regions have more than one where there are enough, over all providers in
// turn. Viewers are spread over the nodes of their region by capacity.
func place(m *Matrix, nodes, viewers int, rng *rand.Rand) []Place {
	weights, roots := make([]float64, len(m.Regions)), make([]float64, len(m.Regions))
	for i, r := range m.Regions {
		weights[i], roots[i] = r.Weight, math.Sqrt(r.Weight)
	}
	least := min(nodes/len(m.Regions), 2)
	if least == 0 { // fewer nodes than regions: those with the largest audiences have one
		keepLargest(weights, roots, nodes)
		least = 0
	}
	var places []Place
	audience := share(viewers, 0, weights)
	for r, n := range share(nodes, least, roots) {
		first := rng.IntN(len(providers))
		here := make([]Place, n)
		capacity := make([]float64, n)
		for i := range here {
			p := providers[(first+i)%len(providers)]
			here[i] = Place{
				ID: fmt.Sprintf("%s-%s-%d", m.Regions[r].ID, p, i), Region: r, Provider: p,
				Class: classes[rng.IntN(len(classes))],
			}
			capacity[i] = float64(here[i].Class.EgressMbps)
		}
		if n > 0 {
			for i, v := range share(audience[r], 0, capacity) {
				here[i].Viewers = v
			}
		}
		places = append(places, here...)
	}
	return places
}

// keepLargest leaves n regions with a weight, the largest.
func keepLargest(weights, roots []float64, n int) {
	order := make([]int, len(weights))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weights[b], weights[a]) })
	for k, i := range order {
		if k < n {
			roots[i] = 1 // one each
			continue
		}
		weights[i], roots[i] = 0, 0
	}
}

// delay is the time from one node to another, one way and without jitter.
func delay(m *Matrix, a, b *Place) time.Duration {
	d := intraRegion
	if a.Region != b.Region {
		d = max(m.OneWay(a.Region, b.Region), intraRegion)
	}
	if a.Provider != b.Provider {
		d += crossProvider
	}
	return d
}

// jitter is the most that a datagram takes longer.
func jitter(d time.Duration) time.Duration {
	return jitterFloor + time.Duration(float64(d)*jitterShare)
}

// usual is what half of all datagrams take at most: what a link measures.
func usual(d time.Duration) time.Duration { return d + jitter(d)/2 }

// nearHere is how many nodes of the same region a node keeps links to.
const nearHere = 3

// neighbours returns whom each node keeps links to: near ones, and some far ones
// that are the same for many, so that no path needs many hops: one node in each of
// the nearest regions, and as many that lie well apart. Symmetric.
func neighbours(m *Matrix, places []Place, near int) [][]int {
	sets := make([]map[int]bool, len(places))
	for i := range sets {
		sets[i] = map[int]bool{}
	}
	join := func(a, b int) {
		if a != b {
			sets[a][b], sets[b][a] = true, true
		}
	}
	hubs := hubs(m, places, near)
	for i := range places {
		order := make([]int, 0, len(places))
		for j := range places {
			if j != i {
				order = append(order, j)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int {
			return cmp.Or(cmp.Compare(delay(m, &places[i], &places[a]), delay(m, &places[i], &places[b])),
				cmp.Compare(rendezvous(places[i].ID, places[a].ID), rendezvous(places[i].ID, places[b].ID)))
		})
		here, seen := 0, map[int]bool{}
		for _, j := range order {
			switch r := places[j].Region; {
			case r == places[i].Region:
				if here < nearHere {
					here++
					join(i, j)
				}
			case len(seen) < near && !seen[r]:
				seen[r] = true
				join(i, j)
			}
		}
		for _, h := range hubs {
			join(i, h)
		}
	}
	out := make([][]int, len(places))
	for i, set := range sets {
		for j := range set {
			out[i] = append(out[i], j)
		}
		slices.Sort(out[i])
	}
	return out
}

// hubs picks n nodes that lie well apart: each the farthest from those before,
// by audience.
func hubs(m *Matrix, places []Place, n int) []int {
	var picked []int
	far := make([]time.Duration, len(places))
	for i := range far {
		far[i] = math.MaxInt64
	}
	best := 0
	for i, p := range places {
		if m.Regions[p.Region].Weight > m.Regions[places[best].Region].Weight {
			best = i
		}
	}
	for len(picked) < min(n, len(places)) {
		picked = append(picked, best)
		next := best
		for i := range places {
			far[i] = min(far[i], delay(m, &places[best], &places[i]))
			if far[i] > far[next] || next == best {
				next = i
			}
		}
		best = next
	}
	return picked
}

func rendezvous(a, b string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(a + "\x00" + b)) // a hash cannot fail
	return h.Sum64()
}
