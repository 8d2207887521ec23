package backbone_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/ca"
	"trellis/routing/discovery"
	"trellis/wire"
)

// wantLog fails unless the node's log has a line with all the words.
func (n *node) wantLog(words ...string) {
	n.c.t.Helper()
lines:
	for line := range strings.SplitSeq(n.log.String(), "\n") {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return
	}
	n.c.t.Errorf("%s: no line with %q in\n%s", n.id, words, n.log)
}

func (n *node) wantLinks(want int) {
	n.c.t.Helper()
	if got := n.status().Links; len(got) != want {
		n.c.t.Errorf("%s has %d links, want %d: %+v\n%s", n.id, len(got), want, got, n.log)
	}
}

// TestForeignCluster: a node of another cluster is refused, whoever dials, and
// both sides say why.
func TestForeignCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		foreign, err := ca.NewAuthority("elsewhere", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		a, b := c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b", authority: foreign})
		c.link(a, b, pathSpec{delay: 10 * time.Millisecond})
		c.start()
		time.Sleep(3 * time.Second)
		a.wantLinks(0)
		b.wantLinks(0)
		a.wantLog("level=WARN", `msg="link refused"`, "spiffe://elsewhere/region/region-b/node/b")
		b.wantLog("level=WARN", `msg="link refused"`, "spiffe://test/region/region-a/node/a")
		for _, n := range []*node{a, b} {
			n.wantLog("level=WARN", "link refused by peer", "another cluster")
		}
	})
}

// TestUnknownNode: a good certificate is not enough.
func TestUnknownNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b := c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b"})
		c.net.connect(a.addr, b.addr, pathSpec{delay: 10 * time.Millisecond})
		b.peers.add(t, a.entry()) // and a does not know b
		c.start()
		time.Sleep(3 * time.Second)
		a.wantLinks(0)
		a.wantLog("level=WARN", "link refused", "node/b", "not among the nodes")
		b.wantLog("level=WARN", "link refused by peer", "does not know this node")
	})
}

func TestWrongRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b := c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b"})
		c.net.connect(a.addr, b.addr, pathSpec{delay: 10 * time.Millisecond})
		e := b.entry()
		e.Region = "mars"
		a.peers.add(t, e)
		b.peers.add(t, a.entry())
		c.start()
		time.Sleep(3 * time.Second)
		a.wantLinks(0)
		a.wantLog("level=WARN", "link refused", "region/mars", "region/region-b")
		a.wantLog("level=WARN", "link refused", "mars")
	})
}

// TestExpiry: a certificate that has expired is refused, and a link ends when its
// certificate does.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b := c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b", lifetime: time.Hour})
		c.link(a, b, pathSpec{delay: 10 * time.Millisecond})
		c.start()
		time.Sleep(3 * time.Second)
		a.wantLinks(1)
		time.Sleep(time.Hour)
		a.wantLinks(0)
		a.wantLog("link down", "certificate of b expired")
		b.wantLog("link down", "certificate of b expired")
		time.Sleep(10 * time.Second)
		a.wantLog("level=WARN", "link refused", "expired")
		b.wantLog("level=WARN", "link refused by peer", "expired")
	})
}

// TestSelfDial: an address in the list that leads back to ourselves.
func TestSelfDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a := c.node(nodeSpec{id: "a"})
		c.net.connect(a.addr, a.addr, pathSpec{delay: time.Millisecond})
		a.peers.add(t, discovery.Node{ID: "b", Region: "region-b", Addr: a.addr.String()})
		a.peers.add(t, a.entry()) // our own entry is not dialled
		c.start()
		time.Sleep(3 * time.Second)
		a.wantLinks(0)
		a.wantLog("level=WARN", "link refused", "peer=b", "dialled", "node/b", "met", "node/a")
	})
}

// TestDuplicateID: two processes use one name. The one that booted later is
// linked, the other is refused; both sides say so.
func TestDuplicateID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a := c.node(nodeSpec{id: "a"})
		old := c.node(nodeSpec{id: "b", boot: time.Now()})
		c.link(a, old, pathSpec{delay: 10 * time.Millisecond})
		c.start()
		time.Sleep(3 * time.Second)
		a.wantLinks(1)
		young := c.node(nodeSpec{id: "b", boot: time.Now()})
		c.net.connect(a.addr, young.addr, pathSpec{delay: 10 * time.Millisecond})
		young.peers.add(t, a.entry())
		young.publish("room/young", "video", wire.KindVideo)
		c.start()
		a.waitFor("room/young")
		a.wantLinks(1)
		young.wantLinks(1)
		old.wantLog("link down", "duplicate")
		time.Sleep(5 * time.Second)
		old.wantLinks(0)
		old.wantLog("level=WARN", "refused by peer", "a newer process of b is linked")
		a.wantLog("level=WARN", "link refused", "a newer process of b is linked")
	})
}

// TestBothDial: the two ends dial one another at the same moment, and one link
// remains at both.
func TestBothDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		a, b := c.node(nodeSpec{id: "a"}), c.node(nodeSpec{id: "b"})
		// The path is slower than b waits before it dials as well.
		c.link(a, b, pathSpec{delay: 300 * time.Millisecond})
		c.start()
		time.Sleep(10 * time.Second)
		a.wantLinks(1)
		b.wantLinks(1)
		if la, lb := a.status().Links[0], b.status().Links[0]; !la.Dialled || lb.Dialled || la.Lanes != 2 || lb.Lanes != 2 {
			t.Errorf("at a %+v\nat b %+v\nwant a's connection, with two lanes", la, lb)
		}
	})
}
