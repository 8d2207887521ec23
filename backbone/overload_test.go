package backbone

import (
	"testing"
	"time"
)

// TestOverload: a state is taken only after it has held for a while, and between
// the limits nothing changes.
func TestOverload(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		was    bool
		looks  int
		lag    time.Duration
		egress float64
		want   bool
	}{
		"quiet":                      {looks: 100, lag: 10 * ms},
		"late for a moment":          {looks: overloadedAfter - 1, lag: 300 * ms},
		"late for long":              {looks: overloadedAfter, lag: 300 * ms, want: true},
		"somewhat late":              {looks: 100, lag: 200 * ms},
		"egress used up":             {looks: overloadedAfter, egress: 0.96, want: true},
		"much egress":                {looks: 100, egress: 0.9},
		"calm for a moment":          {was: true, looks: calmAfter - 1, want: true},
		"calm for long":              {was: true, looks: calmAfter},
		"still somewhat late":        {was: true, looks: 100, lag: 60 * ms, want: true},
		"calm but for much egress":   {was: true, looks: 100, egress: 0.9, want: true},
		"late timers, little egress": {was: true, looks: 100, lag: 400 * ms, want: true},
	} {
		o := overload{on: c.was}
		changes := 0
		for range c.looks {
			if o.look(c.lag, c.egress) {
				changes++
			}
		}
		if o.on != c.want {
			t.Errorf("%s: %v", name, o.on)
		}
		if want := map[bool]int{true: 1}[c.want != c.was]; changes != want {
			t.Errorf("%s: %d changes", name, changes)
		}
	}
	o := overload{}
	for i := range 100 {
		lag := 300 * ms
		if i%overloadedAfter == overloadedAfter-1 {
			lag = 0
		}
		if o.look(lag, 0) {
			t.Fatal("lateness with pauses between counts as lasting")
		}
	}
}
