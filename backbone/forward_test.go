package backbone_test

import (
	"testing"
	"testing/synctest"
	"time"

	"trellis/wire"
)

func TestTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b := c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b"})
		c.link(a, b, pathSpec{delay: 20 * time.Millisecond})
		_, tr := a.publish("room/alice", "video", wire.KindVideo)
		c.start()
		b.waitFor("room/alice")
		v := b.view("room/alice", "video")
		for g := range uint64(5) {
			a.write(tr, g, []byte("one"), []byte("two"), make([]byte, 50_000))
			time.Sleep(200 * time.Millisecond)
		}
		v.wantAll(t, 0, 5, 3)
		if t.Failed() {
			t.Log(a.log, b.log)
		}
		v.stop()
	})
}

// chain makes nodes a, b, c, ... each linked to the next.
func (c *cluster) chain(n int, spec pathSpec, each func(i int, s *nodeSpec)) []*node {
	nodes := make([]*node, n)
	for i := range nodes {
		s := nodeSpec{id: string(rune('a' + i))}
		if each != nil {
			each(i, &s)
		}
		nodes[i] = c.node(s)
	}
	for i := range n - 1 {
		c.link(nodes[i], nodes[i+1], spec)
	}
	return nodes
}

// TestChainAges: objects pass three links, each clock is wrong, and the age at
// the end is the true delay within the stated error.
func TestChainAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		const delay = 20 * time.Millisecond
		skews := []time.Duration{0, 3 * time.Second, -700 * time.Millisecond, 11 * time.Minute}
		nodes := c.chain(4, pathSpec{delay: delay, jitter: 2 * time.Millisecond}, func(i int, s *nodeSpec) { s.skew = skews[i] })
		first, last := nodes[0], nodes[3]
		_, tr := first.publish("room/alice", "audio", wire.KindAudio)
		c.start()
		last.waitFor("room/alice")
		v := last.view("room/alice", "audio")
		time.Sleep(3 * time.Second)
		const groups = 50
		for g := range uint64(groups) {
			first.write(tr, g, []byte("a packet of sound"), []byte("another"))
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		v.wantAll(t, 0, groups, 2)
		for _, o := range v.objects() {
			truth := o.at.Sub(o.sent)
			if truth < 3*delay || truth > 3*delay+12*time.Millisecond {
				t.Errorf("group %d took %v over three links of %v", o.group, truth, delay)
			}
			if o.err < 0 {
				t.Fatalf("group %d is unsynchronised", o.group)
			}
			if off := (o.age - truth).Abs(); off > o.err || o.err > 15*time.Millisecond {
				t.Errorf("group %d: age %v, truth %v, stated error %v", o.group, o.age, truth, o.err)
			}
		}
		v.stop()
		for _, n := range nodes[1:] {
			s := n.status()
			if len(s.Tracks) != 1 || len(s.Tracks[0].Path) == 0 || s.Tracks[0].Path[0] != "a" {
				t.Errorf("%s: tracks %+v", n.id, s.Tracks)
			}
		}
	})
}

// TestCutThrough: over three links of 50 Mbit/s and 20 ms each, a key frame of
// 150 kB is complete at the viewer 99 ms after its first byte left the
// publisher's edge. Stored and forwarded it would be 60 + 3·24 = 132 ms and more.
func TestCutThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		nodes := c.chain(4, pathSpec{delay: 20 * time.Millisecond, rateBps: 50e6}, func(_ int, s *nodeSpec) { s.warmUpBytes = 768 << 10 })
		_, tr := nodes[0].publish("room/alice", "video", wire.KindVideo)
		c.start()
		nodes[3].waitFor("room/alice")
		v := nodes[3].view("room/alice", "video")
		time.Sleep(2 * time.Second)
		const groups = 10
		for g := range uint64(groups) {
			w, err := tr.Group(g)
			if err != nil {
				t.Fatal(err)
			}
			nodes[0].object(w, 0, make([]byte, 150_000))
			for i := range uint64(29) {
				time.Sleep(33 * time.Millisecond)
				nodes[0].object(w, i+1, make([]byte, 8_000))
			}
			w.Close()
			time.Sleep(33 * time.Millisecond)
		}
		time.Sleep(time.Second)
		v.wantAll(t, 0, groups, 30)
		for _, o := range v.objects() {
			if took := o.at.Sub(o.sent); o.object == 0 && took > 99*time.Millisecond {
				t.Errorf("key frame of group %d took %v, want at most 99ms", o.group, took)
			} else if o.object == 0 {
				t.Logf("key frame of group %d: first byte after %v, whole after %v", o.group, o.began.Sub(o.sent), took)
			}
		}
		v.stop()
	})
}
