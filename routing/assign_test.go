package routing_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"trellis/routing"
)

// bestAssignment tries all ways, viewer by viewer; opening costs left out.
func bestAssignment(clusters []routing.Cluster, room []int64, edges []routing.Edge, j int, n int64) (placed int64, cost float64) {
	for j < len(clusters) && n == clusters[j].Viewers {
		j, n = j+1, 0
	}
	if j == len(clusters) {
		return 0, 0
	}
	placed, cost = bestAssignment(clusters, room, edges, j, n+1) // left out
	for _, x := range clusters[j].Access {
		if room[x.Edge] == 0 {
			continue
		}
		room[x.Edge]--
		p, c := bestAssignment(clusters, room, edges, j, n+1)
		room[x.Edge]++
		if p, c = p+1, c+edges[x.Edge].ViewerUSD; p > placed || p == placed && c < cost {
			placed, cost = p, c
		}
	}
	return placed, cost
}

func TestAssignAgainstBruteForce(t *testing.T) {
	for seed := range scale(t, 300) {
		r := rand.New(rand.NewPCG(uint64(seed), 9))
		edges := make([]routing.Edge, 1+r.IntN(4))
		room := make([]int64, len(edges))
		for i := range edges {
			room[i] = int64(r.IntN(4))
			edges[i] = routing.Edge{Node: i, Viewers: room[i], ViewerUSD: float64(r.IntN(6))}
		}
		clusters := make([]routing.Cluster, 1+r.IntN(4))
		for j := range clusters {
			clusters[j].Viewers = int64(r.IntN(4))
			for e := range edges {
				if r.IntN(3) > 0 {
					clusters[j].Access = append(clusters[j].Access, routing.Access{Edge: e, DelayMs: float64(r.IntN(20))})
				}
			}
		}
		got, err := routing.Assign(clusters, edges, 100)
		if err != nil {
			t.Fatal(err)
		}
		placed, cost := bestAssignment(clusters, room, edges, 0, 0)
		if got.Assigned != placed || math.Abs(got.CostUSD-cost) > 1e-9 {
			t.Fatalf("seed %d: assigned %d for %g, brute force %d for %g", seed, got.Assigned, got.CostUSD, placed, cost)
		}
		used := make([]int64, len(edges))
		for _, s := range got.Shares {
			used[s.Edge] += s.Viewers
		}
		for e := range used {
			if used[e] > room[e] {
				t.Fatalf("seed %d: edge %d takes %d of %d", seed, e, used[e], room[e])
			}
		}
	}
}

// An edge whose few viewers fit elsewhere for less than it costs to open is not
// opened.
func TestAssignSparesEdges(t *testing.T) {
	edges := []routing.Edge{{Viewers: 100, OpenUSD: 1}, {Viewers: 100, OpenUSD: 1}}
	clusters := []routing.Cluster{
		{Viewers: 50, Access: []routing.Access{{Edge: 0, DelayMs: 1}, {Edge: 1, DelayMs: 5}}},
		{Viewers: 3, Access: []routing.Access{{Edge: 1, DelayMs: 1}, {Edge: 0, DelayMs: 9}}},
	}
	got, err := routing.Assign(clusters, edges, 50)
	if err != nil || got.Opened != 1 || got.Assigned != 53 {
		t.Errorf("assignment %+v, %v; want one open edge for 53", got, err)
	}
	if got, _ = routing.Assign(clusters, edges, 4); got.Opened != 2 {
		t.Errorf("with access of at most 4 ms: %+v; want both edges open", got)
	}
}
