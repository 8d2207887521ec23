package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"trellis/internal/edges"
	"trellis/internal/node"
)

// fakeNode answers drain commands: three polls until it is drained.
func fakeNode(t *testing.T) (addr string, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	left := 3
	h := http.NewServeMux()
	say := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	state := func(w http.ResponseWriter) {
		s := node.DrainStatus{State: node.Draining, LeftS: float64(left), Remaining: node.Remaining{Viewers: left}}
		if left == 0 {
			s = node.DrainStatus{State: node.Drained, TookS: 3}
		}
		say(w, s)
	}
	h.HandleFunc("POST /v1/drain", func(w http.ResponseWriter, _ *http.Request) { state(w) })
	h.HandleFunc("GET /v1/drain", func(w http.ResponseWriter, _ *http.Request) { left--; state(w) })
	h.HandleFunc("POST /v1/undrain", func(w http.ResponseWriter, _ *http.Request) { say(w, node.DrainStatus{State: node.Serving}) })
	h.HandleFunc("GET /v1/edges", func(w http.ResponseWriter, _ *http.Request) {
		ms := 12.5
		say(w, node.EdgesAnswer{Node: "a", Edges: []edges.Edge{{Node: "b", State: edges.Free, ExpectedMs: &ms, AccessFrom: edges.Distance, Reason: edges.Best}}})
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.String())
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), asked
}

func TestDrainCommands(t *testing.T) {
	s := newShell(t)
	addr, asked := fakeNode(t)
	if out, _ := s.run(exitOK, "", "drain", "--admin", addr, "--deadline", "9s"); !strings.Contains(out, "draining: 0 children, 3 viewers") {
		t.Errorf("drain says %s", out)
	}
	if out, _ := s.run(exitOK, "", "drain", "--admin", addr, "--wait"); !strings.Contains(out, "drained in 3.0 s") {
		t.Errorf("drain --wait says %s", out)
	}
	if out, _ := s.run(exitOK, "", "undrain", "--admin", addr, "--json"); !strings.Contains(out, `"state":"serving"`) {
		t.Errorf("undrain says %s", out)
	}
	if out, _ := s.run(exitOK, "", "edges", "--admin", addr, "--broadcast", "room/a", "--lat", "1", "--lon", "2"); !strings.Contains(out, "12.5") || !strings.Contains(out, "distance") {
		t.Errorf("edges says %s", out)
	}
	got := strings.Join(*asked, "\n")
	want := []string{
		"POST /v1/drain?deadline=9s", "POST /v1/drain?deadline=30s", "GET /v1/drain", "GET /v1/drain", "GET /v1/drain",
		"POST /v1/undrain", "GET /v1/edges?broadcast=room%2Fa&lat=1&lon=2",
	}
	if got != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	s.run(exitUsage, "", "drain", "--deadline", "-1s")
	s.run(exitUsage, "", "edges", "--lat", "91", "--lon", "0")
	if _, why := s.run(exitFailed, "", "undrain", "--admin", "127.0.0.1:1"); !strings.Contains(why, "no node takes commands there") {
		t.Errorf("without a node: %s", why)
	}
}
