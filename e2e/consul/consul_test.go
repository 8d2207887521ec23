//go:build e2e

package consul

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestConsulGone is rows 8 and 9 of the fault catalogue with real agents and
// nodes: two datacenters, four nodes, media; both agents are killed and come back
// with nothing in memory.
func TestConsulGone(t *testing.T) {
	const outage = 25 * time.Second
	w := newWorld(t, "a", "b", "c", "d")
	for _, a := range w.agents {
		a.start()
	}
	await(t, "datacenters joined", time.Minute, func() error {
		for _, a := range w.agents {
			for _, other := range w.agents {
				if _, err := a.services(other.dc); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, n := range w.nodes {
		n.start()
	}
	all := func(check func(n *node) error) func() error {
		return func() error {
			for _, n := range w.nodes {
				if err := check(n); err != nil {
					return err
				}
			}
			return nil
		}
	}
	degraded := func(want bool) func(n *node) error {
		return func(n *node) error {
			s, err := n.status()
			if err == nil && s.Node.Degraded != want {
				err = fmt.Errorf("%s: degraded %v: %s: %s", n.id, s.Node.Degraded, s.Discovery.Reason, s.Discovery.Detail)
			}
			return err
		}
	}
	await(t, "nodes found and linked", time.Minute, all(func(n *node) error { return n.linked(len(w.nodes)) }))
	await(t, "all in order", time.Minute, all(degraded(false)))

	w.publish("a", "room/before")
	var before []*process
	for _, at := range []string{"b", "c"} {
		before = append(before, w.watch(at, "room/before", "--timeout", "20s"))
	}
	await(t, "tracks flow", 20*time.Second, func() error {
		if r := w.routes("room/before"); len(r) < 9 { // two tracks and the catalog at three nodes
			return fmt.Errorf("routes %v", r)
		}
		return nil
	})
	pass(t, 5*time.Second) // until joining has settled
	moves := map[string]float64{}
	links := map[string]status{}
	for _, n := range w.nodes {
		moves[n.id] = n.moves()
		s, err := n.status()
		must(t, err)
		links[n.id] = s
	}

	for _, a := range w.agents {
		a.kill()
	}
	killed := time.Now()
	await(t, "degraded everywhere", 20*time.Second, all(degraded(true)))
	for _, n := range w.nodes {
		must(t, n.probes())
		if v := n.metric("trellis_control_plane_degraded"); v != 1 {
			t.Errorf("%s: trellis_control_plane_degraded is %v", n.id, v)
		}
		if v := n.metric("trellis_consul_last_success_timestamp_seconds"); v < float64(killed.Add(-time.Minute).Unix()) || v > float64(killed.Add(time.Second).Unix()) {
			t.Errorf("%s: trellis_consul_last_success_timestamp_seconds is %v, agents were killed at %d", n.id, v, killed.Unix())
		}
	}

	// New publishers and viewers, while nobody can ask Consul.
	w.publish("b", "room/during")
	during := w.watch("a", "room/during", "--timeout", "10s")

	stands := func() {
		t.Helper()
		for _, n := range w.nodes {
			must(t, degraded(true)(n))
			must(t, n.probes())
			if n.id == "d" {
				continue // another process in the end
			}
			if m := n.moves(); m != moves[n.id] {
				t.Errorf("%s: %v tracks lost their parent while Consul was gone, want none", n.id, m-moves[n.id])
			}
			s, err := n.status()
			must(t, err)
			for _, l := range links[n.id].Links {
				if l.Peer != "d" && !slices.Contains(s.Links, l) {
					t.Errorf("%s: the link to %s went down", n.id, l.Peer)
				}
			}
		}
	}
	pass(t, outage/2-time.Since(killed))
	stands()

	// A node that starts anew knows the others by its saved list.
	d := w.node("d")
	d.kill()
	began := time.Now()
	d.start()
	await(t, "the restarted node is ready", 5*time.Second, d.probes)
	late := w.watch("d", "room/before", "--timeout", "10s")
	await(t, "the restarted node carries the broadcast", 5*time.Second-time.Since(began), func() error {
		s, err := d.status()
		if err != nil {
			return err
		}
		for _, b := range s.Broadcasts {
			if b.Name == "room/before" && len(b.Tracks) >= 3 {
				return nil
			}
		}
		return fmt.Errorf("broadcasts %+v, links %+v", s.Broadcasts, s.Links)
	})
	t.Logf("restarted and serving after %v", time.Since(began).Round(time.Millisecond))

	pass(t, outage-time.Since(killed))
	w.wantWhole(during, 5*time.Second)
	w.wantWhole(late, 3*time.Second)
	for _, p := range before {
		w.wantWhole(p, outage)
	}
	stands()
	if t.Failed() {
		for _, n := range w.nodes {
			t.Log(n.drops())
		}
	}

	// Back, with nothing in memory.
	for _, a := range w.agents {
		a.start()
	}
	await(t, "all in order again", 90*time.Second, all(degraded(false)))
	await(t, "all registered again", 30*time.Second, func() error {
		for i, want := range [][]string{{"trellis-a", "trellis-c"}, {"trellis-b", "trellis-d"}} {
			got, err := w.agents[1-i].services(w.agents[i].dc)
			if err != nil {
				return err
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s lists %v", w.agents[i].dc, got)
			}
		}
		return nil
	})
	must(t, all(func(n *node) error { return n.linked(len(w.nodes)) })())
	for _, n := range w.nodes {
		if v := n.metric("trellis_control_plane_degraded"); v != 0 {
			t.Errorf("%s: trellis_control_plane_degraded is %v", n.id, v)
		}
	}

	// A node that leaves in order takes itself out.
	d.signal(syscall.SIGTERM)
	if err := d.wait(15 * time.Second); err != nil {
		t.Error(err)
	}
	await(t, "the leaving node is no longer listed", 5*time.Second, func() error {
		got, err := w.agents[0].services("west")
		if err == nil && !slices.Equal(got, []string{"trellis-b"}) {
			err = fmt.Errorf("west lists %v", got)
		}
		return err
	})
}
