package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"trellis/routing"
	"trellis/routing/check"
	"trellis/routing/routingtest"
)

var bigScenarios = []string{"scen_aws21x300_100k", "scen_azure48x1000_100k"}

// exactPart times the proof of small problems.
func exactPart(b *bench) error {
	for name, gen := range map[string]func(*rand.Rand, int) *routing.Demand{"mixed": routingtest.Small, "tight": routingtest.Tight} {
		var times []time.Duration
		unproven := 0
		for i := range 5 * b.runs {
			d := gen(rand.New(rand.NewPCG(uint64(i), seed)), 12)
			var p *routing.Planner
			var err error
			times = append(times, took(func() { p, err = plan(d, routing.Config{}) }))
			if err != nil {
				return err
			}
			if !p.Proven() {
				unproven++
			}
		}
		b.add("exact, 12 nodes, "+name+": p50", percentile(times, 50, time.Millisecond), "ms", "seconds")
		b.add("exact, 12 nodes, "+name+": p99", percentile(times, 99, time.Millisecond), "ms", "100 (stretch)")
		b.add("exact, 12 nodes, "+name+": not proven", float64(unproven), "instances", "0")
	}
	return nil
}

// fullPart times full plans of the large scenarios, and proves how good they are.
func fullPart(b *bench) error {
	for _, name := range bigScenarios {
		d, err := b.load(name)
		if err != nil {
			return err
		}
		var times []time.Duration
		var p *routing.Planner
		for range b.runs {
			times = append(times, took(func() { p, err = plan(d, routing.Config{Seed: seed}) }))
			if err != nil {
				return err
			}
		}
		result := p.Result()
		if err := check.Plan(d, result); err != nil {
			return err
		}
		s := check.Score(d, result)
		var bounds routing.Bounds
		certify := took(func() { bounds = p.Bounds(3 * time.Second) })
		b.add(name+": full plan p50", percentile(times, 50, time.Millisecond), "ms", "")
		b.add(name+": full plan p99", percentile(times, 99, time.Millisecond), "ms", "20, stretch 5")
		b.add(name+": in bound of reachable", 100*float64(s.InBound)/float64(bounds.Reachable), "%", "100")
		b.add(name+": lateness above the least", s.LateMs-bounds.LeastLateMs, "viewer-ms", "0")
		b.add(name+": cost", s.CostUSD, "USD/h", "")
		b.add(name+": gap to the proven bound", 100*bounds.Gap(s.CostUSD), "%", "1, stretch 0.1")
		b.add(name+": certification", float64(certify)/1e6, "ms", "")
		if err := blastPrice(b, name, d, s.CostUSD); err != nil {
			return err
		}
	}
	return nil
}

// blastPrice is what it costs to let no relay carry more than a quarter.
func blastPrice(b *bench, name string, d *routing.Demand, free float64) error {
	p, err := plan(d, routing.Config{Seed: seed, MaxShare: 0.25})
	if err != nil {
		return err
	}
	p.Improve(500 * time.Millisecond)
	result := p.Result()
	s := check.Score(d, result)
	blast := d.Blast(result, 0)
	b.add(name+": largest share of one relay under the rule", 100*float64(blast.Viewers)/float64(d.Viewers()), "%", "25")
	b.add(name+": in bound under the rule", float64(s.InBound), "viewers", "")
	b.add(name+": price of the rule", s.CostUSD-free, "USD/h", "")
	return nil
}

// tightPart compares with construction and simple local search where slots are
// short.
func tightPart(b *bench) error {
	for _, name := range bigScenarios {
		for _, fan := range []int{2, 4} {
			d, err := b.load(name)
			if err != nil {
				return err
			}
			d, err = withFan(d, fan)
			if err != nil {
				return err
			}
			if err := compare(b, fmt.Sprintf("%s, fan-out %d", name, fan), d); err != nil {
				return err
			}
		}
	}
	for _, c := range tightWide {
		if err := compare(b, c.name, routingtest.Wide(rand.New(rand.NewPCG(seed, 1)), c.cfg)); err != nil {
			return err
		}
	}
	return nil
}

type wideCase struct {
	name string
	cfg  routingtest.WideConfig
}

var tightWide = []wideCase{
	{"120 cities, fan-out 2", routingtest.WideConfig{Cities: 120, Share: 0.7, MaxChildren: 2, BoundMs: 90}},
	{"200 cities, fan-out 3", routingtest.WideConfig{Cities: 200, Share: 0.5, MaxChildren: 3, BoundMs: 80}},
}

func compare(b *bench, name string, d *routing.Demand) error {
	var simple routing.Score
	b.add(name+": simple planner takes", float64(took(func() { _, simple = routingtest.Simple(d) }))/1e6, "ms", "")
	p, err := routing.New(d, routing.Config{Seed: seed})
	if err != nil {
		return err
	}
	b.add(name+": first plan takes", float64(took(func() { p.Plan(nil) }))/1e6, "ms", "")
	for i, budget := range []time.Duration{0, 100 * time.Millisecond, 900 * time.Millisecond} {
		p.Improve(budget)
		result := p.Result()
		if err := check.Plan(d, result); err != nil {
			return err
		}
		s := check.Score(d, result)
		when := name + []string{", first plan: ", ", after 0.1 s: ", ", after 1 s: "}[i]
		b.add(when+"in bound, simple planner's subtracted", float64(s.InBound-simple.InBound), "viewers", "more")
		b.add(when+"lateness, of the simple planner's", 100*s.LateMs/max(simple.LateMs, 1e-9), "%", "less")
		b.add(when+"cost, of the simple planner's", 100*s.CostUSD/max(simple.CostUSD, 1e-9), "%", "")
	}
	bounds := p.Bounds(2 * time.Second)
	s := check.Score(d, p.Result())
	b.add(name+": in bound, of the proven limit", 100*float64(s.InBound)/float64(bounds.InBound), "%", "100")
	b.add(name+": lateness above the bound ("+string(bounds.LateBy)+")", 100*(s.LateMs/max(bounds.LeastLateMs, 1e-9)-1), "%", "")
	return nil
}

// mixedPart meets what no planner was tuned to: many random graphs of all shapes
// with everything short, against the simple planner.
func mixedPart(b *bench) error {
	var times []time.Duration
	worse, n := 0, b.runs
	var inBound, simpleIn, limit int64
	for i := range n {
		kind := routingtest.MixedKinds[i%len(routingtest.MixedKinds)]
		nodes := []int{40, 100, 200}[i/len(routingtest.MixedKinds)%3]
		d := routingtest.Mixed(rand.New(rand.NewPCG(uint64(i), 77)), kind, nodes)
		_, simple := routingtest.Simple(d)
		p, err := routing.New(d, routing.Config{Seed: seed})
		if err != nil {
			return err
		}
		times = append(times, took(func() { p.Plan(nil) }))
		if err := check.Plan(d, p.Result()); err != nil {
			return err
		}
		s := check.Score(d, p.Result())
		if s.Compare(simple) < 0 {
			worse++
		}
		inBound += s.InBound
		simpleIn += simple.InBound
		limit += p.Bounds(100 * time.Millisecond).InBound
	}
	b.add("mixed graphs: first plans worse than the simple planner's", float64(worse), fmt.Sprintf("of %d", n), "0")
	b.add("mixed graphs: first plan p50", percentile(times, 50, time.Millisecond), "ms", "")
	b.add("mixed graphs: first plan p90", percentile(times, 90, time.Millisecond), "ms", "20")
	b.add("mixed graphs: first plan p99", percentile(times, 99, time.Millisecond), "ms", "")
	b.add("mixed graphs: in bound, of the proven limit", 100*float64(inBound)/float64(limit), "%", "")
	b.add("mixed graphs: in bound, the simple planner's of the proven limit", 100*float64(simpleIn)/float64(limit), "%", "")
	return nil
}

// widePart shows quality over time on graphs of many cities.
func widePart(b *bench) error {
	for _, c := range []wideCase{
		{"200 cities, 80 ms", routingtest.WideConfig{Cities: 200, Share: 0.5, MaxChildren: -1, BoundMs: 80}},
		{"300 cities, 1.15 of the least delay", routingtest.WideConfig{Cities: 300, Share: 0.4, MaxChildren: -1, BoundMs: 80, Factor: 1.15}},
		{"400 cities, 24 neighbours each, 100 ms", routingtest.WideConfig{Cities: 400, Neighbours: 24, Share: 0.3, MaxChildren: -1, BoundMs: 100}},
	} {
		d := routingtest.Wide(rand.New(rand.NewPCG(seed, 1)), c.cfg)
		p, err := routing.New(d, routing.Config{Seed: seed})
		if err != nil {
			return err
		}
		_, simple := routingtest.Simple(d)
		spent := took(func() { p.Plan(nil) })
		type point struct {
			name  string
			cpu   time.Duration
			score routing.Score
		}
		var curve []point
		var bounds routing.Bounds
		last := time.Duration(0)
		for _, budget := range []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second} {
			spent += took(func() { p.Improve(budget - last) })
			last = budget
			s := check.Score(d, p.Result())
			curve = append(curve, point{budget.String(), spent, s})
			if budget == 100*time.Millisecond {
				p.Bounds(time.Second) // leaves out arcs that no better plan has
			}
		}
		bounds = p.Bounds(4 * time.Second)
		for _, x := range curve {
			b.add(fmt.Sprintf("%s, budget %s: gap", c.name, x.name), 100*bounds.Gap(x.score.CostUSD), "%", "60")
			b.add(fmt.Sprintf("%s, budget %s: cost, of the simple planner's", c.name, x.name), 100*x.score.CostUSD/simple.CostUSD, "%", "")
			b.add(fmt.Sprintf("%s, budget %s: took", c.name, x.name), float64(x.cpu)/1e6, "ms", "")
			if x.score.InBound < bounds.InBound {
				b.add(c.name+": in bound short of the limit", float64(bounds.InBound-x.score.InBound), "viewers", "0")
			}
		}
		b.add(c.name+": in bound, the simple planner's of the limit", 100*float64(simple.InBound)/float64(bounds.InBound), "%", "")
		b.add(c.name+": lateness, of the simple planner's", 100*curve[0].score.LateMs/max(simple.LateMs, 1e-9), "%", "")
	}
	return nil
}
