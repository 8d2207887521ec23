package backbone

import (
	"testing"
	"time"

	"trellis/wire/peer"
)

// TestShortcut: a link to the origin is worth having where it is measured or
// guessed to be shorter than the plan, and a late route makes a longer guess
// worth trying, and a shorter gain worth having. So does a late backup.
func TestShortcut(t *testing.T) {
	const bound = 80 * time.Millisecond
	for name, c := range map[string]struct {
		measured time.Duration // round trip
		planned  time.Duration
		bound    time.Duration
		backup   time.Duration
		want     bool
	}{
		"measured shorter":          {160 * time.Millisecond, 83 * time.Millisecond, bound, 0, true},
		"measured hardly shorter":   {132 * time.Millisecond, 67 * time.Millisecond, bound, 0, false},
		"in time, a little shorter": {100 * time.Millisecond, 59 * time.Millisecond, bound, 0, false},
		"in time, much shorter":     {96 * time.Millisecond, 59 * time.Millisecond, bound, 0, true},
		"late but for a raised one": {159 * time.Millisecond, 80700 * time.Microsecond, 88700 * time.Microsecond, 0, true},
		"late, hardly shorter":      {158 * time.Millisecond, 80150 * time.Microsecond, bound, 0, true},
		"late, not shorter":         {161 * time.Millisecond, 80600 * time.Microsecond, bound, 0, false},
		"the backup is late":        {158 * time.Millisecond, 79 * time.Millisecond, bound, 90 * time.Millisecond, true},
		"the backup is in time":     {158 * time.Millisecond, 79 * time.Millisecond, bound, 79 * time.Millisecond, false},
		"backup late, no way out":   {184 * time.Millisecond, 79 * time.Millisecond, bound, 90 * time.Millisecond, false},
		"measured longer":           {200 * time.Millisecond, 90 * time.Millisecond, bound, 0, false},
		"nothing known, in time":    {0, 60 * time.Millisecond, bound, 0, false},
		"nothing known, hardly":     {0, 70 * time.Millisecond, bound, 0, true},
		"nothing known, very late":  {0, 400 * time.Millisecond, bound, 0, true},
		"late by its raised bound":  {0, 340 * time.Millisecond, 380 * time.Millisecond, 0, true},
		"well within its bound":     {0, 340 * time.Millisecond, 420 * time.Millisecond, 0, false},
	} {
		k, err := NewKnowledge(KnowledgeConfig{Node: "edge", Region: "here", About: peer.NodeValue{Region: "here"}}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if c.measured > 0 {
			k.places.measured["origin"] = roundTrip{rtt: c.measured, at: time.Now()}
		}
		u := &upstream{origin: "origin"}
		u.plan.version, u.plan.route = 1, peer.Route{Path: []string{"origin", "relay"}, Delay: c.planned, Bound: c.bound}
		if c.backup > 0 {
			u.plan.route.Backup, u.plan.route.BackupDelay = []string{"origin", "other"}, c.backup
		}
		if got := (&Mesh{loopState: loopState{know: k}}).shortcut(u, time.Now()); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
