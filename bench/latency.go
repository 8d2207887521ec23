package main

import (
	"context"
	"errors"
	"time"
)

// latencyScenario asks what each further node adds to the way of a small object:
// the same objects, one link and three links from where they were written.
func latencyScenario() scenario {
	const added = "added_per_hop_p50_us"
	return scenario{
		name:  "latency",
		title: "backbone: 120 B objects, 1,000 a second, one and three links away; real sockets on loopback, open loop",
		open:  openLatency,
		derive: func(round map[string]metrics) metrics {
			m := round["chain"]
			return metrics{
				added:                  (m["3_links_p50_us"] - m["1_link_p50_us"]) / 2,
				"added_per_hop_p99_us": (m["3_links_p99_us"] - m["1_link_p99_us"]) / 2,
			}
		},
		targets: []target{{derivedCase, added, 200}, {derivedCase, "added_per_hop_p99_us", 1000}},
	}
}

func openLatency(ctx context.Context) ([]benchCase, func() error, error) {
	c, err := startChain(ctx, 4)
	if err != nil {
		return nil, nil, err
	}
	return []benchCase{{"chain", func(ctx context.Context, slice time.Duration) (metrics, error) {
		return latency(ctx, c, slice)
	}}}, c.close, nil
}

func latency(ctx context.Context, c *chain, slice time.Duration) (metrics, error) {
	const tracks, rate, size = 20, 1000, 120
	p, err := openFlows(ctx, c, tracks, size)
	if err != nil {
		return nil, err
	}
	defer p.close()
	// An object's due time follows from its track and number.
	var near, far delays
	start := time.Now().Add(500 * time.Millisecond) // when all subscriptions stand
	due := func(flow, n int) time.Time {
		return start.Add(time.Duration(n*tracks+flow) * time.Second / rate)
	}
	for at, d := range map[int]*delays{1: &near, 3: &far} {
		err := p.follow(at, func(flow, n int, at time.Time) { d.add(at.Sub(due(flow, n))) })
		if err != nil {
			return nil, err
		}
	}
	if time.Now().After(start) {
		return nil, errors.New("subscribing took too long")
	}
	late, err := p.play(start, slice, rate)
	if err != nil {
		return nil, err
	}
	time.Sleep(200 * time.Millisecond) // for what is under way
	one, three := near.take(), far.take()
	return metrics{
		"1_link_p50_us":        micros(one, 0.5),
		"1_link_p99_us":        micros(one, 0.99),
		"3_links_p50_us":       micros(three, 0.5),
		"3_links_p99_us":       micros(three, 0.99),
		"generator_lag_p50_us": micros(late, 0.5),
		"generator_lag_p99_us": micros(late, 0.99),
		"objects":              float64(len(three)),
	}, nil
}
