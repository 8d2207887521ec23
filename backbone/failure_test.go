package backbone_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
)

// stream writes a group of n objects every 20 ms times n, until stopped.
func (n *node) stream(tr *relay.Track, perGroup int, size int, every time.Duration, stop <-chan struct{}) (groups uint64) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		g, err := tr.Group(groups)
		if err != nil {
			n.c.t.Error(err)
			return groups
		}
		for i := range perGroup {
			n.object(g, uint64(i), make([]byte, size))
			<-tick.C
		}
		g.Close()
		groups++
		select {
		case <-stop:
			return groups
		default:
		}
	}
}

// TestLinkFailure: the path to the parent goes silent in the middle of a group.
// The other neighbour takes over at the very object; nothing is missing, and
// nothing comes twice.
func TestLinkFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b, d, e := c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b"}), c.node(nodeSpec{id: "d"}), c.node(nodeSpec{id: "e"})
		fast, slow := pathSpec{delay: 10 * time.Millisecond}, pathSpec{delay: 25 * time.Millisecond}
		c.link(a, b, fast)
		c.link(b, e, fast)
		c.link(a, d, slow)
		c.link(d, e, slow)
		_, tr := a.publish("room/alice", "video", wire.KindVideo)
		c.start()
		e.waitFor("room/alice")
		time.Sleep(3 * time.Second)
		v := e.view("room/alice", "video")
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- a.stream(tr, 30, 5_000, 33*time.Millisecond, stop) }()
		time.Sleep(2500 * time.Millisecond)
		if got := e.status().Tracks[0]; got.Parent != "b" {
			t.Fatalf("parent %q, want the fast b: %+v", got.Parent, got)
		}
		c.net.cut(b.addr, e.addr, true)
		time.Sleep(2 * time.Second)
		if got := e.status().Tracks[0]; got.Parent != "d" || !slices.Equal(got.Path, []string{"a", "d", "e"}) {
			t.Errorf("after the cut %+v, want parent d", got)
		}
		close(stop)
		groups := <-done
		time.Sleep(time.Second)
		v.wantAll(t, 0, groups, 30)
		gap := longestGap(v.stop())
		t.Logf("longest gap %v", gap)
		// Suspect after 200 ms, and a round trip of 50 ms to the backup; its subscription
		// upstream takes another.
		if gap > 450*time.Millisecond {
			t.Errorf("gap of %v", gap)
		}
		if t.Failed() {
			t.Log(e.log)
		}
	})
}

func longestGap(all []got) time.Duration {
	slices.SortFunc(all, func(a, b got) int { return a.at.Compare(b.at) })
	var gap time.Duration
	for i := 1; i < len(all); i++ {
		gap = max(gap, all[i].at.Sub(all[i-1].at))
	}
	return gap
}

// TestNodeStops: a parent that stops says so, and its children move at once.
func TestNodeStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b, d, e := c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b"}), c.node(nodeSpec{id: "d"}), c.node(nodeSpec{id: "e"})
		c.link(a, b, pathSpec{delay: 10 * time.Millisecond})
		c.link(b, e, pathSpec{delay: 10 * time.Millisecond})
		c.link(a, d, pathSpec{delay: 25 * time.Millisecond})
		c.link(d, e, pathSpec{delay: 25 * time.Millisecond})
		_, tr := a.publish("room/alice", "audio", wire.KindAudio)
		c.start()
		e.waitFor("room/alice")
		time.Sleep(3 * time.Second)
		v := e.view("room/alice", "audio")
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- a.stream(tr, 5, 120, 20*time.Millisecond, stop) }()
		time.Sleep(2 * time.Second)
		b.end()
		time.Sleep(2 * time.Second)
		close(stop)
		groups := <-done
		time.Sleep(time.Second)
		v.wantAll(t, 0, groups, 5)
		if gap := longestGap(v.stop()); gap > 250*time.Millisecond {
			t.Errorf("gap of %v\n%s", gap, e.log)
		}
	})
}

// TestDrain: a node that drains loses nothing: children move before they leave.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b, d, e := c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b"}), c.node(nodeSpec{id: "d"}), c.node(nodeSpec{id: "e"})
		c.link(a, b, pathSpec{delay: 10 * time.Millisecond})
		c.link(b, e, pathSpec{delay: 10 * time.Millisecond})
		c.link(a, d, pathSpec{delay: 25 * time.Millisecond})
		c.link(d, e, pathSpec{delay: 25 * time.Millisecond})
		_, tr := a.publish("room/alice", "audio", wire.KindAudio)
		c.start()
		e.waitFor("room/alice")
		time.Sleep(3 * time.Second)
		v := e.view("room/alice", "audio")
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- a.stream(tr, 5, 120, 20*time.Millisecond, stop) }()
		time.Sleep(2 * time.Second)
		if err := b.mesh.Drain(t.Context(), 10*time.Second, "upgrade"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := e.status().Tracks[0]; got.Parent != "d" || got.Cause != "peer_leaves" {
			t.Errorf("%+v, want parent d", got)
		}
		if got := b.status().Tracks; len(got) != 0 && len(got[0].Children) != 0 {
			t.Errorf("the drained node still has children: %+v", got)
		}
		close(stop)
		groups := <-done
		time.Sleep(time.Second)
		v.wantAll(t, 0, groups, 5)
		// The new path is 30 ms longer; nothing more is missing.
		if gap := longestGap(v.stop()); gap > 60*time.Millisecond {
			t.Errorf("gap of %v\n%s", gap, e.log)
		}
	})
}

// TestOriginVanishes: its broadcasts are withdrawn within ten seconds.
func TestOriginVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		nodes := c.chain(3, pathSpec{delay: 10 * time.Millisecond}, nil)
		nodes[0].publish("room/alice", "video", wire.KindVideo)
		c.start()
		nodes[2].waitFor("room/alice")
		time.Sleep(2 * time.Second)
		v := nodes[2].view("room/alice", "video")
		c.net.cut(nodes[0].addr, nodes[1].addr, true)
		began := time.Now()
		for {
			if _, ok := nodes[2].table.Lookup("room/alice"); !ok {
				break
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("still announced after %v", time.Since(began))
			}
			time.Sleep(50 * time.Millisecond)
		}
		<-v.done // the viewer is told
		if !strings.Contains(nodes[2].log.String(), "broadcast withdrawn") {
			t.Error(nodes[2].log)
		}
		// And it comes back with its node.
		c.net.cut(nodes[0].addr, nodes[1].addr, false)
		nodes[2].waitFor("room/alice")
	})
}

// TestReplaced: a newer publisher elsewhere takes the name, everywhere.
func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		nodes := c.chain(3, pathSpec{delay: 10 * time.Millisecond}, nil)
		old, _ := nodes[0].publish("room/alice", "video", wire.KindVideo)
		c.start()
		nodes[2].waitFor("room/alice")
		_, tr := nodes[2].publish("room/alice", "video", wire.KindVideo)
		time.Sleep(time.Second)
		for _, n := range nodes {
			if ann, ok := n.table.Lookup("room/alice"); !ok || ann.Origin != "c" {
				t.Errorf("%s: %+v, %v; want it to come from c", n.id, ann, ok)
			}
		}
		if old.Context().Err() == nil {
			t.Error("the old publisher was not told")
		}
		v := nodes[0].view("room/alice", "video")
		time.Sleep(time.Second)
		nodes[2].write(tr, 0, []byte("new"))
		time.Sleep(time.Second)
		v.wantAll(t, 0, 1, 1)
		v.stop()
	})
}

// TestRing: every node of a ring watches, links fail one after the other, and no
// node ever becomes its own ancestor.
func TestRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		nodes := c.chain(5, pathSpec{delay: 10 * time.Millisecond}, nil)
		c.link(nodes[4], nodes[0], pathSpec{delay: 15 * time.Millisecond})
		_, tr := nodes[0].publish("room/alice", "audio", wire.KindAudio)
		c.start()
		var views []*viewer
		for _, n := range nodes[1:] {
			n.waitFor("room/alice")
			views = append(views, n.view("room/alice", "audio"))
		}
		time.Sleep(3 * time.Second)
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- nodes[0].stream(tr, 5, 120, 20*time.Millisecond, stop) }()
		noLoop := func() {
			t.Helper()
			for _, n := range nodes[1:] {
				s := n.status()
				if len(s.Tracks) != 1 {
					t.Fatalf("%s carries %d tracks", n.id, len(s.Tracks))
				}
				path := s.Tracks[0].Path
				sorted := slices.Sorted(slices.Values(path))
				if path[0] != "a" || path[len(path)-1] != n.id || len(slices.Compact(sorted)) != len(path) {
					t.Errorf("%s gets it by %v", n.id, path)
				}
			}
		}
		time.Sleep(time.Second)
		noLoop()
		for i := range nodes {
			x, y := nodes[i], nodes[(i+1)%len(nodes)]
			c.net.cut(x.addr, y.addr, true)
			time.Sleep(3 * time.Second)
			noLoop()
			c.net.cut(x.addr, y.addr, false)
			time.Sleep(12 * time.Second)
			noLoop()
		}
		close(stop)
		groups := <-done
		time.Sleep(time.Second)
		for i, v := range views {
			v.wantAll(t, 0, groups, 5)
			if t.Failed() {
				t.Logf("node %s\n%s", nodes[i+1].id, nodes[i+1].log)
				break
			}
		}
		for _, v := range views {
			v.stop()
		}
	})
}
