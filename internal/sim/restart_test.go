package sim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/impair"
	"trellis/internal/node"
	"trellis/internal/sim"
)

// TestRestartIsKnown: a node that crashes and is back after 100 ms says, to
// whoever still talks to the process before, that this one is gone: its key for
// stateless resets is derived from that of its certificate. Its peers need not
// wait for silence to mean something.
func TestRestartIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rtt = 50 * time.Millisecond
		net := sim.NewNetwork(sim.NetworkConfig{Path: func(string, string) impair.Config { return impair.Config{Delay: rtt / 2} }})
		defer net.Close()
		c, err := sim.NewCluster(net, sim.ClusterConfig{
			Nodes:     []sim.NodeSpec{{ID: "a"}, {ID: "b"}},
			Configure: func(cfg *node.Config) { cfg.Shutdown = -1 },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(1500 * time.Millisecond) // the link is up, and young: a probe each 100 ms
		before, err := c.Node("a").Link(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		c.Kill("b")
		killed := time.Now()
		time.Sleep(100 * time.Millisecond)
		if err := c.Revive("b"); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		for {
			l, err := c.Node("a").Link(t.Context(), "b")
			if err != nil || !l.Up.Equal(before.Up) {
				break
			}
			if time.Since(back) > 5*time.Second {
				t.Fatal("not known after five seconds")
			}
			time.Sleep(time.Millisecond)
		}
		t.Logf("known %v after the crash, %v after the restart", time.Since(killed), time.Since(back))
		// The next probe, and the way there and back.
		if took := time.Since(back); took > 100*time.Millisecond+rtt+20*time.Millisecond {
			t.Errorf("known %v after the restart", took)
		}
	})
}
