package routing_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"trellis/routing"
	"trellis/routing/check"
	"trellis/routing/routingtest"
)

// scale multiplies the number of random cases: TRELLIS_PROPERTY=50 makes a long
// run of what is short by default.
func scale(tb testing.TB, n int) int {
	tb.Helper()
	s := os.Getenv("TRELLIS_PROPERTY")
	if s == "" {
		return n
	}
	x, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatalf("TRELLIS_PROPERTY: %v", err)
	}
	return n * x
}

// bruteForce tries every parent map there is.
type bruteForce struct {
	d       *routing.Demand
	k       *routing.Track
	tree    routing.Tree
	parents [][]int32 // candidates of each node, None first
	kids    []int
	best    routing.Score
	tried   int
}

func newBruteForce(d *routing.Demand) *bruteForce {
	g := d.Graph
	b := &bruteForce{d: d, k: &d.Tracks[0], tree: routing.NewTree(g.Len()), kids: make([]int, g.Len())}
	for v := range g.Len() {
		row := []int32{routing.None}
		for u := range g.Len() {
			if a, ok := g.Arc(u, v); ok && v != b.k.Source && g.Node(u).MaxChildren != 0 &&
				(a.CapMbps == 0 || a.CapMbps >= b.k.RateMbps) {
				row = append(row, int32(u))
			}
		}
		b.parents = append(b.parents, row)
	}
	return b
}

func (b *bruteForce) size() float64 {
	size := 1.0
	for _, row := range b.parents {
		size *= float64(len(row))
	}
	return size
}

func (b *bruteForce) run(v int) {
	if v == b.d.Graph.Len() {
		b.tried++
		p := &routing.Plan{Tracks: []routing.TrackPlan{{ID: b.k.ID, Tree: b.tree}}}
		if check.Plan(b.d, p) == nil {
			if s := check.Score(b.d, p); s.Compare(b.best) > 0 {
				b.best = s
			}
		}
		return
	}
	for _, u := range b.parents[v] {
		if u != routing.None {
			if m := b.d.Graph.Node(int(u)).MaxChildren; m >= 0 && b.kids[u] >= m {
				continue
			}
			b.kids[u]++
		}
		b.tree.Parent[v] = u
		b.run(v + 1)
		b.tree.Parent[v] = routing.None
		if u != routing.None {
			b.kids[u]--
		}
	}
}

func mustPlan(tb testing.TB, d *routing.Demand, cfg routing.Config) (*routing.Planner, *routing.Plan, routing.Score) {
	tb.Helper()
	p, err := routing.New(d, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	p.Plan(nil)
	plan := p.Result()
	if err := check.Plan(d, plan); err != nil {
		tb.Fatalf("plan: %v", err)
	}
	return p, plan, check.Score(d, plan)
}

func TestExactAgainstBruteForce(t *testing.T) {
	tried := 0
	for seed := range scale(t, 1500) {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		d := routingtest.Small(r, 3+r.IntN(5))
		b := newBruteForce(d)
		if b.size() > 40_000 {
			continue
		}
		tried++
		p, _, got := mustPlan(t, d, routing.Config{})
		b.run(0)
		if !p.Proven() {
			t.Errorf("seed %d: not proven", seed)
		}
		if got.Compare(b.best) != 0 {
			t.Fatalf("seed %d: score %+v, brute force over %d trees %+v", seed, got, b.tried, b.best)
		}
	}
	t.Logf("%d instances", tried)
}

func TestExactTwelveNodes(t *testing.T) {
	for seed := range scale(t, 300) {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		d := routingtest.Small(r, 9+r.IntN(4))
		if p, _, _ := mustPlan(t, d, routing.Config{}); !p.Proven() {
			t.Errorf("seed %d: not proven", seed)
		}
	}
}
