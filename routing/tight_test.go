package routing_test

import (
	"math/rand/v2"
	"testing"

	"trellis/routing"
	"trellis/routing/check"
	"trellis/routing/routingtest"
)

// Where slots are short, the first plan is never worse than that of a greedy
// planner with local search, whatever the shape of the graph.
func TestFirstPlanBeatsTheSimplePlanner(t *testing.T) {
	for seed := range scale(t, 60) {
		kind := routingtest.MixedKinds[seed%len(routingtest.MixedKinds)]
		d := routingtest.Mixed(rand.New(rand.NewPCG(uint64(seed), 21)), kind, 40)
		_, simple := routingtest.Simple(d)
		_, _, score := mustPlan(t, d, routing.Config{Seed: 1})
		if score.Compare(simple) < 0 {
			t.Errorf("seed %d, %s: score %+v, the simple planner's %+v", seed, kind, score, simple)
		}
	}
}

// The simple planner's own plans are valid, or beating them would say nothing.
func TestSimplePlannerIsValid(t *testing.T) {
	for seed := range scale(t, 40) {
		kind := routingtest.MixedKinds[seed%len(routingtest.MixedKinds)]
		d := routingtest.Mixed(rand.New(rand.NewPCG(uint64(seed), 22)), kind, 30)
		tree, score := routingtest.Simple(d)
		plan := &routing.Plan{Tracks: []routing.TrackPlan{{ID: "v0", Tree: tree}}}
		if err := check.Plan(d, plan); err != nil {
			t.Errorf("seed %d, %s: %v", seed, kind, err)
		}
		if got := check.Score(d, plan); got.Compare(score) != 0 {
			t.Errorf("seed %d, %s: score %+v, the checker's %+v", seed, kind, score, got)
		}
	}
}
