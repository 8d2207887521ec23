package backbone_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/backbone"
	"trellis/wire"
)

// TestPartialMesh: nodes that link with few of the others hear of all, a wanted
// link is made, and is closed in peace when neither end wants it any more.
func TestPartialMesh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		few := backbone.LinkConfig{FullMesh: -1, Near: 1, Beside: 1, Far: 1}
		for id := range strings.SplitSeq("abcdefgh", "") {
			c.node(nodeSpec{id: id, links: few})
		}
		for i, a := range c.nodes {
			for _, b := range c.nodes[:i] {
				c.link(a, b, pathSpec{delay: 5 * time.Millisecond})
			}
		}
		c.start()
		a := c.nodes[0]
		a.publish("room/a", "video", wire.KindVideo)
		for _, n := range c.nodes[1:] {
			n.waitFor("room/a")
		}
		time.Sleep(30 * time.Second)
		before := len(a.status().Links)
		if before > 6 {
			t.Errorf("%d links of 7 at a node that wants 3", before)
		}
		for _, n := range c.nodes[1:] {
			backbone.WantLink(t, a.mesh, n.id, true)
		}
		time.Sleep(5 * time.Second)
		a.wantLinks(7)
		for _, n := range c.nodes[1:] {
			backbone.WantLink(t, a.mesh, n.id, false)
		}
		time.Sleep(30 * time.Second)
		a.wantLinks(7) // it may be wanted again soon
		time.Sleep(time.Minute)
		if n := len(a.status().Links); n > before {
			t.Errorf("%d links, %d before they were wanted", n, before)
		}
		a.wantLog("neither end wants the link")
		for _, n := range c.nodes {
			s := n.status()
			if len(s.Nodes) != 7 {
				t.Errorf("%s knows %d nodes", n.id, len(s.Nodes))
			}
			for _, other := range s.Nodes {
				if other.AgeMs > 4500 {
					t.Errorf("%s has heard of %s %v ms ago", n.id, other.ID, other.AgeMs)
				}
			}
			if log := n.log.String(); strings.Contains(log, "expired") {
				t.Errorf("%s: a record expired\n%s", n.id, log)
			}
		}
	})
}
