package control_test

import (
	"testing"
	"time"

	"trellis/routing/control"
)

// full is an origin with room for three children, which three near nodes have taken
// who could do without: each can hang below another. A node far away is in time below
// the origin alone.
func full() control.Snapshot {
	s := control.Snapshot{Now: start, Nodes: []control.Node{
		{ID: "a", MaxChildren: 8}, {ID: "b", MaxChildren: 8}, {ID: "c", MaxChildren: 8}, {ID: "far", MaxChildren: 8}, {ID: "o", MaxChildren: 3},
	}}
	for _, l := range []struct {
		a, b string
		ms   int
	}{{"a", "b", 2}, {"a", "c", 2}, {"b", "c", 2}, {"c", "o", 5}, {"a", "far", 79}, {"b", "far", 79}, {"a", "o", 5}, {"b", "o", 5}, {"far", "o", 78}} {
		d := time.Duration(l.ms) * time.Millisecond
		s.Links = append(s.Links, control.Link{From: l.a, To: l.b, Delay: d, DelayP95: d, Calm: true},
			control.Link{From: l.b, To: l.a, Delay: d, DelayP95: d, Calm: true})
	}
	s.Tracks = []control.Track{{Name: video, RateMbps: 1, Demand: []control.Demand{
		{Node: "a", Viewers: 10, Parent: "o"},
		{Node: "b", Viewers: 10, Parent: "o"},
		{Node: "c", Viewers: 20, Parent: "o"},
		{Node: "far", Viewers: 10, Parent: "a"},
	}}}
	return s
}

// fullLate is a world with such an origin, in which the way to the node far away is
// measured when the places are taken.
func fullLate(t *testing.T) *world {
	t.Helper()
	s := full()
	direct := s.Links[len(s.Links)-2:]
	s.Links = s.Links[:len(s.Links)-2]
	w := newWorld(t, control.Config{Origin: "o"}, s)
	w.step(0)
	w.want("far", "o a", control.ReasonJoined, "bound 92 ms")
	w.s.Links = append(w.s.Links, direct...)
	return w
}

// TestRoomForTheLate: who came first, and is in time elsewhere, gives its place to
// who is not.
func TestRoomForTheLate(t *testing.T) {
	w := fullLate(t)
	w.step(time.Second)
	w.want("b", "o a", control.ReasonRoom, "makes room for far; now a, 7.0 ms")
	w.want("far", "o a", control.ReasonJoined, "")
	w.step(time.Second)
	w.want("far", "o", control.ReasonLate, "78.0 instead of 84.0 ms")
	for range 120 {
		w.step(time.Second)
	}
	if w.moves != 2 {
		t.Errorf("%d moves, want 2 and no more", w.moves)
	}
}

// TestRoomIsTakenWhenItIsThere: a full parent would refuse whom another has not made
// room for yet, and nobody else takes the place meanwhile. Who does not go is left
// in peace after a while, and another makes room.
func TestRoomIsTakenWhenItIsThere(t *testing.T) {
	w := fullLate(t)
	w.disobey = func(node string) bool { return node == "b" }
	w.s.Nodes = append(w.s.Nodes, control.Node{ID: "late", MaxChildren: 8})
	w.step(time.Second)
	w.want("b", "o a", control.ReasonRoom, "makes room for far")
	for _, from := range []string{"o", "a"} {
		w.s.Links = append(w.s.Links, control.Link{From: from, To: "late", Delay: time.Millisecond, Calm: true})
	}
	w.s.Tracks[0].Demand = append(w.s.Tracks[0].Demand, control.Demand{Node: "late", Viewers: 1})
	for range 8 {
		w.step(time.Second)
		w.want("far", "o a", control.ReasonJoined, "")
		w.want("late", "o a", control.ReasonJoined, "")
	}
	for range 4 {
		w.step(time.Second)
	}
	w.want("far", "o", control.ReasonLate, "")
	w.want("c", "o a", control.ReasonRoom, "makes room for far")
	w.want("b", "o", control.ReasonRefused, "")
}

// TestNoRoomForTheLate: nobody gives up a place for another to be late in its stead.
func TestNoRoomForTheLate(t *testing.T) {
	w := fullLate(t)
	for _, l := range [][2]string{{"a", "b"}, {"b", "a"}, {"a", "c"}, {"c", "a"}, {"b", "c"}, {"c", "b"}} {
		w.link(l[0], l[1]).DelayP95 = 90 * time.Millisecond
	}
	for range 30 {
		w.step(time.Second)
	}
	w.want("far", "o a", control.ReasonJoined, "")
	if w.moves != 0 {
		t.Errorf("%d moves", w.moves)
	}
}

// TestStricterBound: who was moved a moment ago for the sake of a bound that had
// been raised moves again when a way is found that is in time.
func TestStricterBound(t *testing.T) {
	w := newDiamond(t, control.ProtectNone, at("a"))
	w.step(0)
	w.link("a", "edge").DelayP95 = 110 * time.Millisecond
	w.link("b", "edge").DelayP95 = 79 * time.Millisecond
	w.step(time.Second)
	r := w.want("edge", "o b", control.ReasonLate, "")
	if r.Bound <= 80*time.Millisecond {
		t.Fatalf("bound %v was not raised", r.Bound)
	}
	w.s.Links = append(w.s.Links, control.Link{From: "o", To: "edge", Delay: 79 * time.Millisecond, DelayP95: 79 * time.Millisecond, Calm: true})
	w.step(2 * time.Second)
	w.want("edge", "o", control.ReasonLate, "bound 80.0 ms")
	if w.moves > 2 {
		t.Errorf("%d moves", w.moves)
	}
}
