package backbone_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/wire"
)

// split cuts or mends every path between two sets of nodes.
func (c *cluster) split(left, right []*node, down bool) {
	for _, a := range left {
		for _, b := range right {
			c.net.cut(a.addr, b.addr, down)
		}
	}
}

// TestPartition: a mesh falls into two halves for a while, of which each serves
// its own publisher; five seconds after they can hear one another again, everybody
// can watch everything, and where the plans have it.
func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlanned(t, 3, 6, wire.KindVideo)
		left, right := p.nodes[:3], p.nodes[3:]
		_, other := right[0].publish("room/bob", "t", wire.KindAudio)
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- right[0].stream(other, 10, 300, 20*time.Millisecond, stop) }()
		for _, n := range p.others {
			p.views[n] = n.view("room/alice", "t")
		}
		left[1].waitFor("room/bob")
		bobLeft, bobRight := left[1].view("room/bob", "t"), right[1].view("room/bob", "t")
		time.Sleep(5 * time.Second)
		p.settled(15 * time.Second)

		p.split(left, right, true)
		time.Sleep(20 * time.Second) // records live for 8 s
		fresh := func(what string, v *viewer, within time.Duration) {
			t.Helper()
			all := v.objects()
			if len(all) == 0 || time.Since(all[len(all)-1].at) > within {
				t.Errorf("%s gets nothing", what)
			}
		}
		fresh("alice's half", p.views[left[1]], 200*time.Millisecond)
		fresh("bob's half", bobRight, 200*time.Millisecond)
		for _, n := range right {
			if _, known := n.table.Lookup("room/alice"); known {
				t.Errorf("%s still announces what it cannot reach", n.id)
			}
			p.views[n].stop()
			delete(p.views, n)
		}
		bobLeft.stop()

		p.split(left, right, false)
		mended := time.Now()
		for _, n := range right {
			n.waitFor("room/alice")
			p.views[n] = n.view("room/alice", "t")
		}
		left[1].waitFor("room/bob")
		bobLeft = left[1].view("room/bob", "t")
		for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
			missing := func(v *viewer) bool { return len(v.objects()) == 0 }
			if !missing(bobLeft) && !slices.ContainsFunc(right, func(n *node) bool { return missing(p.views[n]) }) {
				break
			}
		}
		if took := time.Since(mended); took > 5*time.Second {
			t.Errorf("everybody could watch everything after %v", took)
		} else {
			t.Logf("everybody could watch everything after %v", took)
		}
		time.Sleep(5 * time.Second)
		p.settled(15 * time.Second)
		for _, n := range p.others {
			r := routeOf(n.routes("room/alice", "t"), n.id)
			var path []string
			for _, h := range r.Path {
				path = append(path, h.Node)
			}
			if sorted := slices.Sorted(slices.Values(path)); len(slices.Compact(sorted)) != len(path) || path[0] != "n00" {
				t.Errorf("%s gets it by %v", n.id, path)
			}
		}
		close(stop)
		<-done
		bobLeft.stop()
		bobRight.stop()
		p.end()
	})
}

// TestSecondPublisher: while a track is planned and protected, a newer publisher
// takes its name at another node. Viewers get the new one, planned by its own
// origin; routes of the old one are followed by nobody.
func TestSecondPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlanned(t, 5, 6, wire.KindAudio)
		for _, n := range p.others[1:] {
			p.views[n] = n.view("room/alice", "t")
		}
		p.settled(15 * time.Second)
		second := p.others[0]
		close(p.stop)
		<-p.done
		_, tr := second.publish("room/alice", "t", wire.KindAudio)
		stop := make(chan struct{})
		done := make(chan uint64)
		go func() { done <- second.stream(tr, 10, 500, 20*time.Millisecond, stop) }()
		time.Sleep(500 * time.Millisecond)
		var views []*viewer
		for _, n := range p.others[1:] {
			<-p.views[n].done
			if err := p.views[n].err; err == nil || !strings.Contains(err.Error(), "newer publisher") {
				t.Errorf("%s was told %v", n.id, err)
			}
			views = append(views, n.view("room/alice", "t"))
		}
		time.Sleep(12 * time.Second)
		for i, n := range p.others[1:] {
			s := n.routes("room/alice", "t")
			r := routeOf(s, n.id)
			if s.Origin != second.id || r.Version == 0 || r.Planned[0] != second.id || r.Path[0].Node != second.id {
				t.Errorf("%s: origin %s, %+v", n.id, s.Origin, r)
			}
			next := map[uint64]uint64{}
			for _, o := range views[i].objects() {
				if o.size != 500 || o.object != next[o.group] {
					t.Fatalf("%s: object %d of group %d has %d bytes, want number %d of the second publisher", n.id, o.object, o.group, o.size, next[o.group])
				}
				next[o.group]++
			}
			if len(next) < 40 {
				t.Errorf("%s has %d groups", n.id, len(next))
			}
			views[i].stop()
		}
		close(stop)
		<-done
		p.close()
	})
}
