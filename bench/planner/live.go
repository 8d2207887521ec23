package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"trellis/routing"
)

// withFan is the demand with every fan-out limited.
func withFan(d *routing.Demand, fan int) (*routing.Demand, error) {
	g, err := d.Graph.WithNodes(func(n *routing.Node) { n.MaxChildren = min(n.MaxChildren, fan) })
	return &routing.Demand{Name: d.Name, Graph: g, Tracks: d.Tracks}, err
}

// livePart times what a node does without the planner.
func livePart(b *bench) error {
	d, err := b.load("scen_azure48x1000_100k")
	if err != nil {
		return err
	}
	p, err := plan(d, routing.Config{Seed: seed})
	if err != nil {
		return err
	}
	k := &d.Tracks[0]
	tree := p.Result().Tracks[0].Tree
	fresh := func() (*routing.Live, *routing.Capacity) {
		c := routing.NewCapacity(d.Graph)
		l := routing.NewLive(d.Graph, c, k)
		l.Load(k, tree)
		return l, c
	}
	l, _ := fresh()
	r := rand.New(rand.NewPCG(seed, 2))

	// Carried: the edge has the track.
	var carried, attach []time.Duration
	edge := k.Terminals[0].Node
	for range 200 * b.runs {
		start := time.Now()
		l.Join(edge, 1)
		carried = append(carried, time.Since(start))
		l.Leave(edge, 1)
	}
	b.add("join at an edge that carries the track: p50", percentile(carried, 50, time.Microsecond), "us", "2")
	b.add("join at an edge that carries the track: p99", percentile(carried, 99, time.Microsecond), "us", "2")

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 100 * b.runs
	attach = make([]time.Duration, 0, n)
	for range n {
		v := r.IntN(d.Graph.Len())
		if l.Carries(v) {
			continue
		}
		attach = append(attach, took(func() { l.Join(v, 1) }))
		l.Leave(v, 1)
		l.Prune(v)
	}
	runtime.ReadMemStats(&after)
	b.add("join at a new edge: p50", percentile(attach, 50, time.Microsecond), "us", "20 (stretch)")
	b.add("join at a new edge: p99", percentile(attach, 99, time.Microsecond), "us", "50")
	b.add("join at a new edge: allocations", float64(after.Mallocs-before.Mallocs)/float64(n), "per join", "0")

	var repair []time.Duration
	blast := d.Blast(p.Result(), 0)
	var done routing.Repaired
	for range b.runs {
		l, c := fresh()
		c.SetDown(blast.Node, true)
		repair = append(repair, took(func() { done = l.Lose() }))
	}
	b.add(fmt.Sprintf("repair after loss of the largest relay (%d viewers): p50", blast.Viewers), percentile(repair, 50, time.Millisecond), "ms", "3, stretch 1")
	b.add("repair after loss of the largest relay: p99", percentile(repair, 99, time.Millisecond), "ms", "3, stretch 1")
	b.add("repair after loss of the largest relay: stranded", float64(done.Stranded), "viewers", "0")
	return manyTracks(b, d)
}

// manyTracks loses a region under a thousand tracks that share capacity.
func manyTracks(b *bench, big *routing.Demand) error {
	r := rand.New(rand.NewPCG(seed, 3))
	d := &routing.Demand{Graph: big.Graph}
	for i := range 1000 {
		k := routing.Track{ID: fmt.Sprintf("room%d", i), Source: r.IntN(d.Graph.Len()), RateMbps: 2, BoundMs: 80}
		for _, v := range r.Perm(d.Graph.Len())[:4+r.IntN(20)] {
			if v != k.Source {
				k.Terminals = append(k.Terminals, routing.Terminal{Node: v, Viewers: int64(1 + r.IntN(40))})
			}
		}
		d.Tracks = append(d.Tracks, k)
	}
	var p *routing.Planner
	var err error
	b.add("1,000 tracks, planned from nothing", took(func() { p, err = plan(d, routing.Config{Seed: seed}) }).Seconds(), "s", "")
	if err != nil {
		return err
	}
	result := p.Result()
	c := routing.NewCapacity(d.Graph)
	lives := make([]*routing.Live, len(d.Tracks))
	for i := range d.Tracks {
		lives[i] = routing.NewLive(d.Graph, c, &d.Tracks[i])
		lives[i].Load(&d.Tracks[i], result.Tracks[i].Tree)
	}
	region := "uksouth"
	for v := range d.Graph.Len() {
		if d.Graph.Node(v).Region == region {
			c.SetDown(v, true)
		}
	}
	var sum routing.Repaired
	b.add("1,000 tracks, repaired after the loss of a region", took(func() {
		for i, l := range lives {
			if d.Graph.Node(d.Tracks[i].Source).Region == region {
				continue // its origin is gone
			}
			x := l.Lose()
			sum.Moved += x.Moved
			sum.Stranded += x.Stranded
		}
	}).Seconds(), "s", "2")
	b.add("1,000 tracks, subtrees moved", float64(sum.Moved), "", "")
	b.add("1,000 tracks, stranded", float64(sum.Stranded), "viewers", "0")

	g, err := d.Graph.WithNodes(func(n *routing.Node) {
		if n.Region == region {
			n.MaxChildren, n.EgressMbps = 0, 1e-6
		}
	})
	if err != nil {
		return err
	}
	after := &routing.Demand{Graph: g}
	for _, k := range d.Tracks {
		if d.Graph.Node(k.Source).Region != region {
			after.Tracks = append(after.Tracks, k)
		}
	}
	b.add("1,000 tracks, replanned in full without the region", took(func() { _, err = plan(after, routing.Config{Seed: seed}) }).Seconds(), "s", "2")
	return err
}

// protectPart measures standby trees.
func protectPart(b *bench) error {
	for _, name := range bigScenarios {
		d, err := b.load(name)
		if err != nil {
			return err
		}
		p, err := plan(d, routing.Config{Seed: seed})
		if err != nil {
			return err
		}
		for grade, target := range map[routing.Grade]string{routing.ByNode: "99", routing.ByRegion: "95", routing.ByProvider: "90"} {
			var guarded *routing.Plan
			t := took(func() { guarded, err = routing.Protect(d, p.Result(), grade, seed) })
			if err != nil {
				return err
			}
			x := d.Protection(guarded, 0, grade)
			s := p.Result().Score(d)
			b.add(fmt.Sprintf("%s, by %s: keep an in-bound path, of those in bound", name, grade), 100*float64(x.InBound)/float64(s.InBound), "%", target)
			b.add(fmt.Sprintf("%s, by %s: keep any path, of those served", name, grade), 100*float64(x.Viewers)/float64(s.Served), "%", target)
			b.add(fmt.Sprintf("%s, by %s: takes", name, grade), float64(t)/1e6, "ms", "")
			b.add(fmt.Sprintf("%s, by %s: nodes overloaded by any single loss", name, grade), float64(overloads(d, guarded)), "", "0")
		}
	}
	return nil
}

// overloads fails every node alone and counts nodes that then carry too much.
func overloads(d *routing.Demand, p *routing.Plan) int {
	n := 0
	for v := range d.Graph.Len() {
		dead := make([]bool, d.Graph.Len())
		dead[v] = true
		for _, f := range d.Fail(p, dead) {
			n += len(f.Overloaded)
		}
	}
	return n
}
