package world

import (
	"fmt"
	"slices"

	"trellis/internal/sim"
	"trellis/routing/discovery"
)

// askRelay does to a relay what an operator does: it is drained, or becomes dearer.
func (w *World) askRelay(r *FaultReport, tree treeSample) error {
	at, ok := w.byID[r.Target]
	if r.Target == "" {
		at, ok = tree.largestRelay(w)
	}
	if !ok {
		return fmt.Errorf("world: no relay %q", r.Target)
	}
	id := w.places[at].ID
	r.Hit, r.Below = []string{id}, tree.below[at]
	if r.Kind == Price {
		w.prices[at].Store(uint64(r.Amount * 1e6))
		r.Explain = fmt.Sprintf("what it sends costs %.2f USD for a GB from now on", r.Amount)
		return nil
	}
	r.Explain = fmt.Sprintf("it is drained within %v", r.For)
	if _, err := w.cluster.Node(id).Drain(w.ctx, r.For); err != nil {
		return fmt.Errorf("world: drain %s: %w", id, err)
	}
	w.later(r.For, func() error {
		_, err := w.cluster.Node(id).Undrain(w.ctx)
		return err
	})
	return nil
}

// registry lets discovery answer wrongly for a while. No node may lose a peer for it.
func (w *World) registry(r *FaultReport) error {
	answers := map[string][]sim.Answer{
		"empty":    {nobody},
		"half":     {everySecond},
		"flapping": {nobody, sim.Truth, everySecond, sim.Truth},
	}
	script, ok := answers[r.Target]
	if r.Target == "" {
		script, ok = answers["empty"], true
	}
	if !ok {
		return fmt.Errorf("world: discovery cannot be %q: there are empty, half and flapping", r.Target)
	}
	r.Explain = "discovery names nobody, or not all, or now these and now those"
	w.cluster.SetAnswer(script[0])
	if len(script) > 1 {
		i := 0
		for t := flapEvery; t < r.For; t += flapEvery {
			i++
			next := script[i%len(script)]
			w.later(t, func() error {
				w.cluster.SetAnswer(next)
				return nil
			})
		}
	}
	w.later(r.For, func() error {
		w.cluster.SetAnswer(sim.Truth)
		return nil
	})
	return nil
}

func nobody([]discovery.Node) []discovery.Node { return nil }

func everySecond(nodes []discovery.Node) []discovery.Node {
	return slices.Collect(func(yield func(discovery.Node) bool) {
		for i := 0; i < len(nodes); i += 2 {
			if !yield(nodes[i]) {
				return
			}
		}
	})
}
