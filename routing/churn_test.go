package routing_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"testing"

	"trellis/routing"
	"trellis/routing/check"
)

// week is one matrix of round-trip times between the same cities.
type week struct {
	date string
	rtt  [][]float64
}

// readWeeks reads the weekly matrices, cut down to the cities that all of them
// have.
func readWeeks(t *testing.T) (cities []string, weeks []week) {
	t.Helper()
	b, err := os.ReadFile("testdata/ibm_weekly_2023-2024.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Series map[string]struct {
			Cities []string
			RTT    [][]float64 `json:"rtt_ms"`
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	dates := slices.Sorted(maps.Keys(file.Series))
	for _, c := range file.Series[dates[0]].Cities {
		if !slices.ContainsFunc(dates, func(d string) bool { return !slices.Contains(file.Series[d].Cities, c) }) {
			cities = append(cities, c)
		}
	}
	for _, d := range dates {
		s := file.Series[d]
		w := week{date: d}
		for _, a := range cities {
			var row []float64
			for _, b := range cities {
				row = append(row, s.RTT[slices.Index(s.Cities, a)][slices.Index(s.Cities, b)])
			}
			w.rtt = append(w.rtt, row)
		}
		weeks = append(weeks, w)
	}
	return cities, weeks
}

// stepped reports whether a route between two weeks changed by more than noise:
// 3 ms one way, and a tenth.
func stepped(a, b week) bool {
	for i := range a.rtt {
		for j := range a.rtt {
			x, y := a.rtt[i][j]/2, b.rtt[i][j]/2
			if math.Abs(x-y) > max(3, 0.1*x) {
				return true
			}
		}
	}
	return false
}

// weekDemand is a broadcast to every city from one of them, with three providers
// in each.
func weekDemand(t *testing.T, cities []string, w week, source int) *routing.Demand {
	t.Helper()
	m := routing.SiteMatrix{
		Sites: cities, IntraMs: 0.25, CrossProviderExtraMs: 1,
		Continent: map[string]string{
			"Dallas": "na", "Toronto": "na", "Washington DC": "na", "Frankfurt": "eu", "London": "eu",
			"Madrid": "eu", "Osaka": "ap", "Tokyo": "ap", "Sydney": "oc", "Sao Paulo": "sa",
		},
		PriceSameSite:         map[string]float64{"p1": 0.01},
		PriceSameContinent:    map[string]float64{"p1": 0.02, "p2": 0.01, "p3": 0.002},
		PriceIntercontinental: map[string]float64{"p1": 0.08, "p2": 0.02, "p3": 0.004},
		PriceOtherProvider:    map[string]float64{"p1": 0.09, "p2": 0.03, "p3": 0.005},
	}
	for _, row := range w.rtt {
		var oneWay []float64
		for _, x := range row {
			oneWay = append(oneWay, x/2)
		}
		m.DelayMs = append(m.DelayMs, oneWay)
	}
	var nodes []routing.Node
	k := routing.Track{ID: "v0", Source: 3 * source, RateMbps: 4, BoundMs: 80}
	for c, city := range cities {
		for p := range 3 {
			k.Terminals = append(k.Terminals, routing.Terminal{Node: len(nodes), Viewers: int64(1000 + 137*c + 411*p)})
			nodes = append(nodes, routing.Node{
				ID: fmt.Sprintf("%s-p%d", city, p+1), Provider: fmt.Sprintf("p%d", p+1), Region: city,
				ProcMs: 0.5, MaxChildren: 16, EgressMbps: 12_000,
			})
		}
	}
	g, err := routing.NewSiteGraph(nodes, m)
	if err != nil {
		t.Fatal(err)
	}
	return &routing.Demand{Name: w.date, Graph: g, Tracks: []routing.Track{k}}
}

// strained reports whether the running plan leaves somebody later than the gate
// bears: a step, or wandering that added up to one.
func strained(d *routing.Demand, running *routing.Plan) bool {
	k := &d.Tracks[0]
	least := routing.LeastDelays(d.Graph, k.Source)
	delays := running.Tracks[0].Tree.Delays(d.Graph, k.Source)
	for _, e := range k.Terminals {
		limit := max(k.BoundMs, least[e.Node])
		if delays[e.Node] > limit+max(5, limit/10)+1e-9 {
			return true
		}
	}
	return false
}

// Two years of real weekly matrices: routine weeks move next to nobody, nothing
// goes back and forth, and a route step that hurts is answered.
func TestChurnOverTwoYears(t *testing.T) {
	cities, weeks := readWeeks(t)
	var routine, steps, drifts, routineMoved, stepMoved, driftMoved, viewers int64
	worst, answered, flips := 0.0, 0, 0
	for source := range cities {
		var running *routing.Plan
		left := map[[2]int32]int{} // week in which a node left a parent
		for i, w := range weeks {
			d := weekDemand(t, cities, w, source)
			viewers = d.Viewers()
			p, err := routing.New(d, routing.Config{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			if running == nil {
				p.Plan(nil)
				running = p.Result()
				continue
			}
			p.PlanGated(running)
			next := p.Result()
			if err := check.Plan(d, next); err != nil {
				t.Fatalf("%s from %s: %v", w.date, cities[source], err)
			}
			moved := d.Moved(running, next)
			switch {
			case stepped(weeks[i-1], w):
				steps++
				stepMoved += moved
				if moved > 0 {
					answered++
				}
			case strained(d, running):
				drifts++
				driftMoved += moved
			default:
				routine++
				routineMoved += moved
				worst = max(worst, float64(moved)/float64(viewers))
			}
			for v, u := range next.Tracks[0].Tree.Parent {
				if old := running.Tracks[0].Tree.Parent[v]; u != old {
					if when, ok := left[[2]int32{int32(v), u}]; ok && i-when < 4 {
						t.Logf("%s from %s: %s is back below its parent of %s", w.date, cities[source], d.Graph.Node(v).ID, weeks[when].date)
						flips++
					}
					left[[2]int32{int32(v), old}] = i
				}
			}
			late(t, d, next, w.date+" from "+cities[source])
			running = next
		}
	}
	mean := float64(routineMoved) / float64(routine*viewers)
	t.Logf("%d routine replans moved %.3f %% of viewers on average, %.2f %% at worst", routine, 100*mean, 100*worst)
	t.Logf("%d replans after weeks whose wandering had added up to a step moved %.2f %%", drifts, 100*float64(driftMoved)/float64(max(drifts, 1)*viewers))
	t.Logf("%d replans after steps moved %.2f %%, %d of them anybody; %d went back within three weeks",
		steps, 100*float64(stepMoved)/float64(max(steps, 1)*viewers), answered, flips)
	if worst > 0.005 {
		t.Errorf("a routine replan moves %.2f %% of the viewers", 100*worst)
	}
	if flips > 0 {
		t.Errorf("%d moves went back within three weeks", flips)
	}
	if answered == 0 {
		t.Error("no route step was answered")
	}
}

// late reports viewers who wait longer than they must by more than the gate's
// margin: a step that was not answered.
func late(t *testing.T, d *routing.Demand, p *routing.Plan, when string) {
	t.Helper()
	k := &d.Tracks[0]
	least := routing.LeastDelays(d.Graph, k.Source)
	delays := p.Tracks[0].Tree.Delays(d.Graph, k.Source)
	for _, e := range k.Terminals {
		limit := max(k.BoundMs, least[e.Node])
		limit += max(5, limit/10)
		if x := delays[e.Node]; x > limit+1e-9 {
			t.Errorf("%s: %s hears it after %.1f ms, possible are %.1f", when, d.Graph.Node(e.Node).ID, x, least[e.Node])
		}
	}
}
