package backbone_test

import (
	"testing"
	"testing/synctest"
	"time"

	"trellis/backbone"
	"trellis/wire"
	"trellis/wire/peer"
)

// twoWays is an origin a, a viewer's node e, and two ways between them: by b,
// and by d, which is longer.
func twoWays(t *testing.T) (c *cluster, a, b, d, e *node) {
	t.Helper()
	c = newCluster(t)
	a, b, d, e = c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b"}), c.node(nodeSpec{id: "d"}), c.node(nodeSpec{id: "e"})
	c.link(a, b, pathSpec{delay: 10 * time.Millisecond})
	c.link(b, e, pathSpec{delay: 10 * time.Millisecond})
	c.link(a, d, pathSpec{delay: 25 * time.Millisecond})
	c.link(d, e, pathSpec{delay: 25 * time.Millisecond})
	return c, a, b, d, e
}

func (n *node) children() int {
	n.c.t.Helper()
	got, err := n.mesh.Children(n.c.t.Context())
	if err != nil {
		n.c.t.Fatal(err)
	}
	return got
}

func (n *node) drain(deadline time.Duration) {
	n.c.t.Helper()
	if err := n.mesh.Drain(n.c.t.Context(), deadline, "upgrade"); err != nil {
		n.c.t.Fatal(err)
	}
}

func (n *node) undrain() {
	n.c.t.Helper()
	if err := n.mesh.Undrain(n.c.t.Context(), "it was not meant"); err != nil {
		n.c.t.Fatal(err)
	}
}

// knows returns what the node has heard of another.
func (n *node) knows(id string) backbone.KnownNode {
	n.c.t.Helper()
	o, err := n.mesh.Overview(n.c.t.Context())
	if err != nil {
		n.c.t.Fatal(err)
	}
	for _, k := range o.Nodes {
		if k.ID == id {
			return k
		}
	}
	n.c.t.Fatalf("%s does not know %s", n.id, id)
	return backbone.KnownNode{}
}

// TestUndrain: a node that stays after all gets its children back, and nothing is
// lost on either move.
func TestUndrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a, b, _, e := twoWays(t)
		defer c.close()
		_, tr := a.publish("room/alice", "audio", wire.KindAudio)
		c.start()
		e.waitFor("room/alice")
		time.Sleep(3 * time.Second)
		v := e.view("room/alice", "audio")
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- a.stream(tr, 5, 120, 20*time.Millisecond, stop) }()
		time.Sleep(2 * time.Second)
		for range 2 {
			if got := e.status().Tracks[0].Parent; got != "b" || b.children() != 1 {
				t.Errorf("before: the parent is %q, b has %d children", got, b.children())
			}
			b.drain(30 * time.Second)
			time.Sleep(time.Second)
			if got := e.status().Tracks[0].Parent; got != "d" || b.children() != 0 {
				t.Errorf("drained: the parent is %q, b has %d children", got, b.children())
			}
			if s := b.status(); !s.Draining || e.knows("b").State != peer.NodeDraining {
				t.Errorf("b does not say that it drains: e knows %+v", e.knows("b"))
			}
			b.undrain()
			time.Sleep(8 * time.Second)
			if got := e.knows("b").State; got != 0 {
				t.Errorf("b serves again, but e has it at %b", got)
			}
		}
		if got := e.status().Tracks[0].Parent; got != "b" {
			t.Errorf("after: the parent is %q", got)
		}
		close(stop)
		groups := <-done
		time.Sleep(time.Second)
		v.wantAll(t, 0, groups, 5)
		if gap := longestGap(v.stop()); gap > 60*time.Millisecond {
			t.Errorf("gap of %v\n%s", gap, e.log)
		}
	})
}

// TestDrainOrigin: what enters at a node that drains has no other way. It goes on
// flowing, to those who had it and to those who come, until the children are put
// out; nobody moves to and fro meanwhile.
func TestDrainOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a, b, d, e := twoWays(t)
		defer c.close()
		_, tr := a.publish("room/alice", "audio", wire.KindAudio)
		c.start()
		e.waitFor("room/alice")
		d.waitFor("room/alice")
		time.Sleep(3 * time.Second)
		v := e.view("room/alice", "audio")
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- a.stream(tr, 5, 120, 20*time.Millisecond, stop) }()
		time.Sleep(2 * time.Second)
		moves := e.status().Tracks[0].Cause
		a.drain(30 * time.Second)
		time.Sleep(3 * time.Second)
		late := d.view("room/alice", "audio")
		time.Sleep(3 * time.Second)
		if got := b.status().Tracks[0]; got.Parent != "a" || got.MovingTo != "" || got.Cause == "peer_leaves" {
			t.Errorf("b: %+v, want parent a still", got)
		}
		if got := e.status().Tracks[0]; got.Parent != "b" || got.Cause != moves {
			t.Errorf("e: %+v, want parent b still", got)
		}
		if got := d.status().Tracks[0]; got.Parent != "a" {
			t.Errorf("d: %+v, want parent a", got)
		}
		if got := a.children(); got != 2 {
			t.Errorf("a has %d children, want 2", got)
		}
		if n, err := a.mesh.Evict(t.Context()); err != nil || n != 2 || a.children() != 0 {
			t.Errorf("%d put out, %v; %d are left", n, err, a.children())
		}
		close(stop)
		<-done
		late.stop()
		if gap := longestGap(v.stop()); gap > 30*time.Millisecond {
			t.Errorf("gap of %v while the origin drained\n%s", gap, e.log)
		}
	})
}
