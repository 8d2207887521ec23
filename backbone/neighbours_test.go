package backbone

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// world returns the nodes of regions on a ring, so many in each, as one node
// sees them: the further along the ring, the further away.
func ringWorld(self, regions, perRegion int) (name string, all []candidate) {
	for i := range regions * perRegion {
		id := fmt.Sprintf("n%03d", i)
		if i == self {
			name = id
			continue
		}
		apart := (i/perRegion - self/perRegion + regions) % regions
		apart = min(apart, regions-apart)
		all = append(all, candidate{id: id, region: fmt.Sprintf("r%02d", i/perRegion), rtt: time.Millisecond + time.Duration(apart)*10*time.Millisecond})
	}
	return name, all
}

func mustLinks(t *testing.T, c LinkConfig) LinkConfig {
	t.Helper()
	c, err := c.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSmallClusterLinksAll(t *testing.T) {
	self, all := ringWorld(0, 3, 8)
	s := newLinkSet(self, "r00", mustLinks(t, LinkConfig{}))
	chosen := s.choose(all, 0)
	if len(chosen) != 23 {
		t.Errorf("%d links among 24 nodes", len(chosen))
	}
	for id, cause := range chosen {
		if cause != LinkCluster {
			t.Errorf("%s: %v", id, cause)
		}
	}
	s = newLinkSet(self, "r00", mustLinks(t, LinkConfig{FullMesh: 23}))
	if n := len(s.choose(all, 0)); n >= 23 {
		t.Errorf("%d links where at most 20 were asked for", n)
	}
}

// TestLinkSetShape: the link sets of a thousand nodes are bounded, hold together,
// leave nobody with many more links than others, and reach from every region.
func TestLinkSetShape(t *testing.T) {
	const regions, perRegion = 50, 20
	cfg := mustLinks(t, LinkConfig{})
	degree := map[string]int{}
	linked := map[string][]string{}
	for i := range regions * perRegion {
		self, all := ringWorld(i, regions, perRegion)
		chosen := newLinkSet(self, fmt.Sprintf("r%02d", i/perRegion), cfg).choose(all, 0)
		if n := len(chosen); n > cfg.Near+cfg.Beside+cfg.Far || n < cfg.Near+cfg.Far {
			t.Fatalf("%s chose %d", self, n)
		}
		causes := map[LinkCause]int{}
		for id, cause := range chosen {
			causes[cause]++
			degree[id]++
			degree[self]++
			linked[self] = append(linked[self], id)
			linked[id] = append(linked[id], self)
		}
		if causes[LinkNear] != cfg.Near || causes[LinkBeside] != cfg.Beside || causes[LinkFar] != cfg.Far {
			t.Fatalf("%s chose %v", self, causes)
		}
	}
	if worst := slices.Max(slices.Collect(maps.Values(degree))); worst > cfg.Total {
		t.Errorf("a node has %d links", worst)
	}
	seen := map[string]bool{"n000": true}
	for queue := []string{"n000"}; len(queue) > 0; queue = queue[1:] {
		for _, id := range linked[queue[0]] {
			if !seen[id] {
				seen[id] = true
				queue = append(queue, id)
			}
		}
	}
	if len(seen) != regions*perRegion {
		t.Errorf("%d nodes reached", len(seen))
	}
}

// TestLinkSetStable: small changes of distance do not move the set, a node that
// is gone is replaced and nobody else moves.
func TestLinkSetStable(t *testing.T) {
	self, all := ringWorld(5, 20, 10)
	s := newLinkSet(self, "r00", mustLinks(t, LinkConfig{}))
	first := s.choose(all, 0)
	for turn := range 20 {
		for i := range all {
			all[i].rtt += time.Duration((i*7+turn*13)%5-2) * 50 * time.Microsecond
		}
		if again := s.choose(all, 0); !maps.Equal(first, again) {
			// A rank may be lost for good to somebody who is clearly nearer.
			moved := 0
			for id := range again {
				if _, ok := first[id]; !ok {
					moved++
				}
			}
			if moved > 1 {
				t.Fatalf("turn %d: %d links moved", turn, moved)
			}
			first = again
		}
	}
	for id, cause := range first {
		rest := slices.DeleteFunc(slices.Clone(all), func(c candidate) bool { return c.id == id })
		o := newLinkSet(self, "r00", s.cfg)
		o.near, o.beside = maps.Clone(s.near), maps.Clone(s.beside)
		var lost []string
		after := o.choose(rest, 0)
		for other := range first {
			if _, ok := after[other]; !ok && other != id {
				lost = append(lost, other)
			}
		}
		if len(lost) > 0 {
			t.Errorf("without %s (%v), %v are let go too", id, cause, lost)
		}
	}
}

// TestLinkSetAvoidsAndWants: who does not answer gives up his place; what routes
// want is taken as well, within its limit; who is not heard is tried in turn.
func TestLinkSetAvoidsAndWants(t *testing.T) {
	self, all := ringWorld(0, 10, 10)
	cfg := mustLinks(t, LinkConfig{Routes: 2})
	s := newLinkSet(self, "r00", cfg)
	first := s.choose(all, 0)
	for i := range all {
		if c, ok := first[all[i].id]; ok && c == LinkFar {
			all[i].avoid = true
			break
		}
	}
	second := s.choose(all, 0)
	for i := range all {
		if _, ok := second[all[i].id]; ok && all[i].avoid {
			t.Errorf("%s is avoided and chosen", all[i].id)
		}
	}
	if len(second) != len(first) {
		t.Errorf("%d links, %d before", len(second), len(first))
	}
	wanted, tried := 0, map[string]bool{}
	for i := range all {
		if _, ok := second[all[i].id]; !ok && !all[i].avoid {
			if wanted++; wanted <= 3 {
				all[i].wanted = true
			} else if wanted <= 6 {
				all[i].unheard = true
			}
		}
	}
	for turn := range uint64(3) {
		routes := 0
		for id, cause := range s.choose(all, turn) {
			switch cause {
			case LinkRoute:
				routes++
			case LinkUnheard:
				tried[id] = true
			}
		}
		if routes != 2 {
			t.Errorf("%d links for routes, want 2 of 3", routes)
		}
	}
	if len(tried) != 3 {
		t.Errorf("tried %v, want three", tried)
	}
}

// TestWants: a link is wanted until every want has been taken back.
func TestWants(t *testing.T) {
	m := &Mesh{loopState: loopState{wants: map[string]wants{}, peers: map[string]*peerState{}}}
	m.want("a", "parent")
	m.want("a", "parent")
	m.want("a", "backup")
	m.unwant("a", "parent")
	m.unwant("a", "backup")
	if m.wants["a"] == nil || !m.chooseDue {
		t.Error("let go too early")
	}
	m.chooseDue = false
	m.unwant("a", "parent")
	if m.wants["a"] != nil || !m.chooseDue {
		t.Error("not let go")
	}
	m.want("a", wantShortcut)
	if !m.peers["a"].trial {
		t.Error("wanted as a shortcut alone, which is a trial")
	}
	m.want("a", wantParent)
	if m.peers["a"].trial {
		t.Error("a trial, with the plan's parent there")
	}
}
