package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// metrics are the figures of one round by name; the unit is the name's end.
type metrics map[string]float64

// benchCase is one of the things that a scenario compares.
type benchCase struct {
	name string
	// run measures one round, for about the given time where it is paced.
	run func(ctx context.Context, slice time.Duration) (metrics, error)
}

// target is what a figure should be at most.
type target struct {
	caseName, metric string
	most             float64
}

// scenario is a question that the harness answers with figures.
type scenario struct {
	name, title string
	// open prepares the cases and returns what undoes it.
	open func(ctx context.Context) (cases []benchCase, closeAll func() error, err error)
	// derive adds figures that compare the cases of one round; nil for none.
	// They go under the case name "derived".
	derive  func(round map[string]metrics) metrics
	targets []target
}

// derivedCase is the case name of derived figures.
const derivedCase = "derived"

// figure is a metric of a case over all rounds.
type figure struct {
	Case   string    `json:"case"`
	Metric string    `json:"metric"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Rounds []float64 `json:"rounds"`
	Target *float64  `json:"target_most,omitempty"`
	Met    *bool     `json:"target_met,omitempty"`
}

// measure runs the scenario's rounds. With an error come the figures of the
// rounds before it.
func (s scenario) measure(ctx context.Context, opt options) (figures []figure, err error) {
	cases, closeAll, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := closeAll(); err == nil {
			err = closeErr
		}
	}()
	var all tally
	for round := range opt.rounds {
		byCase := make(map[string]metrics)
		for i := range cases {
			// Each round begins with another case.
			c := cases[(i+round)%len(cases)]
			m, err := c.run(ctx, opt.slice)
			if err != nil {
				return all.figures(s.targets), fmt.Errorf("%s, round %d: %w", c.name, round+1, err)
			}
			byCase[c.name] = m
		}
		for _, c := range cases {
			all.add(c.name, byCase[c.name])
		}
		if s.derive != nil {
			all.add(derivedCase, s.derive(byCase))
		}
	}
	return all.figures(s.targets), nil
}

// tally collects the rounds of every figure, in order of first appearance.
type tally struct {
	list []figure
}

func (t *tally) add(caseName string, m metrics) {
	for _, name := range sortedNames(m) {
		i := slices.IndexFunc(t.list, func(f figure) bool { return f.Case == caseName && f.Metric == name })
		if i < 0 {
			i = len(t.list)
			t.list = append(t.list, figure{Case: caseName, Metric: name})
		}
		t.list[i].Rounds = append(t.list[i].Rounds, m[name])
	}
}

func sortedNames(m metrics) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (t *tally) figures(targets []target) []figure {
	for i := range t.list {
		f := &t.list[i]
		f.Median, f.Min, f.Max = median(f.Rounds), slices.Min(f.Rounds), slices.Max(f.Rounds)
		for _, want := range targets {
			if want.caseName == f.Case && want.metric == f.Metric {
				met := f.Median <= want.most
				f.Target, f.Met = &want.most, &met
			}
		}
	}
	return t.list
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
