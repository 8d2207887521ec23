package node

import (
	"context"
	"runtime/debug"
	"testing"
)

// TestGarbage: there may be less of it while it is rare.
func TestGarbage(t *testing.T) {
	g := garbage{percent: garbageOften}
	for i, step := range []struct {
		cycles  uint64
		percent int
		changed bool
	}{{3, 100, false}, {9, 100, false}, {9, 50, true}, {9, 50, false}, {10, 100, true}, {10, 50, true}, {12, 100, true}, {20, 100, false}} {
		if changed := g.next(step.cycles); changed != step.changed || g.percent != step.percent {
			t.Errorf("step %d: %d, changed %v, want %d, %v", i, g.percent, changed, step.percent, step.changed)
		}
	}
}

// TestTendMemoryEnds with its context, and leaves what was set before.
func TestTendMemoryEnds(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	TendMemory(ctx)
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("GOGC is %d afterwards, was 77", got)
	}
}
