package routing_test

import (
	"math/rand/v2"
	"testing"

	"trellis/routing"
	"trellis/routing/check"
	"trellis/routing/routingtest"
)

// liveDemand turns what live trees serve into a demand and a plan, for the
// checker to judge.
func liveDemand(d *routing.Demand, lives []*routing.Live) (*routing.Demand, *routing.Plan) {
	out := &routing.Demand{Graph: d.Graph}
	p := &routing.Plan{}
	for i, l := range lives {
		k := d.Tracks[i]
		k.Terminals = nil
		for v := range d.Graph.Len() {
			if l.Viewers(v) > 0 {
				k.Terminals = append(k.Terminals, routing.Terminal{Node: v, Viewers: l.Viewers(v)})
			}
		}
		out.Tracks = append(out.Tracks, k)
		p.Tracks = append(p.Tracks, routing.TrackPlan{ID: k.ID, Tree: l.Tree()})
	}
	return out, p
}

// Joins, leaves, losses and repairs in any order keep every tree valid beside
// the others.
func TestLiveStaysValid(t *testing.T) {
	for seed := range scale(t, 150) {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		d := routingtest.Several(r, 4+r.IntN(16), 4)
		c := routing.NewCapacity(d.Graph)
		lives := make([]*routing.Live, len(d.Tracks))
		for i := range lives {
			lives[i] = routing.NewLive(d.Graph, c, &d.Tracks[i])
		}
		down := map[int]bool{}
		for step := range 120 {
			i, v := r.IntN(len(lives)), r.IntN(d.Graph.Len())
			l := lives[i]
			switch r.IntN(8) {
			case 0:
				l.Leave(v, int64(r.IntN(5)))
				if l.Carries(v) && v != d.Tracks[i].Source {
					l.Prune(v)
				}
			case 1:
				isSource := false
				for j := range d.Tracks {
					isSource = isSource || d.Tracks[j].Source == v
				}
				if isSource {
					continue
				}
				c.SetDown(v, true)
				down[v] = true
				for _, other := range lives {
					other.Lose()
					if other.Carries(v) {
						t.Fatalf("seed %d step %d: a lost node is still there", seed, step)
					}
				}
			case 2:
				c.SetDown(v, false)
				delete(down, v)
			case 3:
				l.Mend()
			default:
				before := l.Viewers(v)
				n := int64(1 + r.IntN(5))
				res := l.Join(v, n)
				if got := l.Viewers(v) - before; res != routing.Refused && got != n || res == routing.Refused && got != 0 {
					t.Fatalf("seed %d step %d: join %v changed viewers by %d of %d", seed, step, res, got, n)
				}
			}
			// Idle nodes may stay a while; the checker wants them gone.
			for j, other := range lives {
				for u := range d.Graph.Len() {
					if u != d.Tracks[j].Source && other.Carries(u) {
						other.Prune(u)
					}
				}
			}
			ld, lp := liveDemand(d, lives)
			if err := check.Plan(ld, lp); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
		}
	}
}

func TestLiveLoadsPlan(t *testing.T) {
	for seed := range scale(t, 150) {
		r := rand.New(rand.NewPCG(uint64(seed), 8))
		d := routingtest.Several(r, 4+r.IntN(12), 3)
		_, plan, score := mustPlan(t, d, routing.Config{})
		c := routing.NewCapacity(d.Graph)
		var lives []*routing.Live
		for range 2 { // loading again gives back what was booked
			lives = lives[:0]
			for i := range d.Tracks {
				l := routing.NewLive(d.Graph, c, &d.Tracks[i])
				l.Load(&d.Tracks[i], plan.Tracks[i].Tree)
				lives = append(lives, l)
			}
			ld, lp := liveDemand(d, lives)
			if err := check.Plan(ld, lp); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if got := check.Score(ld, lp); got.CostUSD > score.CostUSD+1e-9 {
				t.Errorf("seed %d: loaded %+v of %+v", seed, got, score)
			}
			for _, l := range lives {
				l.Load(&routing.Track{Source: sourceOf(d, lives, l)}, routing.NewTree(d.Graph.Len()))
			}
			for v := range d.Graph.Len() {
				if x := c.EgressMbps(v); x > 1e-6 || x < -1e-6 {
					t.Fatalf("seed %d: node %d keeps %g Mbit/s booked", seed, v, x)
				}
			}
		}
	}
}

func sourceOf(d *routing.Demand, lives []*routing.Live, l *routing.Live) int {
	for i := range lives {
		if lives[i] == l {
			return d.Tracks[i].Source
		}
	}
	return 0
}
