package backbone_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/routing/control"
	"trellis/wire"
)

// protected is a diamond in which e takes a's track from b, with d as its backup.
// rest publishes and watches; it returns how many groups there were.
func protected(t *testing.T, kind wire.Kind, protect control.Protection, during func(c *cluster, a, b, d, e *node)) {
	t.Helper()
	plans := &script{}
	c, a, b, d, e := diamond(t, plans)
	defer c.close()
	plans.set("b", control.ProtectNone, []string{"a"}, nil)
	plans.set("d", control.ProtectNone, []string{"a"}, nil)
	plans.set("e", protect, []string{"a", "b"}, []string{"a", "d"})
	_, tr := a.publish("room/alice", "t", kind)
	c.start()
	e.waitFor("room/alice")
	time.Sleep(2 * time.Second)
	v := e.view("room/alice", "t")
	stop := make(chan struct{})
	done := make(chan uint64)
	go func() { done <- a.stream(tr, 25, 400, 20*time.Millisecond, stop) }()
	e.waitRoute("room/alice", "t", "b", "d")
	time.Sleep(time.Second)
	during(c, a, b, d, e)
	close(stop)
	groups := <-done
	time.Sleep(500 * time.Millisecond)
	v.wantAll(t, 0, groups, 25)
	v.stop()
	if t.Failed() {
		t.Log(e.log)
	}
}

// sent is how many objects a node has sent to another.
func (n *node) sent(to string) uint64 {
	n.c.t.Helper()
	sum := uint64(0)
	for _, l := range n.status().Links {
		if l.Peer == to {
			for _, f := range l.Out {
				sum += f.Objects
			}
		}
	}
	return sum
}

// TestStandby: a backup on standby sends nothing; when the parent is silent for a
// moment it delivers, and when the parent is well again it stands by as before.
func TestStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		protected(t, wire.KindVideo, control.ProtectWarm, func(c *cluster, _, b, d, e *node) {
			if n := d.sent("e"); n > 30 {
				t.Errorf("the backup has sent %d objects before anything happened", n)
			}
			if r := routeOf(d.routes("room/alice", "t"), "d"); r.Parent != "a" || r.Viewers != 0 || r.Standby != "" {
				t.Errorf("the backup parent itself: %+v", r)
			}
			before := d.sent("e")
			c.net.cut(b.addr, e.addr, true)
			time.Sleep(350 * time.Millisecond)
			if n := d.sent("e") - before; n < 5 {
				t.Errorf("the backup has sent %d objects after 350 ms of silence", n)
			}
			c.net.cut(b.addr, e.addr, false)
			time.Sleep(700 * time.Millisecond)
			before = d.sent("e")
			time.Sleep(time.Second)
			if n := d.sent("e") - before; n > 0 {
				t.Errorf("the backup still sends: %d objects", n)
			}
			r := routeOf(e.routes("room/alice", "t"), "e")
			if r.Parent != "b" || r.Standby != "d" || len(r.Changes) != 1 || strings.Contains(e.log.String(), "cause=suspect") {
				t.Errorf("%+v, want to have stayed at b", r)
			}
		})
	})
}

// TestTakeover: a parent that is gone for good is replaced by the backup, the
// origin hears of it, and when the parent has been back for long enough the node
// goes where the plan has it, without a gap.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		protected(t, wire.KindVideo, control.ProtectWarm, func(c *cluster, a, b, _, e *node) {
			c.net.cut(b.addr, e.addr, true)
			time.Sleep(2500 * time.Millisecond)
			r := routeOf(a.routes("room/alice", "t"), "e")
			if r.Parent != "d" || r.Obstacle == "" {
				t.Errorf("the origin knows %+v, want parent d and an obstacle", r)
			}
			if own := routeOf(e.routes("room/alice", "t"), "e"); own.Changes[0].Reason != "link_down" {
				t.Errorf("changes %+v", own.Changes)
			}
			c.net.cut(b.addr, e.addr, false)
			time.Sleep(4 * time.Second)
			if r := routeOf(e.routes("room/alice", "t"), "e"); r.Parent != "d" {
				t.Errorf("back at %q after 4 s, a link must be calm for 5", r.Parent)
			}
			time.Sleep(20 * time.Second)
			if r := routeOf(e.routes("room/alice", "t"), "e"); r.Parent != "b" || r.Standby != "d" || r.Obstacle != "" {
				t.Errorf("%+v, want to be back at b", r)
			}
		})
	})
}

// TestHotIsMerged: a hot track comes by both paths and is kept once; what comes
// twice is counted.
func TestHotIsMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		protected(t, wire.KindAudio, control.ProtectHot, func(_ *cluster, _, b, d, e *node) {
			fromB, fromD := b.sent("e"), d.sent("e")
			time.Sleep(2 * time.Second)
			fromB, fromD = b.sent("e")-fromB, d.sent("e")-fromD
			if fromB < 90 || fromD < 50 {
				t.Errorf("in 2 s %d objects from the parent and %d from the backup, want 100 each", fromB, fromD)
			}
			s := e.table.Status()
			if n := s[0].Tracks[0].Duplicates; n < 50 {
				t.Errorf("%d duplicates are counted", n)
			}
		})
	})
}

// TestFrozenRelay: a relay stands still for five seconds and goes on with what has
// waited for it. Its child has moved; nobody gets anything twice or in disorder.
func TestFrozenRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		protected(t, wire.KindVideo, control.ProtectWarm, func(c *cluster, _, b, _, e *node) {
			atRelay := b.view("room/alice", "t")
			time.Sleep(500 * time.Millisecond)
			c.net.freeze(b.addr, true)
			time.Sleep(5 * time.Second)
			if r := routeOf(e.routes("room/alice", "t"), "e"); r.Parent != "d" {
				t.Errorf("parent %q while b stands still", r.Parent)
			}
			c.net.freeze(b.addr, false)
			time.Sleep(3 * time.Second)
			next := map[uint64]uint64{}
			last := time.Time{}
			for _, o := range atRelay.stop() {
				if o.object < next[o.group] {
					t.Errorf("object %d of group %d came again at the frozen node", o.object, o.group)
				}
				next[o.group], last = o.object+1, o.at
			}
			if time.Since(last) > time.Second {
				t.Errorf("the frozen node has received nothing for %v\n%s", time.Since(last), b.log)
			}
		})
	})
}

// TestBusy: a node with all its children refuses the next and names one of them,
// where it is served at once. Who stands by is not in the way.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b, d := c.node(nodeSpec{id: "a", maxChildren: 1}), c.node(nodeSpec{id: "b"}), c.node(nodeSpec{id: "d"})
		near, far := pathSpec{delay: 10 * time.Millisecond}, pathSpec{delay: 30 * time.Millisecond}
		c.link(a, b, near)
		c.link(a, d, near)
		c.link(b, d, far)
		_, tr := a.publish("room/alice", "t", wire.KindAudio)
		c.start()
		b.waitFor("room/alice")
		d.waitFor("room/alice")
		time.Sleep(2 * time.Second)
		views := []*viewer{b.view("room/alice", "t")}
		time.Sleep(time.Second)
		began := time.Now()
		views = append(views, d.view("room/alice", "t"))
		a.write(tr, 0, []byte("x"))
		for len(views[1].objects()) == 0 && time.Since(began) < time.Second {
			time.Sleep(time.Millisecond)
		}
		// A round trip of 20 ms to be refused, one of 60 ms to be taken by b.
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("served after %v\n%s", took, d.log)
		}
		got := d.status().Tracks[0]
		if got.Parent != "b" || got.Cause != "alternative" {
			t.Errorf("%+v, want parent b", got)
		}
		a.wantLog("subscription refused", "busy", "1 children")
		for _, v := range views {
			v.wantAll(t, 0, 1, 1)
			v.stop()
		}
	})
}

// TestEgressLimit: a node that sends all that it may refuses more, with a node to
// ask instead.
func TestEgressLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b, d := c.node(nodeSpec{id: "a", egressMbps: 0.4}), c.node(nodeSpec{id: "b"}), c.node(nodeSpec{id: "d"})
		near := pathSpec{delay: 10 * time.Millisecond}
		c.link(a, b, near)
		c.link(a, d, near)
		c.link(b, d, pathSpec{delay: 30 * time.Millisecond})
		_, tr := a.publish("room/alice", "t", wire.KindVideo)
		c.start()
		b.waitFor("room/alice")
		d.waitFor("room/alice")
		time.Sleep(2 * time.Second)
		first := b.view("room/alice", "t")
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- a.stream(tr, 25, 600, 20*time.Millisecond, stop) }() // 0.24 Mbit/s
		time.Sleep(5 * time.Second)
		second := d.view("room/alice", "t")
		time.Sleep(2 * time.Second)
		if got := d.status().Tracks[0]; got.Parent != "b" {
			t.Errorf("%+v, want parent b: a sends all that it may", got)
		}
		a.wantLog("subscription refused", "busy", "Mbit/s are sent")
		close(stop)
		<-done
		first.stop()
		second.stop()
	})
}

// TestPlanAround: a node that is refused where the plan has it says so, and the
// origin does not trust that link for newcomers, for a while.
func TestPlanAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := &script{}
		c := newCluster(t)
		defer c.close()
		a, b, d := c.node(nodeSpec{id: "a", planner: plans}), c.node(nodeSpec{id: "b", maxChildren: -1}), c.node(nodeSpec{id: "d"})
		near := pathSpec{delay: 10 * time.Millisecond}
		c.link(a, b, near)
		c.link(a, d, near)
		c.link(b, d, near)
		_, tr := a.publish("room/alice", "t", wire.KindAudio)
		c.start()
		d.waitFor("room/alice")
		time.Sleep(2 * time.Second)
		v := d.view("room/alice", "t")
		a.write(tr, 0, []byte("x"))
		time.Sleep(time.Second)
		has := func() bool {
			for _, l := range plans.last().Links {
				if l.From == "b" && l.To == "d" {
					return l.Calm
				}
			}
			return false
		}
		if !has() {
			t.Fatalf("no calm link from b to d in %+v", plans.last().Links)
		}
		plans.set("d", control.ProtectNone, []string{"a", "b"}, nil)
		time.Sleep(7 * time.Second)
		if r := routeOf(a.routes("room/alice", "t"), "d"); r.Parent != "a" || r.Obstacle != "busy" {
			t.Errorf("%+v, want to have stayed at a, since b is busy", r)
		}
		if has() {
			t.Error("the origin still trusts the link from b to d")
		}
		v.wantAll(t, 0, 1, 1)
		v.stop()
	})
}
