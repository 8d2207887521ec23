package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"trellis/backbone"
)

// TestWhy: what a node answers is told as a table of all nodes, or as all there is
// to know of one.
func TestWhy(t *testing.T) {
	s := newShell(t)
	since := time.Now().Add(-90 * time.Second)
	all := backbone.RoutesStatus{
		Node: "a", Broadcast: "room/alice", Track: "video", Origin: "a", Version: 7, Protect: "warm", RateMbps: 2.5,
		Summary: &backbone.PlanSummary{Viewers: 3, Reachable: 3, InBound: 2, Protected: 1, Unserved: []string{"z: no path"}},
		Routes: []backbone.RouteStatus{{
			Node: "e", Viewers: 2, Parent: "d", Planned: []string{"a", "b"}, Obstacle: "busy", Version: 7,
			Path: []backbone.HopStatus{
				{Node: "a", Age: "origin"},
				{Node: "d", LinkMs: 20, PredictedMs: 20, Age: "measured", AgeMs: 20.4, AgeErrMs: 1.2},
				{Node: "e", LinkMs: 20, PredictedMs: 40.2, Age: "unsynchronised"},
			},
			PredictedMs: 22.5, BoundMs: 80, SlackMs: 57.5, PriceUSDh: 0.09, Protect: "warm", Backup: []string{"a", "d"}, BackupMs: 40,
			Reason: "cheaper", Note: "one cent less", Since: &since,
			Changes: []backbone.Change{{At: since, Version: 6, Path: []string{"a", "b"}, Reason: "cheaper"}},
		}},
	}
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		if err := json.NewEncoder(w).Encode(all); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	addr := srv.Listener.Addr().String()

	want := func(out string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in\n%s", w, out)
			}
		}
	}
	out, _ := s.run(exitOK, "", "why", "room/alice/video", "--admin", addr)
	want(out, "enters at a; plan 7, warm, 2.50 Mbit/s", "not served: z: no path", "NODE", "22.5 ms", "57.5 ms", "unsynchronised", "cheaper, but busy")
	out, _ = s.run(exitOK, "", "why", "room/alice/video", "--edge", "e", "--admin", addr)
	want(out, "e: 2 viewers, from d", "enters here", "20.4 ± 1.2 ms", "a > b, 22.5 ms, by plan 7", "but      busy",
		"57.5 ms to the bound of 80.0 ms", "0.0900 USD/h", "a > d, 40.0 ms, warm", "cheaper: one cent less; for 1m30s", "1m30s ago")
	out, _ = s.run(exitOK, "", "why", "room/alice/video", "--json", "--admin", addr)
	var back backbone.RoutesStatus
	if err := json.Unmarshal([]byte(out), &back); err != nil || back.Routes[0].Note != "one cent less" {
		t.Errorf("%v: %s", err, out)
	}
	if want := "/v1/routes?edge=e&track=room%2Falice%2Fvideo"; asked[1] != want {
		t.Errorf("asked for %s, want %s", asked[1], want)
	}
	if _, why := s.run(exitUsage, "", "why"); !strings.Contains(why, "arg") {
		t.Errorf("without a track: %s", why)
	}
}
