package world

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"trellis/routing/control"
)

// planned is a world in which nothing runs but the origin's planner: nodes attach
// themselves where there is room, and are at once where a plan wants them.
type planned struct {
	*World

	rng     *rand.Rand
	links   map[[2]int]bool
	parent  map[string]string
	kids    map[int]int
	reached []time.Duration // as they attached themselves; 0: not yet
	c       *control.Controller
	now     time.Time
}

// places is how many nodes may take a track from one: the backbone's default.
const places = 32

// newPlanned has every node measure its links to near nodes, to near regions, and
// to some others, as the mesh does.
func newPlanned(t *testing.T, cfg Config) *planned {
	t.Helper()
	w, err := design(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &planned{
		World: w, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), links: map[[2]int]bool{}, parent: map[string]string{}, kids: map[int]int{},
		reached: make([]time.Duration, len(w.places)), now: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		c: control.New(control.Config{Origin: w.places[w.origin].ID, Bound: w.cfg.Budget, Seed: cfg.Seed}),
	}
	for i := range w.places {
		order := p.rng.Perm(len(w.places))
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.delay(i, a), p.delay(i, b)) })
		regions := map[int]bool{}
		for k, j := range order[1:] {
			r := w.places[j].Region
			if k < 8 || len(regions) < 4 && r != w.places[i].Region && !regions[r] {
				regions[r] = true
				p.measure(i, j)
			}
		}
		for _, j := range p.rng.Perm(len(w.places))[:8] {
			p.measure(i, j)
		}
	}
	return p
}

func (p *planned) delay(a, b int) time.Duration {
	if a == b {
		return 0
	}
	return delay(p.m, &p.places[a], &p.places[b])
}

func (p *planned) measure(a, b int) { p.links[[2]int{a, b}], p.links[[2]int{b, a}] = true, true }

// come lets n nodes with viewers attach themselves, each at the parent over which it
// hears the track first, of those with room.
func (p *planned) come(n int) {
	for _, i := range p.rng.Perm(len(p.places)) {
		if n == 0 || i == p.origin || p.reached[i] > 0 {
			continue
		}
		best := -1
		for u := range p.places {
			if (u == p.origin || p.reached[u] > 0) && p.links[[2]int{u, i}] && p.kids[u] < places &&
				(best < 0 || p.reached[u]+p.delay(u, i) < p.reached[best]+p.delay(best, i)) {
				best = u
			}
		}
		if best >= 0 {
			p.reached[i] = p.reached[best] + p.delay(best, i)
			p.parent[p.places[i].ID] = p.places[best].ID
			p.kids[best]++
			n--
		}
	}
}

// decide plans, and returns how many viewers could be in time, and are.
func (p *planned) decide(after time.Duration, protect control.Protection) (reachable, inBound int) {
	p.now = p.now.Add(after)
	s := control.Snapshot{Now: p.now}
	k := control.Track{Name: "t", RateMbps: 0.3, Protect: protect}
	for i, x := range p.places {
		s.Nodes = append(s.Nodes, control.Node{
			ID: x.ID, Region: p.m.Regions[x.Region].ID, Provider: string(x.Provider), MaxChildren: places, Delay: 200 * time.Microsecond,
		})
		if parent := p.parent[x.ID]; parent != "" {
			viewers := x.Viewers
			if p.reached[i] == 0 {
				viewers = 0 // a relay
			}
			k.Demand = append(k.Demand, control.Demand{Node: x.ID, Viewers: viewers, Parent: parent})
		}
	}
	for l := range p.links {
		d := p.delay(l[0], l[1])
		s.Links = append(s.Links, control.Link{
			From: p.places[l[0]].ID, To: p.places[l[1]].ID, Delay: usual(d), DelayP95: d + jitter(d)*8/10, Calm: true,
		})
	}
	slices.SortFunc(s.Nodes, func(a, b control.Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Links, func(a, b control.Link) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	s.Tracks = []control.Track{k}
	p.c.Decide(s)
	plan := p.c.Plans()[0]
	clear(p.parent)
	for _, r := range plan.Routes {
		p.parent[r.Node] = r.Path[len(r.Path)-1]
	}
	return plan.Summary.Reachable, plan.Summary.InBound
}

// TestPlacesAtTheOrigin: the places at the origin are taken by who comes first.
// When nodes far away have measured their direct links, by which alone they are in
// time, they have them within a few decisions, and it stays like that.
func TestPlacesAtTheOrigin(t *testing.T) {
	for _, protect := range []control.Protection{control.ProtectWarm, control.ProtectHot} {
		for seed := range uint64(2) {
			p := newPlanned(t, Config{Nodes: 250, Viewers: 100_000, Seed: seed})
			for range 5 {
				p.come(len(p.places)/5 + 1)
				p.decide(200*time.Millisecond, protect)
			}
			p.decide(time.Second, protect)
			for i := range p.places {
				if i != p.origin {
					p.measure(p.origin, i)
				}
			}
			for range 10 {
				p.decide(300*time.Millisecond, protect)
			}
			for i := range 20 {
				if reachable, in := p.decide(3*time.Second, protect); in != reachable || reachable < 70_000 {
					t.Fatalf("%v, seed %d: %d of %d viewers are in time %d s after the links were measured", protect, seed, in, reachable, 6+3*i)
				}
			}
		}
	}
}
