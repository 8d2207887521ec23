package backbone_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"trellis/backbone"
	"trellis/wire"
)

// TestGraph: a node shows its own links as measured, those of others as they
// advertise them, and nodes that it is not linked to with a prior.
func TestGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		nodes := c.chain(3, pathSpec{delay: 20 * time.Millisecond}, nil)
		a, b := nodes[0], nodes[2]
		a.publish("room/a", "video", wire.KindVideo)
		c.start()
		b.waitFor("room/a")
		time.Sleep(10 * time.Second)
		g, err := a.mesh.Graph(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Nodes) != 3 || len(g.Own) != 1 || len(g.Links) != 4 || len(g.Chosen) != 1 {
			t.Fatalf("%d nodes, %d own links, %d links, chosen %v", len(g.Nodes), len(g.Own), len(g.Links), g.Chosen)
		}
		o := g.Own[0]
		if o.State != "up" || o.RTTP50Ms < 40 || o.RTTP50Ms > 42 || o.AgeMs > 1500 || o.Samples == 0 || o.Lanes == 0 || !o.Synchronised || len(o.Causes) == 0 || o.Causes[0] != "cluster" {
			t.Errorf("own link %+v", o)
		}
		for _, l := range g.Links {
			if !l.Both || l.RTTP50Ms < 40 || l.RTTP50Ms > 42 || l.AgeMs > 4000 {
				t.Errorf("link %+v", l)
			}
		}
		for _, n := range g.Nodes {
			linked := n.ID == o.Peer
			if n.Prior == (linked || n.ID == g.Self) || n.Children.Limit == 0 || !n.Heard {
				t.Errorf("node %+v", n)
			}
			if n.ID == b.id && (n.RTTMs <= 0 || n.RTTMs > 200) {
				t.Errorf("the prior of 80 ms is %v ms", n.RTTMs)
			}
		}
		c.net.cut(nodes[0].addr, nodes[1].addr, true)
		time.Sleep(5 * time.Second)
		c.net.cut(nodes[0].addr, nodes[1].addr, false)
		held := backbone.OwnLink{}
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if g, err = a.mesh.Graph(context.Background()); err == nil && len(g.Own) == 1 {
				held = g.Own[0]
				break
			}
		}
		if held.Failures != 1 || held.HeldDown <= 0 {
			t.Errorf("a link that is back: %+v", held)
		}
	})
}
