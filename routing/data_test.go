package routing_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"trellis/routing"
	"trellis/routing/check"
	"trellis/routing/routingtest"
	"trellis/routing/scenario"
)

func mustLoad(t *testing.T, name string) *routing.Demand {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := scenario.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The first plan of the large scenarios has in bound whom physics allows, with
// the least lateness, at the best known cost; and standby trees leave nobody
// without a second path.
func TestLargeScenarios(t *testing.T) {
	for _, c := range []struct {
		name    string
		inBound int64
		cost    float64
	}{{"scen_aws21x300_100k", 78_336, 0.4536}, {"scen_azure48x1000_100k", 83_591, 1.3248}} {
		d := mustLoad(t, c.name)
		p, plan, s := mustPlan(t, d, routing.Config{Seed: 1})
		b := p.Bounds(20 * time.Millisecond)
		if s.InBound != c.inBound || b.Reachable != c.inBound || s.Served != d.Viewers() {
			t.Errorf("%s: in bound %d of %d, served %d", c.name, s.InBound, b.Reachable, s.Served)
		}
		if math.Abs(s.LateMs-b.LeastLateMs) > 1e-6 || math.Abs(s.CostUSD-c.cost) > 1e-9 {
			t.Errorf("%s: lateness %g, least %g; cost %g, best known %g", c.name, s.LateMs, b.LeastLateMs, s.CostUSD, c.cost)
		}
		for grade := routing.ByNode; grade <= routing.ByProvider; grade++ {
			guarded, err := routing.Protect(d, plan, grade, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := check.Plan(d, guarded); err != nil {
				t.Fatal(err)
			}
			if x := d.Protection(guarded, 0, grade); x.InBound != s.InBound {
				t.Errorf("%s: %d of %d keep a path in bound after any loss by %s", c.name, x.InBound, s.InBound, grade)
			}
			if x := d.Blast(guarded, 0); 4*x.WorstUnprotected > d.Viewers() {
				t.Errorf("%s: %d viewers depend on one relay without a backup", c.name, x.WorstUnprotected)
			}
		}
	}
}

// No relay carries more than its share where that is asked for.
func TestMaxShare(t *testing.T) {
	d := mustLoad(t, "scen_azure48x1000_100k")
	p, _, _ := mustPlan(t, d, routing.Config{Seed: 1, MaxShare: 0.25})
	p.Improve(50 * time.Millisecond)
	plan := p.Result()
	s := check.Score(d, plan)
	if b := d.Blast(plan, 0); 4*b.Viewers > d.Viewers() || s.InBound != 83_591 {
		t.Errorf("in bound %d, largest share %d of %d", s.InBound, b.Viewers, d.Viewers())
	}
}

// A join allocates nothing, and neither does a repair.
func TestLiveAllocatesNothing(t *testing.T) {
	d := mustLoad(t, "scen_azure48x1000_100k")
	_, plan, _ := mustPlan(t, d, routing.Config{})
	c := routing.NewCapacity(d.Graph)
	l := routing.NewLive(d.Graph, c, &d.Tracks[0])
	if !l.Load(&d.Tracks[0], plan.Tracks[0].Tree) {
		t.Fatal("the plan did not fit")
	}
	v := 0
	if n := testing.AllocsPerRun(500, func() {
		v = (v + 37) % d.Graph.Len()
		if l.Carries(v) {
			return
		}
		l.Join(v, 1)
		l.Leave(v, 1)
		l.Prune(v)
	}); n != 0 {
		t.Errorf("%g allocations per join at a new edge", n)
	}
	relay := d.Blast(plan, 0).Node
	if n := testing.AllocsPerRun(1, func() {
		c.SetDown(relay, true)
		l.Lose()
	}); n != 0 {
		t.Errorf("%g allocations per repair", n)
	}
	for _, e := range d.Tracks[0].Terminals {
		if !l.Carries(e.Node) && e.Node != relay {
			t.Errorf("%s is dark after the repair", d.Graph.Node(e.Node).ID)
		}
	}
}

// A bound on cost is never above the optimum.
func TestBoundsHold(t *testing.T) {
	for seed := range scale(t, 150) {
		r := rand.New(rand.NewPCG(uint64(seed), 10))
		d := routingtest.Several(r, 4+r.IntN(8), 1)
		p, _, best := mustPlan(t, d, routing.Config{})
		if !p.Proven() {
			t.Fatalf("seed %d: not proven", seed)
		}
		if raw := p.RawCostBound(time.Millisecond); raw > best.CostUSD+1e-9 {
			t.Errorf("seed %d: bound %g above the optimum %g", seed, raw, best.CostUSD)
		}
	}
}

// Wide graphs: the first plan is near its bound, and improving keeps it valid.
func TestWide(t *testing.T) {
	d := routingtest.Wide(rand.New(rand.NewPCG(1, 1)), routingtest.WideConfig{Cities: 150, Share: 0.5, MaxChildren: -1, BoundMs: 80})
	p, _, s := mustPlan(t, d, routing.Config{Seed: 1})
	b := p.Bounds(300 * time.Millisecond)
	if s.InBound != b.Reachable || b.Gap(s.CostUSD) > 0.1 {
		t.Errorf("in bound %d of %d, cost %g with bound %g", s.InBound, b.Reachable, s.CostUSD, b.CostUSD)
	}
	p.Improve(50 * time.Millisecond)
	if err := check.Plan(d, p.Result()); err != nil {
		t.Error(err)
	}
}

// Whatever scenario can be read can be planned, and the plan is valid.
func FuzzPlan(f *testing.F) {
	b, err := os.ReadFile("testdata/worked-example.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"nodes":[{"id":"a","max_children":-1,"region":"x"},{"id":"b","max_children":2,"region":"y","egress_mbps":3},{"id":"c","region":"y"}],
"site_matrix":{"sites":["x","y"],"delay_ms":[[0,3],[4,0]]},
"tracks":[{"id":"k","source":"a","rate_mbps":1,"bound_ms":3,"terminals":[{"node":"b","viewers":2},{"node":"c","viewers":1}]},
{"id":"m","source":"b","rate_mbps":0,"bound_ms":0,"max_depth":1,"terminals":[{"node":"a","viewers":0},{"node":"c","viewers":9}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := scenario.Parse(b)
		if err != nil || d.Graph.Len() > 40 || len(d.Tracks) > 8 {
			return
		}
		p, err := routing.New(d, routing.Config{})
		if errors.Is(err, routing.ErrImpossible) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		p.Plan(nil)
		plan, err := routing.Protect(d, p.Result(), routing.ByRegion, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := check.Plan(d, plan); err != nil {
			t.Fatal(err)
		}
	})
}
