package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/routing/control"
)

const video = "room/video"

func (w *world) node(id string) *control.Node {
	w.t.Helper()
	for i := range w.s.Nodes {
		if w.s.Nodes[i].ID == id {
			return &w.s.Nodes[i]
		}
	}
	w.t.Fatalf("no node %s", id)
	return nil
}

// want checks where the edge of a diamond takes the video from, and why.
func (w *world) want(node, path, reason, note string) control.Route {
	w.t.Helper()
	for _, p := range w.c.Plans() {
		for _, r := range p.Routes {
			if p.Track != video || r.Node != node {
				continue
			}
			if got := strings.Join(r.Path, " "); got != path || r.Reason != reason || !strings.Contains(r.Note, note) {
				w.t.Fatalf("%s takes the track over %q (%s: %s), want %q (%s: ...%s...)", node, got, r.Reason, r.Note, path, reason, note)
			}
			return r
		}
	}
	w.t.Fatalf("%s has no route", node)
	return control.Route{}
}

func newDiamond(t *testing.T, protect control.Protection, change func(s *control.Snapshot)) *world {
	t.Helper()
	s := diamond(protect)
	if change != nil {
		change(&s)
	}
	return newWorld(t, control.Config{Origin: "o"}, s)
}

// at has the edge attached itself already.
func at(parent string) func(*control.Snapshot) {
	return func(s *control.Snapshot) {
		s.Tracks[0].Demand = []control.Demand{
			{Node: "a", Parent: "o"}, {Node: "b", Parent: "o"}, {Node: "edge", Viewers: 100, Parent: parent},
		}
	}
}

func TestFirstPlanAndBackup(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	r := w.want("edge", "o a", control.ReasonJoined, "60.0 ms")
	if got := strings.Join(r.Backup, " "); got != "o b" || r.Protect != control.ProtectWarm {
		t.Errorf("backup over %q, %v", got, r.Protect)
	}
	if r.Delay != 60*time.Millisecond || r.BackupDelay != 70*time.Millisecond || r.DelayP95 != 62*time.Millisecond || r.Bound != 80*time.Millisecond {
		t.Errorf("delay %v (p95 %v), over the backup %v, bound %v", r.Delay, r.DelayP95, r.BackupDelay, r.Bound)
	}
	w.want("b", "o", control.ReasonStandby, "backups")
	s := w.c.Plans()[0].Summary
	if s.Viewers != 100 || s.Reachable != 100 || s.InBound != 100 || s.Served != 100 || s.Protected != 100 || s.Moved != 0 {
		t.Errorf("summary %+v", s)
	}
	if usd := 4 * 0.45 * 3 * 0.02; s.USDPerHour < usd*0.999 || s.USDPerHour > usd*1.001 { // the standby's link carries too
		t.Errorf("costs %g USD/h, want %g", s.USDPerHour, usd)
	}
}

func TestWhoJoinsKeepsItsPlace(t *testing.T) {
	w := newDiamond(t, control.ProtectNone, func(s *control.Snapshot) { s.Tracks[0].Demand = nil })
	w.step(0)
	at("b")(&w.s) // 70 ms instead of 60, 14 %
	w.parent[video] = map[string]string{"a": "o", "b": "o", "edge": "b"}
	for range 60 {
		w.step(time.Second)
	}
	w.want("edge", "o b", control.ReasonJoined, "70.0 ms")
}

func TestKeptSaysWhatWouldBeBetter(t *testing.T) {
	w := newDiamond(t, control.ProtectNone, nil)
	w.step(0)
	w.s.Tracks[0].Demand = append([]control.Demand{{Node: "b", Viewers: 1}}, w.s.Tracks[0].Demand...)
	w.link("a", "edge").Delay += 14 * time.Millisecond
	w.step(time.Second)
	w.want("edge", "o a", control.ReasonJoined, "kept: b is 3 ms faster (4 %, threshold 15 %)")
}

func TestFasterOnlyAfterTheHold(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	w.link("o", "b").Delay, w.link("o", "b").DelayP95 = 5*time.Millisecond, 6*time.Millisecond
	w.step(time.Second)
	began := w.s.Now
	for w.moves == 0 && w.s.Now.Sub(began) < 2*time.Minute {
		w.step(500 * time.Millisecond)
	}
	// Ten seconds until the link is believed, and ten for the gain to last.
	if took := w.s.Now.Sub(began); took < 19*time.Second || took > 21*time.Second {
		t.Errorf("moved after %v", took)
	}
	w.want("edge", "o b", control.ReasonFaster, "instead of")
	if w.plans[video].Summary.Moved != 100 {
		t.Errorf("summary %+v", w.plans[video].Summary)
	}
}

func TestCheaper(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	w.link("b", "edge").PriceUSDPerGB = 0.001
	w.step(time.Second)
	for range 30 {
		w.step(time.Second)
	}
	w.want("edge", "o b", control.ReasonCheaper, "threshold 5 %")
	if w.moves != 1 {
		t.Errorf("%d moves", w.moves)
	}
}

func TestLateMovesAtOnceAndThenRests(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	w.link("a", "edge").DelayP95 = 70 * time.Millisecond // the median is as before
	w.step(time.Second)
	w.want("edge", "o b", control.ReasonLate, "bound 80.0 ms")
	w.link("a", "edge").DelayP95 = 41 * time.Millisecond
	w.link("b", "edge").DelayP95 = 60 * time.Millisecond
	for range 40 {
		w.step(time.Second)
	}
	w.want("edge", "o b", control.ReasonLate, "")
	for range 25 {
		w.step(time.Second)
	}
	w.want("edge", "o a", control.ReasonLate, "")
}

func TestLostParent(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	w.down["a"] = true
	w.step(100 * time.Millisecond)
	w.want("edge", "o b", control.ReasonParentLost, "a or the link from it is gone; now b, 70.0 ms")
	if got := w.plans[video].Changed; !slices.Equal(got, []string{"a", "edge"}) {
		t.Errorf("changed are %v", got)
	}
	w.down["a"] = false
	w.moves = 0
	for range 60 {
		w.step(time.Second)
	}
	if w.moves != 0 {
		t.Errorf("%d moves back, for 10 ms", w.moves)
	}
}

func TestFollowsWhoWentToItsBackup(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	w.parent[video]["edge"] = "b" // it suspected its parent; the origin still sees both
	w.step(50 * time.Millisecond)
	w.want("edge", "o b", control.ReasonParentLost, "a or the link")
}

func TestFollowsWhoDoesNotMove(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	w.disobey = func(node string) bool { return node == "edge" }
	w.loose = true
	w.link("a", "edge").DelayP95 = 70 * time.Millisecond
	w.step(time.Second)
	for range 9 {
		w.step(time.Second)
		w.want("edge", "o b", control.ReasonLate, "")
	}
	w.step(time.Second)
	w.want("edge", "o a", control.ReasonRefused, "the move to b was not made")
	for range 100 { // asked again after two minutes, not one
		w.step(time.Second)
		w.want("edge", "o a", control.ReasonRefused, "")
	}
}

func TestFollowsWhoWasRefused(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	w.disobey = func(node string) bool { return node == "edge" }
	w.loose = true
	w.link("a", "edge").DelayP95 = 70 * time.Millisecond
	w.step(time.Second)
	w.want("edge", "o b", control.ReasonLate, "")
	w.link("b", "edge").Calm = false // as the mesh says of a link over which it was refused
	w.step(time.Second)
	w.want("edge", "o a", control.ReasonRefused, "the move to b was not made")
}

func TestPricesGoByRate(t *testing.T) {
	w := newDiamond(t, control.ProtectNone, func(s *control.Snapshot) {
		for i, name := range []string{"room/0", "room/1", "room/2"} {
			k := s.Tracks[0]
			k.Name, k.RateMbps = name, float64(2*i)
			s.Tracks = append(s.Tracks, k)
		}
		s.Tracks = s.Tracks[1:]
	})
	w.step(0)
	for i, p := range w.c.Plans() {
		want := float64(2*i) * 0.45 * 0.02
		if got := p.Routes[len(p.Routes)-1].Price; got < want*0.999 || got > want*1.001 {
			t.Errorf("%s costs %g USD/h at the edge, want %g", p.Track, got, want)
		}
	}
}

func TestDrain(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	w.node("a").Draining = true
	w.step(time.Second)
	r := w.want("edge", "o b", control.ReasonDrain, "a drains")
	if len(r.Backup) > 0 {
		t.Errorf("the draining node is the backup: %v", r.Backup)
	}
	w.node("a").Draining, w.node("b").Draining = false, true
	w.step(time.Second)
	w.want("edge", "o a", control.ReasonDrain, "b drains")
	w.node("a").Draining = true // no other place: better than nothing
	w.step(time.Second)
	w.want("edge", "o a", control.ReasonDrain, "")
}

func TestOverloadedKeepsItsChildren(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	w.node("a").Overloaded = true
	w.s.Nodes = append(w.s.Nodes, control.Node{ID: "p", MaxChildren: 4})
	for _, from := range []string{"a", "b"} {
		l := *w.link(from, "edge")
		l.To = "p"
		w.s.Links = append(w.s.Links, l)
	}
	w.s.Tracks[0].Demand = append(slices.Clone(w.s.Tracks[0].Demand), control.Demand{Node: "p", Viewers: 5})
	for range 30 {
		w.step(time.Second)
	}
	w.want("edge", "o a", control.ReasonJoined, "")
	w.want("p", "o b", control.ReasonJoined, "")
}

func TestCapacityGivesBackWhatTheTracksUse(t *testing.T) {
	w := newDiamond(t, control.ProtectNone, nil)
	w.node("a").EgressMbps = 10
	w.step(0)
	w.node("a").UsedMbps = 10 // 4 of them are ours
	w.step(time.Second)
	w.step(time.Second)
	w.want("edge", "o a", control.ReasonJoined, "")
	w.node("a").UsedMbps = 11.5 // others take more: 2.5 are left for us
	w.step(time.Second)
	w.want("edge", "o b", control.ReasonCapacity, "a is full")
}

func TestHotNeedsDisjointPaths(t *testing.T) {
	w := newDiamond(t, control.ProtectHot, nil)
	w.step(0)
	if r := w.want("edge", "o a", control.ReasonJoined, ""); r.Protect != control.ProtectHot || strings.Join(r.Backup, " ") != "o b" {
		t.Errorf("%v over %v", r.Protect, r.Backup)
	}
	// With b behind a, both ways pass a.
	w = newDiamond(t, control.ProtectHot, func(s *control.Snapshot) {
		s.Links[3].From = "a"
	})
	w.step(0)
	if r := w.want("edge", "o a", control.ReasonJoined, "no backup: no path with room avoids a"); r.Protect != control.ProtectNone {
		t.Errorf("%v over %v", r.Protect, r.Backup)
	}
}

func TestBackupThatSavesTheParentAlone(t *testing.T) {
	w := newDiamond(t, control.ProtectHot, func(s *control.Snapshot) {
		link := func(from, to string) control.Link {
			return control.Link{From: from, To: to, Delay: 5 * time.Millisecond, Calm: true, PriceUSDPerGB: 0.01}
		}
		s.Nodes = append(s.Nodes, control.Node{ID: "p", MaxChildren: 8}, control.Node{ID: "q", MaxChildren: 8}, control.Node{ID: "r", MaxChildren: 8})
		s.Links = []control.Link{link("o", "p"), link("p", "q"), link("p", "r"), link("q", "edge"), link("r", "edge")}
		s.Tracks[0].Demand = []control.Demand{{Node: "edge", Viewers: 5}, {Node: "q", Viewers: 5}, {Node: "r", Viewers: 5}}
	})
	w.step(0)
	r := w.want("edge", "o p q", control.ReasonJoined, "backup shares p with the path")
	if strings.Join(r.Backup, " ") != "o p r" || r.Protect != control.ProtectHot {
		t.Errorf("%v over %v", r.Protect, r.Backup)
	}
}

// TestBackupOverABackup: b takes the track from a as edge does, but is fed by o as
// well. When a dies, b goes on without it, and so does who has b as its backup.
func TestBackupOverABackup(t *testing.T) {
	for _, protect := range []control.Protection{control.ProtectWarm, control.ProtectHot} {
		w := newDiamond(t, protect, func(s *control.Snapshot) {
			link := func(from, to string, ms int) control.Link {
				return control.Link{From: from, To: to, Delay: time.Duration(ms) * time.Millisecond, Calm: true, PriceUSDPerGB: 0.01}
			}
			s.Links = []control.Link{link("o", "a", 13), link("o", "b", 45), link("a", "b", 8), link("a", "edge", 8), link("b", "edge", 36)}
			s.Tracks[0].Demand = []control.Demand{{Node: "edge", Viewers: 5, Parent: "a"}, {Node: "b", Viewers: 5, Parent: "a"}}
		})
		w.step(0)
		r := w.want("edge", "o a", control.ReasonJoined, "")
		if strings.Join(r.Backup, " ") != "o b" || r.Protect != protect || r.BackupDelay < 80*time.Millisecond {
			t.Errorf("%v: %v over %v, in %v", protect, r.Protect, r.Backup, r.BackupDelay)
		}
		if r := w.want("b", "o a", control.ReasonPlanned, ""); strings.Join(r.Backup, " ") != "o" || r.Protect != protect {
			t.Errorf("b: %v over %v", r.Protect, r.Backup)
		}
	}
}

func TestBlastRadius(t *testing.T) {
	w := newDiamond(t, control.ProtectNone, nil)
	w.step(0)
	r := w.want("edge", "o a", control.ReasonJoined, "warm: a carries more than the share of viewers that may depend on one")
	if r.Protect != control.ProtectWarm || strings.Join(r.Backup, " ") != "o b" {
		t.Errorf("%v over %v", r.Protect, r.Backup)
	}
}

// TestBlastRadiusMovesWhoHasNoBackup: c has no way but over relays that too many
// depend on, save one at the origin.
func TestBlastRadiusMovesWhoHasNoBackup(t *testing.T) {
	link := func(from, to string, price float64) control.Link {
		return control.Link{From: from, To: to, Delay: 10 * time.Millisecond, PriceUSDPerGB: price, Calm: true}
	}
	s := control.Snapshot{
		Now: start,
		Nodes: []control.Node{
			{ID: "big", MaxChildren: 8}, {ID: "c"}, {ID: "d"}, {ID: "e"}, {ID: "f"}, {ID: "g"}, {ID: "o", MaxChildren: 8}, {ID: "small", MaxChildren: 2},
		},
		Links: []control.Link{
			link("big", "c", 0.01), link("big", "d", 0.01), link("big", "e", 0.01), link("o", "big", 0.01), link("o", "f", 0.01),
			link("o", "g", 0.01), link("o", "small", 0.01), link("small", "c", 0.02), link("small", "d", 0.02),
		},
	}
	k := control.Track{Name: video, RateMbps: 1}
	for _, id := range []string{"c", "d", "e", "f", "g", "small"} {
		k.Demand = append(k.Demand, control.Demand{Node: id, Viewers: 10})
	}
	s.Tracks = []control.Track{k}
	w := newWorld(t, control.Config{Origin: "o", BlastShare: 0.4}, s)
	w.step(0)
	w.want("c", "o big", control.ReasonJoined, "warm: big carries more")
	// Now the small one cannot take two at once, so somebody has no backup.
	w.node("small").EgressMbps, w.node("small").UsedMbps = 10, 9
	for range 200 {
		w.step(time.Second)
	}
	c, d := 0, 0
	for _, r := range w.c.Plans()[0].Routes {
		switch {
		case r.Reason == control.ReasonBlastRadius && r.Path[1] == "small":
			c++
		case r.Node == "c" || r.Node == "d":
			d++
		}
	}
	if c != 1 || d != 1 {
		t.Errorf("%d moved, %d stayed: %+v", c, d, w.c.Plans()[0].Routes)
	}
}

// TestBlastRadiusIsNotPassedOn: nobody is moved below a node that would then carry
// too much itself.
func TestBlastRadiusIsNotPassedOn(t *testing.T) {
	link := func(from, to string, price float64) control.Link {
		return control.Link{From: from, To: to, Delay: 10 * time.Millisecond, PriceUSDPerGB: price, Calm: true}
	}
	s := control.Snapshot{
		Now:   start,
		Nodes: []control.Node{{ID: "big", MaxChildren: 8}, {ID: "c"}, {ID: "d"}, {ID: "o", MaxChildren: 8}, {ID: "other", MaxChildren: 8}, {ID: "p", MaxChildren: 8}},
		Links: []control.Link{
			link("big", "c", 0.01), link("big", "d", 0.01), link("o", "p", 0.01), link("other", "c", 0.02), link("p", "big", 0.01), link("p", "other", 0.01),
		},
		Tracks: []control.Track{{Name: video, RateMbps: 1, Demand: []control.Demand{
			{Node: "c", Viewers: 60}, {Node: "d", Viewers: 10}, {Node: "other", Viewers: 10},
		}}},
	}
	w := newWorld(t, control.Config{Origin: "o", BlastShare: 0.5}, s)
	for range 100 {
		w.step(time.Second)
	}
	w.want("c", "o p big", control.ReasonJoined, "backup shares p with the path")
}

// TestBackupsMakeRoom: what others take of a backup parent, backups lose.
func TestBackupsMakeRoom(t *testing.T) {
	w := newDiamond(t, control.ProtectHot, nil)
	w.node("b").EgressMbps = 10
	w.step(0)
	if r := w.want("edge", "o a", control.ReasonJoined, ""); r.Protect != control.ProtectHot {
		t.Fatalf("%v over %v", r.Protect, r.Backup)
	}
	w.step(time.Second)
	w.step(time.Second)
	w.node("b").UsedMbps = 7 // with our 4: none of it is noticed but by what is left
	w.node("b").EgressMbps = 10
	w.step(time.Second)
	if r := w.want("edge", "o a", control.ReasonJoined, "no backup"); r.Protect != control.ProtectNone {
		t.Errorf("%v over %v", r.Protect, r.Backup)
	}
}

func TestRestlessLinksAreALastResort(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, func(s *control.Snapshot) { s.Links[0].Calm = false })
	w.step(0)
	w.want("edge", "o b", control.ReasonJoined, "")
	w.down["b"] = true
	w.step(time.Second)
	w.want("edge", "o a", control.ReasonParentLost, "")
}

func TestOutOfReach(t *testing.T) {
	w := newDiamond(t, control.ProtectNone, func(s *control.Snapshot) {
		for i := range s.Links {
			s.Links[i].Delay += 40 * time.Millisecond
			s.Links[i].DelayP95 += 40 * time.Millisecond
		}
	})
	w.step(0)
	r := w.want("edge", "o a", control.ReasonJoined, "")
	if want := time.Duration(1.1 * 142 * float64(time.Millisecond)); r.Bound < want-time.Millisecond || r.Bound > want+time.Millisecond {
		t.Errorf("bound %v, want %v", r.Bound, want)
	}
	if s := w.c.Plans()[0].Summary; s.Reachable != 0 || s.InBound != 0 || s.Served != 100 {
		t.Errorf("summary %+v", s)
	}
}

func TestLateSubtreeMovesAsOne(t *testing.T) {
	w := newDiamond(t, control.ProtectNone, func(s *control.Snapshot) {
		k := &s.Tracks[0]
		k.Demand = nil
		for _, id := range []string{"v1", "v2", "v3"} {
			s.Nodes = append(s.Nodes, control.Node{ID: id})
			k.Demand = append(k.Demand, control.Demand{Node: id, Viewers: 10})
			for _, from := range []string{"b", "edge"} {
				s.Links = append(s.Links, control.Link{From: from, To: id, Delay: 10 * time.Millisecond, DelayP95: 10 * time.Millisecond, PriceUSDPerGB: 0.01, Calm: true})
			}
		}
		for i := range s.Links[:4] {
			s.Links[i].PriceUSDPerGB = []float64{0.001, 0.001, 0.001, 0.1}[i]
		}
	})
	w.step(0)
	w.want("v2", "o a edge", control.ReasonPlanned, "")
	w.link("a", "edge").DelayP95 = 60 * time.Millisecond
	w.step(time.Second)
	if w.moves != 3 { // each alone: the edge itself cannot be in time for them over b
		t.Errorf("%d moves", w.moves)
	}
	w = newDiamond(t, control.ProtectNone, func(s *control.Snapshot) {
		for _, id := range []string{"v1", "v2", "v3"} {
			s.Nodes = append(s.Nodes, control.Node{ID: id})
			s.Tracks[0].Demand = append(s.Tracks[0].Demand, control.Demand{Node: id, Viewers: 10})
			s.Links = append(s.Links, control.Link{From: "edge", To: id, Delay: time.Millisecond, DelayP95: time.Millisecond, Calm: true})
		}
		s.Tracks[0].Demand[0].Viewers = 0
	})
	w.step(0)
	w.link("a", "edge").DelayP95 = 60 * time.Millisecond
	w.step(time.Second)
	w.want("v3", "o b edge", control.ReasonJoined, "")
	w.want("edge", "o b", control.ReasonLate, "instead of 81.0 ms")
	if w.moves != 1 {
		t.Errorf("%d moves", w.moves)
	}
}

func TestBoundsComeFromSteadyLinks(t *testing.T) {
	w := newDiamond(t, control.ProtectNone, func(s *control.Snapshot) {
		for i := range s.Links {
			s.Links[i].Delay += 40 * time.Millisecond
			s.Links[i].DelayP95 += 40 * time.Millisecond
		}
		s.Links = append(s.Links, control.Link{From: "o", To: "edge", Delay: 100 * time.Millisecond})
	})
	w.step(0)
	if r := w.want("edge", "o a", control.ReasonJoined, ""); r.Bound < 156*time.Millisecond || r.Bound > 157*time.Millisecond {
		t.Errorf("bound %v", r.Bound)
	}
	w.down["a"], w.down["b"] = true, true
	w.step(time.Second)
	if r := w.want("edge", "o", control.ReasonParentLost, ""); r.Bound != 121*time.Millisecond {
		t.Errorf("bound %v over the only link", r.Bound)
	}
}

func TestBudgetOfRoutineMoves(t *testing.T) {
	s := meshOf(newRand(7), 40, 8)
	w := newWorld(t, control.Config{Origin: s.Nodes[0].ID, MovedShare: 0.05}, s)
	w.step(0)
	viewers := 0
	for _, d := range s.Tracks[0].Demand {
		viewers += d.Viewers
	}
	for i := range w.s.Links { // another world of prices
		w.s.Links[i].PriceUSDPerGB = 0.01 * float64(1+(i*7919)%9)
	}
	total := 0
	for minute := range 10 {
		moved := 0
		w.moves = 0
		for range 60 {
			w.step(time.Second)
			for _, p := range w.told {
				moved += p.Summary.Moved
			}
		}
		// A minute touches two windows, and in each a single move may exceed the budget.
		if moved > 2*viewers/20 && w.moves > 2 {
			t.Errorf("%d moves of %d of %d viewers in minute %d", w.moves, moved, viewers, minute)
		}
		total += moved
	}
	if total == 0 {
		t.Error("nobody moved for the sake of money")
	}
}

func TestTracksOfOneDemandShareTheirTree(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, func(s *control.Snapshot) {
		audio := s.Tracks[0]
		audio.Name, audio.RateMbps = "room/audio", 0.1
		s.Tracks = []control.Track{audio, s.Tracks[0]}
	})
	w.step(0)
	a, v := w.plans["room/audio"], w.plans[video]
	if a.Version == v.Version || len(a.Routes) != len(v.Routes) || a.Routes[2].Price >= v.Routes[2].Price {
		t.Errorf("audio %+v\nvideo %+v", a, v)
	}
	// Nobody wants the video any more; the audio stays as it is.
	w.s.Tracks[1].Demand = nil
	w.parent[video] = nil
	w.routes[video] = map[string]control.Route{}
	p := w.c.Decide(w.snapshot())
	if len(p) != 1 || p[0].Track != video || len(p[0].Routes) != 0 || !slices.Equal(p[0].Changed, []string{"a", "b", "edge"}) {
		t.Errorf("told %+v", p)
	}
	if n := len(w.c.Plans()); n != 2 {
		t.Errorf("%d plans", n)
	}
}

func TestWithoutTheOriginNothingChanges(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	s := w.snapshot()
	s.Nodes = s.Nodes[:3]
	if p := w.c.Decide(s); p != nil {
		t.Errorf("decided %+v", p)
	}
	w.step(time.Second)
	if len(w.told) != 0 || w.moves != 0 {
		t.Errorf("afterwards %+v", w.told)
	}
}

func TestForgetsTracksThatEnd(t *testing.T) {
	w := newDiamond(t, control.ProtectWarm, nil)
	w.step(0)
	before := w.plans[video].Version
	tracks := w.s.Tracks
	w.s.Tracks = nil
	w.step(time.Second)
	if n := len(w.c.Plans()); n != 0 {
		t.Errorf("%d plans", n)
	}
	w.s.Tracks = tracks
	w.routes = map[string]map[string]control.Route{}
	w.step(time.Second)
	if after := w.plans[video].Version; after <= before {
		t.Errorf("version %d after %d", after, before)
	}
}
