package control_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"trellis/routing/control"
)

// diamond is an origin, two relays and an edge that both lead to, in 60 ms over a
// and in 70 over b.
func diamond(protect control.Protection) control.Snapshot {
	link := func(from, to string, delay time.Duration) control.Link {
		return control.Link{From: from, To: to, Delay: delay, DelayP95: delay + time.Millisecond, PriceUSDPerGB: 0.02, Calm: true}
	}
	const x = time.Millisecond
	return control.Snapshot{
		Now: start,
		Nodes: []control.Node{
			{ID: "a", Region: "ra", Provider: "pa", MaxChildren: 8},
			{ID: "b", Region: "rb", Provider: "pb", MaxChildren: 8},
			{ID: "edge", Region: "re", Provider: "pa", MaxChildren: 8},
			{ID: "o", Region: "ro", Provider: "pa", MaxChildren: 8},
		},
		Links: []control.Link{
			link("a", "edge", 40*x), link("b", "edge", 40*x), link("o", "a", 20*x), link("o", "b", 30*x),
		},
		Tracks: []control.Track{{
			Name: "room/video", RateMbps: 4, Protect: protect,
			Demand: []control.Demand{{Node: "edge", Viewers: 100}},
		}},
	}
}

// TestFlappingRouteMovesOnceAMinute has every link of a mesh swing by 30 %, every
// two seconds, each with a phase of its own.
func TestFlappingRouteMovesOnceAMinute(t *testing.T) {
	const minutes = 5
	for seed := range scale(t, 2) {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		s := meshOf(r, 24, 6)
		w := newWorld(t, control.Config{Origin: s.Nodes[0].ID}, s)
		calm := make([]time.Duration, len(s.Links))
		phase := make([]int, len(s.Links))
		for i := range s.Links {
			calm[i], phase[i] = s.Links[i].Delay, r.IntN(8)
		}
		total, first := 0, 0
		for minute := range minutes {
			w.moves = 0
			for tick := range 240 { // four a second
				for i := range w.s.Links {
					l := &w.s.Links[i]
					swing := 1.3
					if (tick+phase[i])/8%2 == 0 {
						swing = 0.7
					}
					l.Delay = time.Duration(float64(calm[i]) * swing)
					l.DelayP95 = l.Delay + 2*time.Millisecond
				}
				w.step(250 * time.Millisecond)
			}
			// In the first minute nobody knows yet that the links swing: who comes late is
			// helped at once, and once.
			if w.moves > 1 && minute > 0 {
				t.Errorf("seed %d: %d moves in minute %d", seed, w.moves, minute)
			}
			for node, n := range w.moved {
				if n > 1 {
					t.Errorf("seed %d: %s moved %d times in minute %d", seed, node, n, minute)
				}
			}
			clear(w.moved)
			total += w.moves
			if minute == 0 {
				first = w.moves
			}
		}
		t.Logf("seed %d: %d moves in %d minutes, %d of them in the first", seed, total, minutes, first)
	}
}

// TestOneFlappingLinkMovesAtMostOnce has the link of the better path swing around
// the bound.
func TestOneFlappingLinkMovesAtMostOnce(t *testing.T) {
	w := newWorld(t, control.Config{Origin: "o"}, diamond(control.ProtectWarm))
	w.step(0)
	if got := w.routes["room/video"]["edge"].Path[1]; got != "a" {
		t.Fatalf("the edge begins below %s", got)
	}
	w.moves = 0
	for tick := range 4 * 60 * 5 {
		l := w.link("a", "edge")
		l.Delay = time.Duration(40*(1+0.3*sign(tick/8)))*time.Millisecond + 12*time.Millisecond
		l.DelayP95 = l.Delay
		w.step(250 * time.Millisecond)
	}
	if w.moves != 1 {
		t.Errorf("%d moves in five minutes, want the one that leaves the link", w.moves)
	}
	if got := w.routes["room/video"]["edge"]; got.Path[1] != "b" || got.Reason != control.ReasonLate {
		t.Errorf("in the end %+v", got)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 6)) }

func sign(i int) float64 { return float64(1 - 2*(i%2)) }

// meshOf is a mesh of nodes on a plane, each with links to its nearest.
func meshOf(r *rand.Rand, n, near int) control.Snapshot {
	s := control.Snapshot{Now: start}
	type at struct{ x, y float64 }
	place := make([]at, n)
	for i := range n {
		place[i] = at{r.Float64() * 60, r.Float64() * 40}
		s.Nodes = append(s.Nodes, control.Node{
			ID: fmt.Sprintf("node%04d", i), Region: fmt.Sprintf("region%d", i%12), Provider: fmt.Sprintf("p%d", i%3),
			MaxChildren: 16, Delay: 200 * time.Microsecond,
		})
	}
	linked := make([][]bool, n)
	for i := range linked {
		linked[i] = make([]bool, n)
	}
	for i := range n {
		for range near / 2 { // the nearest, and some far ones
			best, dist := -1, math.Inf(1)
			for j := range n {
				if d := math.Hypot(place[i].x-place[j].x, place[i].y-place[j].y); j != i && !linked[i][j] && d < dist {
					best, dist = j, d
				}
			}
			for _, j := range []int{best, (i + 1 + r.IntN(n-1)) % n} {
				linked[i][j], linked[j][i] = true, true
			}
		}
	}
	for i := range n {
		for j := range n {
			if !linked[i][j] {
				continue
			}
			ms := 0.5 + math.Hypot(place[i].x-place[j].x, place[i].y-place[j].y)
			l := control.Link{From: s.Nodes[i].ID, To: s.Nodes[j].ID, PriceUSDPerGB: 0.01 * float64(1+i%3+j%2), Calm: true}
			l.Delay = time.Duration(ms * float64(time.Millisecond))
			l.DelayP95 = l.Delay + time.Duration((0.5+r.Float64())*float64(time.Millisecond))
			s.Links = append(s.Links, l)
		}
	}
	k := control.Track{Name: "room/alice", RateMbps: 4, Protect: control.ProtectWarm}
	for i := 1; i < n; i++ {
		if r.IntN(3) > 0 {
			k.Demand = append(k.Demand, control.Demand{Node: s.Nodes[i].ID, Viewers: 1 + r.IntN(300)})
		}
	}
	s.Tracks = []control.Track{k}
	return s
}
