package main

import (
	"testing"
	"time"
)

// TestMesh: sixty nodes all over the world hear of everything, and of nothing
// twice as long as nothing changes; a broadcast is known within half a second, a
// dead link soon after its ends notice, and no living node is forgotten.
func TestMesh(t *testing.T) {
	r, err := measure(options{nodes: 60, seed: 3, cold: true, settle: 10 * time.Second, steady: 4 * time.Second, broadcasts: 20, cuts: 4, kills: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.AllKnowS == 0 || r.AllKnowS > 10 {
		t.Errorf("all knew all after %v s", r.AllKnowS)
	}
	if r.Missed != 0 || r.Expired != 0 {
		t.Errorf("%d missed, %d records of living nodes expired", r.Missed, r.Expired)
	}
	if r.Broadcast.N != 20*59 || r.Broadcast.P99 > 500 {
		t.Errorf("a new broadcast: %+v", r.Broadcast)
	}
	if r.Cut.Known.P99 > 700 {
		t.Errorf("a dead link: %+v", r.Cut.Known)
	}
	if p := r.PerNode; p.AdvertWire > 20_000 || p.ProbesPerS > 50 || p.DoublesPerS > 20 {
		t.Errorf("the cost: %+v", p)
	}
	if r.Links.Max > 48 {
		t.Errorf("links: %+v", r.Links)
	}
}
