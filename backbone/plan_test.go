package backbone_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/backbone"
	"trellis/routing/control"
	"trellis/wire"
)

// script is a planner for tests: the routes of every track are what it was told.
type script struct {
	mu      sync.Mutex
	version uint64
	routes  map[string]control.Route
	seen    []control.Snapshot
}

// set plans a node's path and backup; protection is hot or warm if there is one.
func (s *script) set(node string, protect control.Protection, path, backup []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.routes == nil {
		s.routes = map[string]control.Route{}
	}
	s.version++
	s.routes[node] = control.Route{
		Node: node, Path: path, Backup: backup, Protect: protect, Reason: "script", Note: "because",
		Delay: 20 * time.Millisecond, Bound: 80 * time.Millisecond, Price: 0.25, Since: time.Now(),
	}
}

// Decide implements backbone.Planner.
func (s *script) Decide(snap control.Snapshot) []control.Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, snap)
	var plans []control.Plan
	for _, t := range snap.Tracks {
		p := control.Plan{Track: t.Name, Version: s.version}
		for _, d := range t.Demand {
			if r, ok := s.routes[d.Node]; ok {
				p.Routes = append(p.Routes, r)
			}
		}
		plans = append(plans, p)
	}
	return plans
}

func (s *script) last() control.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 {
		return control.Snapshot{}
	}
	return s.seen[len(s.seen)-1]
}

// routes asks a node where a track goes.
func (n *node) routes(broadcast, track string) backbone.RoutesStatus {
	n.c.t.Helper()
	s, err := n.mesh.Routes(context.Background(), wire.TrackName{Broadcast: wire.Broadcast(broadcast), Track: track}, "")
	if err != nil {
		n.c.t.Fatal(err)
	}
	return s
}

func routeOf(s backbone.RoutesStatus, node string) backbone.RouteStatus {
	for _, r := range s.Routes {
		if r.Node == node {
			return r
		}
	}
	return backbone.RouteStatus{}
}

// TestDemand: the origin of a chain knows every node below it, its viewers, its
// parent and its age; what a node loses it tells soon, and a node that leaves is
// forgotten.
func TestDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		plans := &script{}
		nodes := c.chain(4, pathSpec{delay: 20 * time.Millisecond}, func(i int, s *nodeSpec) {
			if s.skew = time.Duration(i) * time.Second; i == 0 {
				s.planner = plans
			}
		})
		first, last := nodes[0], nodes[3]
		_, tr := first.publish("room/alice", "audio", wire.KindAudio)
		c.start()
		last.waitFor("room/alice")
		time.Sleep(2 * time.Second)
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- first.stream(tr, 5, 120, 20*time.Millisecond, stop) }()
		views := []*viewer{last.view("room/alice", "audio"), last.view("room/alice", "audio")}
		// Three hops up and down again, and 50 ms at each to gather what changes.
		time.Sleep(600 * time.Millisecond)
		views = append(views, nodes[1].view("room/alice", "audio"))
		time.Sleep(100 * time.Millisecond)
		type seen struct {
			Viewers int
			Parent  string
		}
		want := func(what string, want map[string]seen) {
			t.Helper()
			got := map[string]seen{}
			for _, r := range first.routes("room/alice", "audio").Routes {
				got[r.Node] = seen{r.Viewers, r.Parent}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", what, d)
			}
		}
		want("all have joined", map[string]seen{"b": {1, "a"}, "c": {0, "b"}, "d": {2, "c"}})
		time.Sleep(5 * time.Second)
		for i, n := range []string{"b", "c", "d"} {
			r := routeOf(first.routes("room/alice", "audio"), n)
			h := r.Path[len(r.Path)-1]
			truth := float64(20 * (i + 1))
			if len(r.Path) != i+2 || h.Node != n || h.Age != "measured" || h.AgeMs < truth-h.AgeErrMs || h.AgeMs > truth+h.AgeErrMs+1 || h.AgeErrMs > 10 {
				t.Errorf("%s: %+v, want an age of %v ms", n, r, truth)
			}
			if h.PredictedMs < truth || h.PredictedMs > truth+3 {
				t.Errorf("%s: predicted %v ms, want %v and what relays add", n, h.PredictedMs, truth)
			}
		}
		if s := plans.last(); len(s.Tracks) != 1 || s.Tracks[0].RateMbps < 0.03 || s.Tracks[0].RateMbps > 0.07 || s.Tracks[0].Protect != control.ProtectHot {
			t.Errorf("planned from %+v, want 48 kbit/s of sound", s.Tracks)
		}
		views[0].stop()
		time.Sleep(600 * time.Millisecond)
		want("a viewer has left", map[string]seen{"b": {1, "a"}, "c": {0, "b"}, "d": {1, "c"}})
		views[1].stop()
		time.Sleep(20 * time.Second) // nobody wants it at d, then at c
		want("d has left", map[string]seen{"b": {1, "a"}})
		close(stop)
		<-done
		views[2].stop()
	})
}

// diamond is a, b, d and e: e reaches a by way of the fast b or the slow d.
func diamond(t *testing.T, planner backbone.Planner) (c *cluster, a, b, d, e *node) {
	t.Helper()
	c = newCluster(t)
	a, b = c.node(nodeSpec{id: "a", planner: planner}), c.node(nodeSpec{id: "b"})
	d, e = c.node(nodeSpec{id: "d"}), c.node(nodeSpec{id: "e"})
	fast, slow := pathSpec{delay: 10 * time.Millisecond}, pathSpec{delay: 20 * time.Millisecond}
	c.link(a, b, fast)
	c.link(b, e, fast)
	c.link(a, d, slow)
	c.link(d, e, slow)
	return c, a, b, d, e
}

// TestPlanIsFollowed: a node joins at the cheapest parent, and moves to where the
// plan has it without losing or repeating anything. An older plan changes nothing.
func TestPlanIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := &script{}
		c, a, _, _, e := diamond(t, plans)
		defer c.close()
		_, tr := a.publish("room/alice", "audio", wire.KindAudio)
		c.start()
		e.waitFor("room/alice")
		time.Sleep(3 * time.Second)
		v := e.view("room/alice", "audio")
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- a.stream(tr, 5, 120, 20*time.Millisecond, stop) }()
		time.Sleep(time.Second)
		if got := e.status().Tracks[0].Parent; got != "b" {
			t.Fatalf("joined at %q, want the near b", got)
		}
		plans.set("e", control.ProtectNone, []string{"a", "d"}, nil)
		time.Sleep(6 * time.Second)
		got := e.status().Tracks[0]
		if got.Parent != "d" || got.Cause != "planned" || !slices.Equal(got.Path, []string{"a", "d", "e"}) {
			t.Errorf("%+v, want to be where the plan says", got)
		}
		r := routeOf(a.routes("room/alice", "audio"), "e")
		if r.Parent != "d" || r.Version == 0 || r.Reason != "script" || r.SlackMs != 60 || len(r.Changes) != 1 || r.Obstacle != "" {
			t.Errorf("the origin says %+v", r)
		}
		own := routeOf(e.routes("room/alice", "audio"), "e")
		if own.Version != r.Version || own.Note != "because" || own.PriceUSDh != 0.25 || len(own.Path) != 3 || own.Path[1].Age != "measured" {
			t.Errorf("the node says %+v", own)
		}
		// It stays, although the way by b is the cheaper.
		time.Sleep(20 * time.Second)
		if got := e.status().Tracks[0].Parent; got != "d" {
			t.Errorf("moved to %q against the plan", got)
		}
		close(stop)
		groups := <-done
		time.Sleep(time.Second)
		v.wantAll(t, 0, groups, 5)
		if gap := longestGap(v.stop()); gap > 50*time.Millisecond {
			t.Errorf("gap of %v", gap)
		}
		if t.Failed() {
			t.Log(e.log)
		}
	})
}
