package telemetry_test

import (
	"testing"
	"time"

	"trellis/internal/telemetry"
)

func TestEvents(t *testing.T) {
	e := telemetry.NewEvents(4)
	start := time.Unix(1000, 0)
	for i := range 7 {
		e.Add(telemetry.Event{At: start.Add(time.Duration(i) * time.Second), Kind: telemetry.ParentMoving, Reason: "cheaper"})
	}
	for _, c := range []struct {
		since uint64
		want  []uint64
	}{
		{0, []uint64{3, 4, 5, 6}}, // the first three are forgotten
		{5, []uint64{5, 6}},
		{7, nil},
		{100, nil},
	} {
		got, next := e.Since(c.since)
		if next != 7 || len(got) != len(c.want) {
			t.Errorf("since %d: %d events, next %d; want %d and 7", c.since, len(got), next, len(c.want))
			continue
		}
		for i, ev := range got {
			if ev.Seq != c.want[i] || ev.At != start.Add(time.Duration(c.want[i])*time.Second) {
				t.Errorf("since %d: event %d is %+v, want number %d", c.since, i, ev, c.want[i])
			}
		}
	}
	var none *telemetry.Events
	none.Add(telemetry.Event{})
	if got, next := none.Since(0); got != nil || next != 0 {
		t.Errorf("nobody remembers %v, %d", got, next)
	}
}
