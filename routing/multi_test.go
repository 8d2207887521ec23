package routing_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"trellis/routing"
	"trellis/routing/check"
	"trellis/routing/routingtest"
	"trellis/routing/scenario"
)

// Nothing the planner makes is ever invalid, whatever binds, and improving never
// makes a plan worse.
func TestSeveralTracksAreValid(t *testing.T) {
	for seed := range scale(t, 100) {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		d := routingtest.Several(r, 4+r.IntN(14), 6)
		p, plan, score := mustPlan(t, d, routing.Config{Seed: uint64(seed)})
		p.Improve(2 * time.Millisecond)
		better := p.Result()
		if err := check.Plan(d, better); err != nil {
			t.Fatalf("seed %d, improved: %v", seed, err)
		}
		if after := check.Score(d, better); after.Compare(score) < 0 {
			t.Errorf("seed %d: score %+v became %+v", seed, score, after)
		}
		b := p.Bounds(2 * time.Millisecond)
		if s := check.Score(d, better); s.InBound > b.InBound || b.InBound > b.Reachable || s.CostUSD < b.CostUSD-1e-9 {
			t.Errorf("seed %d: score %+v beats its bounds %+v", seed, s, b)
		}
		guarded, err := routing.Protect(d, plan, routing.Grade(1+seed%3), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := check.Plan(d, guarded); err != nil {
			t.Fatalf("seed %d, protected: %v", seed, err)
		}
		checkSingleFailures(t, seed, d, guarded)
	}
}

// checkSingleFailures fails every node alone and looks for overload.
func checkSingleFailures(t *testing.T, seed int, d *routing.Demand, p *routing.Plan) {
	t.Helper()
	for v := range d.Graph.Len() {
		dead := make([]bool, d.Graph.Len())
		dead[v] = true
		for _, f := range d.Fail(p, dead) {
			if len(f.Overloaded) > 0 {
				t.Errorf("seed %d: loss of %s overloads %v", seed, d.Graph.Node(v).ID, f.Overloaded)
			}
		}
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	for seed := range 20 {
		var first []byte
		for range 3 {
			r := rand.New(rand.NewPCG(uint64(seed), 4))
			d := routingtest.Several(r, 14, 4)
			p, _, _ := mustPlan(t, d, routing.Config{Seed: 7})
			p.Improve(3 * time.Millisecond)
			plan, err := routing.Protect(d, p.Result(), routing.ByRegion, 7)
			if err != nil {
				t.Fatal(err)
			}
			b := scenario.AppendPlan(nil, d, plan)
			if first == nil {
				first = b
			}
			if !slices.Equal(b, first) {
				t.Fatalf("seed %d: plans differ\n%s\n%s", seed, first, b)
			}
		}
	}
}

// A demand that no plan can satisfy says which node and how much.
func TestImpossible(t *testing.T) {
	g, err := routing.NewGraph([]routing.Node{{ID: "S", EgressMbps: 10}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &routing.Demand{Graph: g, Tracks: []routing.Track{
		{ID: "a", RateMbps: 1, Terminals: []routing.Terminal{{Node: 0, Viewers: 11}}},
	}}
	_, err = routing.New(d, routing.Config{})
	want := "no plan is valid: the viewers at source S take 11 Mbit/s of its 10 (track a)"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// The gate leaves a running plan alone while it is good enough, and always
// returns a valid one.
func TestGate(t *testing.T) {
	for seed := range scale(t, 200) {
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		d := routingtest.Several(r, 4+r.IntN(12), 3)
		_, plan, score := mustPlan(t, d, routing.Config{})
		again, err := routing.New(d, routing.Config{Seed: 9})
		if err != nil {
			t.Fatal(err)
		}
		again.PlanGated(plan)
		kept := again.Result()
		if err := check.Plan(d, kept); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(d.Tracks) == 1 && d.Graph.Len() <= 12 {
			if moved := d.Moved(plan, kept); moved != 0 {
				t.Errorf("seed %d: %d viewers moved from an optimal plan %+v to %+v", seed, moved, score, check.Score(d, kept))
			}
		}
		// A plan for another demand is as good a start as any: still valid.
		stray := routing.NewTree(d.Graph.Len())
		for v := range stray.Parent {
			stray.Parent[v] = int32(r.IntN(d.Graph.Len()+1)) - 1
		}
		odd := &routing.Plan{}
		for i := range d.Tracks {
			odd.Tracks = append(odd.Tracks, routing.TrackPlan{ID: d.Tracks[i].ID, Tree: stray})
		}
		again, err = routing.New(d, routing.Config{})
		if err != nil {
			t.Fatal(err)
		}
		again.PlanGated(odd)
		if err := check.Plan(d, again.Result()); err != nil {
			t.Fatalf("seed %d, from a stray plan: %v", seed, err)
		}
	}
}

// Every batch of a change is possible while what it replaces still runs, and the
// end of the change is the new plan.
func TestDiff(t *testing.T) {
	breaks := 0
	for seed := range scale(t, 300) {
		r := rand.New(rand.NewPCG(uint64(seed), 6))
		d := routingtest.Several(r, 4+r.IntN(12), 3)
		_, after, _ := mustPlan(t, d, routing.Config{})
		before := &routing.Plan{Tracks: slices.Clone(after.Tracks)}
		for i := range before.Tracks { // an older plan: without some subtree
			tree := before.Tracks[i].Tree.Clone()
			for v := range tree.Parent {
				if r.IntN(4) == 0 {
					tree.Parent[v] = routing.None
				}
			}
			before.Tracks[i].Tree = connected(&d.Tracks[i], tree)
		}
		c := d.Diff(before, after, 1)
		breaks += len(c.Breaks)
		now := make([]routing.Tree, len(before.Tracks))
		for i := range now {
			now[i] = before.Tracks[i].Tree.Clone()
		}
		apply := func(m routing.Move) {
			if int(now[m.Track].Parent[m.Node]) != m.From {
				t.Fatalf("seed %d: move %+v starts elsewhere", seed, m)
			}
			now[m.Track].Parent[m.Node] = int32(m.To)
		}
		for _, b := range c.Batches {
			for _, m := range b {
				apply(m)
			}
		}
		for _, m := range c.Breaks {
			apply(m)
		}
		for i := range now {
			if !slices.Equal(now[i].Parent, after.Tracks[i].Tree.Parent) {
				t.Fatalf("seed %d: track %d ends as %v, want %v", seed, i, now[i].Parent, after.Tracks[i].Tree.Parent)
			}
		}
	}
	if breaks > 0 {
		t.Errorf("%d moves had to break although the old plans only lacked arcs", breaks)
	}
}

// connected keeps of a parent map what hangs on the source and is of use.
func connected(k *routing.Track, t routing.Tree) routing.Tree {
	for again := true; again; {
		again = false
		kids := make([]int, len(t.Parent))
		for _, u := range t.Parent {
			if u != routing.None {
				kids[u]++
			}
		}
		for v, u := range t.Parent {
			if u == routing.None {
				continue
			}
			terminal := slices.ContainsFunc(k.Terminals, func(e routing.Terminal) bool { return e.Node == v })
			if int(u) != k.Source && t.Parent[u] == routing.None || kids[v] == 0 && !terminal {
				t.Parent[v] = routing.None
				again = true
			}
		}
	}
	return t
}

// Tracks that crowd one another, on all shapes of graph: every plan is valid, a
// better one and a gated one as well, and within its bounds.
func TestCrowdedTracksAreValid(t *testing.T) {
	for seed := range scale(t, 6) {
		r := rand.New(rand.NewPCG(uint64(seed), 41))
		kind := routingtest.MixedKinds[seed%len(routingtest.MixedKinds)]
		d := routingtest.Crowded(r, kind, 12+r.IntN(40), 8)
		p, plan, _ := mustPlan(t, d, routing.Config{Seed: uint64(seed), MaxShare: 0.4 * float64(seed%3)})
		p.Improve(2 * time.Millisecond)
		better := p.Result()
		if err := check.Plan(d, better); err != nil {
			t.Fatalf("seed %d, %s, improved: %v", seed, kind, err)
		}
		b := p.Bounds(2 * time.Millisecond)
		if s := check.Score(d, better); s.InBound > b.InBound || s.LateMs < b.LeastLateMs-1e-3 || s.CostUSD < b.CostUSD-1e-9 {
			t.Errorf("seed %d, %s: score %+v beats its bounds %+v", seed, kind, s, b)
		}
		again, err := routing.New(d, routing.Config{Seed: 9})
		if err != nil {
			t.Fatal(err)
		}
		again.PlanGated(plan)
		if err := check.Plan(d, again.Result()); err != nil {
			t.Fatalf("seed %d, %s, gated: %v", seed, kind, err)
		}
	}
}
