package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"trellis/edge/whip/whipclient"
	"trellis/internal/auth"
	"trellis/internal/edges"
	"trellis/internal/node"
	"trellis/internal/sim"
)

// client is a machine at the node's doors, with a token for everything.
func (r *running) client(name string) *sim.Client {
	r.w.Helper()
	token := r.w.token(auth.Claims{Publish: []string{""}, Subscribe: []string{""}, Subject: name})
	c := sim.NewClient(r.w.net.Host(name), sim.Door{MoQ: r.host.AddrPort(quicPort), HTTP: r.host.AddrPort(quicPort)}, token)
	r.w.ends = append(r.w.ends, func() { r.w.must(c.Close()) })
	return c
}

// ask makes a request to the admin handler and decodes the answer.
func (r *running) ask(method, path string, v any, header ...string) int {
	r.w.Helper()
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(r.w.Context(), method, "http://localhost"+path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	r.AdminHandler().ServeHTTP(rec, req)
	if rec.Code == http.StatusOK {
		r.w.must(json.Unmarshal(rec.Body.Bytes(), v))
	}
	return rec.Code
}

func (r *running) wantState(when string, state node.DrainState, left node.Remaining) node.DrainStatus {
	r.w.Helper()
	var s node.DrainStatus
	if code := r.ask("GET", "/v1/drain", &s); code != http.StatusOK || s.State != state || s.Remaining != left {
		r.w.Errorf("%s: %d, %+v, want %s with %+v", when, code, s, state, left)
	}
	return s
}

// public makes a node known to clients under its address.
func public(w *world, name string) func(*node.Config) {
	return func(c *node.Config) { c.Public.URL = "http://" + w.net.Host(name).AddrPort(quicPort).String() }
}

// TestDrain: the node sends newcomers to the other one, lets those who are there
// stay until the deadline, ends them then, and serves again when it is told to.
func TestDrain(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("a", []string{"b"}, public(w, "a"))
		b := w.node("b", []string{"a"}, public(w, "b"))
		time.Sleep(2 * time.Second)
		p, err := b.client("alice").PublishWHIP(w.Context(), "room/alice", sim.Clip{})
		w.must(err)
		time.Sleep(3 * time.Second)
		moq, err := a.client("bob").WatchMoQ(w.Context(), p)
		w.must(err)
		whep, err := a.client("carol").WatchWHEP(w.Context(), p)
		w.must(err)
		time.Sleep(time.Second)
		a.wantState("before", node.Serving, node.Remaining{Viewers: 2})

		var s node.DrainStatus
		if code := a.ask("POST", "/v1/drain?deadline=6s", &s); code != http.StatusOK || s.State != node.Draining || s.LeftS != 6 {
			t.Errorf("%d, %+v", code, s)
		}
		if code, _ := a.get("/readyz", "localhost"); code != http.StatusServiceUnavailable {
			t.Errorf("a node that drains is ready: %d", code)
		}
		if code, _ := a.get("/healthz", "localhost"); code != http.StatusOK {
			t.Errorf("a node that drains is not alive: %d", code)
		}
		time.Sleep(2 * time.Second)
		if s := a.wantState("draining", node.Draining, node.Remaining{Viewers: 2}); s.LeftS != 4 {
			t.Errorf("%v s left, want 4", s.LeftS)
		}
		// A newcomer is served, by the other node.
		dora, err := a.client("dora").WatchWHEP(w.Context(), p)
		w.must(err)
		time.Sleep(time.Second)
		if as, bs := a.status().Sessions, b.status().Sessions; as.WHEP != 1 || bs.WHEP != 1 || len(dora.Arrivals(sim.Video)) == 0 {
			t.Errorf("%d viewers by WHEP at a and %d at b", as.WHEP, bs.WHEP)
		}
		frames := len(whep.Arrivals(sim.Video))
		time.Sleep(2500 * time.Millisecond)
		if n := len(whep.Arrivals(sim.Video)); n-frames < 50 {
			t.Errorf("a viewer got %d frames while there was time", n-frames)
		}
		time.Sleep(time.Second) // the deadline is over
		s = a.wantState("at the deadline", node.Drained, node.Remaining{})
		if s.Ended != (node.Remaining{Viewers: 2}) || s.TookS < 6 || s.TookS > 6.1 {
			t.Errorf("ended %+v after %v s", s.Ended, s.TookS)
		}
		if got := a.status().Sessions; got != (node.Sessions{}) {
			t.Errorf("sessions %+v", got)
		}
		if code := a.ask("POST", "/v1/undrain", &s); code != http.StatusOK || s.State != node.Serving {
			t.Errorf("%d, %+v", code, s)
		}
		if code, _ := a.get("/readyz", "localhost"); code != http.StatusOK {
			t.Errorf("a node that serves again is not ready: %d", code)
		}
		again, err := a.client("erin").WatchWHEP(w.Context(), p)
		w.must(err)
		time.Sleep(time.Second)
		a.wantState("after", node.Serving, node.Remaining{Viewers: 1})
		_, _ = moq.Stop(), whep.Stop() // they were ended
		w.must(errors.Join(dora.Stop(), again.Stop(), p.Stop()))
	})
}

// TestDrainNobody: a node without clients is drained at once, and a command that
// comes when it is does nothing.
func TestDrainNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("a", nil, nil)
		var s node.DrainStatus
		for range 2 {
			if code := a.ask("POST", "/v1/drain", &s); code != http.StatusOK || s.State != node.Drained || s.TookS != 0 {
				t.Errorf("%d, %+v", code, s)
			}
			time.Sleep(time.Second)
		}
		if code := a.ask("DELETE", "/v1/drain", &s); code != http.StatusOK || s.State != node.Serving {
			t.Errorf("%d, %+v", code, s)
		}
		for path, want := range map[string]int{
			"/v1/drain?deadline=-1s": 400, "/v1/drain?deadline=2h": 400, "/v1/drain?deadline=soon": 400,
		} {
			if code := a.ask("POST", path, &s); code != want {
				t.Errorf("%s: %d, want %d", path, code, want)
			}
		}
		// Pages of other sites may not, whatever name they call this machine by.
		if code := a.ask("POST", "/v1/drain", &s, "Sec-Fetch-Site", "cross-site"); code != http.StatusForbidden {
			t.Errorf("a page drained the node: %d", code)
		}
		a.wantState("at the end", node.Serving, node.Remaining{})
	})
}

// TestDrainThenStop: a signal while the node drains by command keeps the earlier
// deadline of the two.
func TestDrainThenStop(t *testing.T) {
	for name, tc := range map[string]struct{ command, shutdown, want time.Duration }{
		"the command's is earlier": {3 * time.Second, 20 * time.Second, 3 * time.Second},
		"the signal's is earlier":  {20 * time.Second, 3 * time.Second, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a := w.node("a", nil, func(c *node.Config) { c.Shutdown = tc.shutdown })
				p, err := a.client("alice").PublishWHIP(w.Context(), "room/alice", sim.Clip{})
				w.must(err)
				w.ends = append(w.ends, func() { _ = p.Stop() }) // its session was ended
				time.Sleep(time.Second)
				began := time.Now()
				_, err = a.Drain(w.Context(), tc.command)
				w.must(err)
				time.Sleep(time.Second)
				a.end()
				if took := time.Since(began); took < tc.want || took > tc.want+1500*time.Millisecond {
					t.Errorf("ended after %v, want %v", took, tc.want)
				}
			})
		})
	}
}

// TestRedirectToBetterEdge: a client that says where it is is sent to the node
// that is clearly better for it, once.
func TestRedirectToBetterEdge(t *testing.T) {
	inWorld(t, func(w *world) {
		at := func(name string, lat, lon float64) func(*node.Config) {
			return func(c *node.Config) {
				public(w, name)(c)
				c.Public.Place = &edges.Point{Lat: lat, Lon: lon}
			}
		}
		a := w.node("a", []string{"b"}, at("a", 50.1, 8.7))
		b := w.node("b", []string{"a"}, at("b", 35.7, 139.7))
		time.Sleep(3 * time.Second)
		p, err := a.client("alice").PublishWHIP(w.Context(), "room/alice", sim.Clip{})
		w.must(err)
		time.Sleep(3 * time.Second)
		for _, tc := range []struct {
			query  string
			aViews int
		}{
			{"", 1},
			{"?lat=35&lon=139", 0},
			{"?lat=52&lon=13", 1},
			{"?rtt=a:150,b:6", 0},
			{"?rtt=a:30,b:6", 1},
			{"?lat=35&lon=139&redirected=1", 1},
			{"?lat=north", 1},
		} {
			door := sim.Door{HTTP: a.host.AddrPort(quicPort)}
			player, err := whipclient.Play(w.Context(), whipclient.PlayConfig{Config: whipclient.Config{
				URL:   "http://" + door.HTTP.String() + "/whep/room/alice" + tc.query,
				Token: w.token(auth.Claims{Subscribe: []string{""}}),
				HTTP:  &http.Client{Transport: &http.Transport{DialContext: w.net.Host("bob").DialContext, DisableKeepAlives: true}},
				Net:   w.net.Host("bob").Net(),
			}})
			if err != nil {
				t.Errorf("%q: %v", tc.query, err)
				continue
			}
			if as, bs := a.status().Sessions.WHEP, b.status().Sessions.WHEP; as != tc.aViews || as+bs != 1 {
				t.Errorf("%q: %d viewers at a and %d at b, want %d at a", tc.query, as, bs, tc.aViews)
			}
			w.must(player.Close(context.WithoutCancel(w.Context())))
			time.Sleep(time.Second)
		}
		var answer node.EdgesAnswer
		if code := a.ask("GET", "/v1/edges?broadcast=room/alice&lat=35&lon=139", &answer); code != http.StatusOK || len(answer.Edges) != 2 {
			t.Fatalf("%d, %+v", code, answer)
		}
		best := answer.Edges[0]
		if best.Node != "b" || best.AccessFrom != edges.Distance || *best.TreeMs < 9 || *best.TreeMs > 15 || *best.ExpectedMs > 25 || answer.Origin != "a" {
			t.Errorf("%+v", answer)
		}
		if code := a.ask("GET", "/v1/edges?broadcast=room/bob", &answer); code != http.StatusNotFound {
			t.Errorf("a broadcast that is not there: %d", code)
		}
		w.must(p.Stop())
	})
}

// TestEdgesForClients: on the public port, the list is for those who may have the
// broadcast.
func TestEdgesForClients(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("a", nil, func(c *node.Config) { c.AllowedOrigins = []string{"https://app.example"} })
		p, err := a.client("alice").PublishWHIP(w.Context(), "room/alice", sim.Clip{})
		w.must(err)
		time.Sleep(time.Second)
		h := &http.Client{Transport: &http.Transport{DialContext: w.net.Host("bob").DialContext, DisableKeepAlives: true}}
		get := func(query, token string) (int, http.Header) {
			req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, "http://"+a.host.AddrPort(quicPort).String()+"/v1/edges"+query, http.NoBody)
			w.must(err)
			req.Header.Set("Origin", "https://app.example")
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			resp, err := h.Do(req)
			w.must(err)
			w.must(resp.Body.Close())
			return resp.StatusCode, resp.Header
		}
		room := w.token(auth.Claims{Subscribe: []string{"room"}})
		other := w.token(auth.Claims{Subscribe: []string{"other"}})
		for _, tc := range []struct {
			query, token string
			want         int
		}{
			{"", "", 401},
			{"", "x.y.z", 401},
			{"", other, 200},
			{"?broadcast=room/alice", room, 200},
			{"?broadcast=room/nobody", room, 404},
			{"?broadcast=room/alice", other, 403},
			{"?broadcast=room/nobody", other, 403},
			{"?broadcast=room/alice&jwt=" + room, "", 200},
			{"?broadcast=../x", room, 400},
			{"?lat=100&lon=0", room, 400},
		} {
			code, header := get(tc.query, tc.token)
			if code != tc.want {
				t.Errorf("%.40s: %d, want %d", tc.query, code, tc.want)
			}
			if got := header.Get("Access-Control-Allow-Origin"); got != "https://app.example" {
				t.Errorf("%.40s: allowed for %q", tc.query, got)
			}
		}
		w.must(p.Stop())
	})
}
