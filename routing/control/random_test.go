package control_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"trellis/routing/control"
)

var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// randomSnapshot is a small graph in which every limit binds now and then.
func randomSnapshot(r *rand.Rand) control.Snapshot {
	s := control.Snapshot{Now: start}
	n := 2 + r.IntN(12)
	fan := 1 + r.IntN(5)
	for i := range n {
		v := control.Node{
			ID: fmt.Sprintf("n%02d", i), Region: fmt.Sprintf("r%d", r.IntN(4)), Provider: fmt.Sprintf("p%d", r.IntN(3)),
			MaxChildren: r.IntN(fan + 2), Delay: time.Duration(r.IntN(1000)) * time.Microsecond,
			Draining: r.IntN(15) == 0, Overloaded: r.IntN(15) == 0,
		}
		if i == 0 {
			v.MaxChildren = 1 + r.IntN(4)
		}
		if r.IntN(3) == 0 {
			v.EgressMbps = 5 + 40*r.Float64()
			v.UsedMbps = v.EgressMbps * r.Float64()
		}
		s.Nodes = append(s.Nodes, v)
	}
	share := 0.2 + 0.8*r.Float64()
	for u := range n {
		for v := range n {
			if u == v || r.Float64() > share {
				continue
			}
			l := control.Link{
				From: s.Nodes[u].ID, To: s.Nodes[v].ID, Delay: time.Duration(1+r.IntN(60)) * time.Millisecond,
				PriceUSDPerGB: float64(r.IntN(9)) / 100, Calm: r.IntN(12) > 0,
			}
			if r.IntN(4) > 0 {
				l.DelayP95 = l.Delay + time.Duration(r.IntN(10))*time.Millisecond
			}
			if r.IntN(6) == 0 {
				l.CapacityMbps = 1 + 10*r.Float64()
			}
			s.Links = append(s.Links, l)
		}
	}
	for i := range 1 + r.IntN(4) {
		k := control.Track{
			Name: fmt.Sprintf("room/t%d", i), RateMbps: []float64{0.1, 1, 2.5, 4}[r.IntN(4)],
			Protect: control.Protection(r.IntN(4)),
		}
		if r.IntN(3) == 0 {
			k.Bound = time.Duration(20+r.IntN(100)) * time.Millisecond
		}
		if i > 0 && r.IntN(2) == 0 { // of the same broadcast
			k.Demand = s.Tracks[i-1].Demand
			k.Protect = s.Tracks[i-1].Protect
		} else {
			for v := range n {
				if r.IntN(2) == 0 {
					k.Demand = append(k.Demand, control.Demand{Node: s.Nodes[v].ID, Viewers: r.IntN(30)})
				}
			}
		}
		s.Tracks = append(s.Tracks, k)
	}
	return s
}

// scale multiplies the number of random cases: TRELLIS_PROPERTY=20 makes a long run
// of what is short by default.
func scale(tb testing.TB, n int) int {
	tb.Helper()
	s := os.Getenv("TRELLIS_PROPERTY")
	if s == "" {
		return n
	}
	x, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatalf("TRELLIS_PROPERTY: %v", err)
	}
	return n * x
}

func TestFirstPlansAreValid(t *testing.T) {
	for seed := range scale(t, 500) {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		s := randomSnapshot(r)
		c := control.New(control.Config{Origin: "n00", Seed: uint64(seed)})
		told := c.Decide(s)
		check := newChecker("n00", &s)
		if err := check.plans(told); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(told) != len(s.Tracks) {
			t.Fatalf("seed %d: %d plans for %d tracks", seed, len(told), len(s.Tracks))
		}
		if err := check.plans(c.Plans()); err != nil {
			t.Fatalf("seed %d, all: %v", seed, err)
		}
		again := control.New(control.Config{Origin: "n00", Seed: uint64(seed)}).Decide(s)
		if !slices.EqualFunc(told, again, func(a, b control.Plan) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Fatalf("seed %d: two controllers decide differently:\n%v\n%v", seed, told, again)
		}
	}
}
