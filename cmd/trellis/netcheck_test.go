package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"trellis/backbone"
)

// TestNetcheck: what a node knows of the mesh is told as tables.
func TestNetcheck(t *testing.T) {
	s := newShell(t)
	g := backbone.GraphStatus{
		Self: "a",
		Nodes: []backbone.GraphNode{
			{ID: "a", Region: "r1", Heard: true, Egress: backbone.Usage{Used: 120, Limit: 1000}, Viewers: backbone.Usage{Used: 7}, State: []string{"draining"}},
			{ID: "b", Region: "r1", Heard: true},
			{ID: "c", Region: "r2", Heard: true, RTTMs: 81.25, Prior: true},
			{ID: "d", Region: "r3", RTTMs: 1000, Prior: true},
		},
		Own: []backbone.OwnLink{{
			Peer: "b", Region: "r1", State: "up", HeldDown: 4, Causes: []string{"near", "planned_parent"}, RTTMinMs: 39.5, RTTP50Ms: 40, RTTP95Ms: 41.5,
			LossIn: 0.01, Synchronised: true, ClockOffsetMs: -12, ClockErrorMs: 2.5, Lanes: 3, OutMbps: 12.5, AgeMs: 700,
		}},
		Links:  []backbone.GraphLink{{From: "a", To: "b", Both: true}, {From: "b", To: "a", Both: true}, {From: "b", To: "c"}},
		Chosen: map[string]string{"b": "near", "d": "unheard"},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/graph" {
			t.Errorf("asked for %s", r.URL)
		}
		if err := json.NewEncoder(w).Encode(g); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	addr := srv.Listener.Addr().String()
	out, _ := s.run(exitOK, "", "netcheck", "--admin", addr)
	for _, w := range []string{
		"a knows 4 nodes and 1 links", "egress 120/1000 Mbit/s, viewers 7/-", "; draining", "40.0 ms", "39.5..41.5", "1.00%", "-12.0 ± 2.5 ms",
		"held down 4 s", "near, planned_parent", "wanted, but not there: d (unheard)", "the nearest of 2", "81.2 ms", "prior", "not heard of",
	} {
		if !strings.Contains(out, w) {
			t.Errorf("no %q in\n%s", w, out)
		}
	}
	out, _ = s.run(exitOK, "", "netcheck", "--json", "--admin", addr)
	var back backbone.GraphStatus
	if err := json.Unmarshal([]byte(out), &back); err != nil || len(back.Own) != 1 || back.Own[0].Lanes != 3 {
		t.Errorf("%v: %s", err, out)
	}
}
