//go:build e2e

package fanout

import (
	"os"
	"testing"
	"time"
)

// TestSoak is a minute of the soak: what grows slowly does not show, but all that a
// session may leave behind, and each packet is looked at.
func TestSoak(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Soak(t.Context(), SoakConfig{
		SoakLoad: SoakLoad{Viewers: 12, Guests: 2, Stay: 20 * time.Second}, Length: time.Minute, Self: []string{self}, Progress: func(s string) { t.Log(s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Text())
	if r.Verdict != Pass || r.Counts.Joins < 30 || r.Counts.Vanished == 0 || r.Counts.Streamed == 0 || r.Counts.InWraps[1] == 0 {
		t.Errorf("%s: %d joined, %d vanished, %d over MoQ, the publisher's numbers wrapped %v times",
			r.Verdict, r.Counts.Joins, r.Counts.Vanished, r.Counts.Streamed, r.Counts.InWraps)
	}
}
