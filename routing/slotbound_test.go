package routing_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"trellis/routing"
	"trellis/routing/routingtest"
)

// No optimum is better than the bounds that know slots; and they are often
// sharper than those that do not.
func TestSlotBoundsHold(t *testing.T) {
	sharper := 0
	for seed := range scale(t, 150) {
		r := rand.New(rand.NewPCG(uint64(seed), 31))
		var d *routing.Demand
		switch seed % 3 {
		case 0:
			d = routingtest.Tight(r, 9)
		case 1:
			d = routingtest.Small(r, 10)
		default:
			d = routingtest.Mixed(r, routingtest.MixedKinds[seed/3%len(routingtest.MixedKinds)], 10)
		}
		p, _, score := mustPlan(t, d, routing.Config{})
		if !p.Proven() {
			continue
		}
		inBound, late := p.SlotBounds(5 * time.Millisecond)
		if float64(score.InBound) > inBound*(1+1e-9)+1e-6 {
			t.Errorf("seed %d: %d in bound, at most %g should be possible", seed, score.InBound, inBound)
		}
		if score.LateMs < late*(1-1e-9)-1e-6 {
			t.Errorf("seed %d: lateness %g, at least %g should be needed", seed, score.LateMs, late)
		}
		if b := p.Bounds(0); !math.IsInf(inBound, 1) && inBound < float64(b.Reachable)-1 || late > b.LeastLateMs+1 {
			sharper++
		}
	}
	if sharper < 3 {
		t.Errorf("the bounds were sharper %d times only", sharper)
	}
	t.Logf("sharper than reach %d times", sharper)
}
