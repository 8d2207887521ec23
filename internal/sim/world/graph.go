package world

import (
	"math"
	"time"
)

// leastDelays returns the least delay from a node to all others over those that
// live, where every pair may have a link and forwarding takes no time. cost is
// what a datagram takes over a link whose path takes d.
func leastDelays(m *Matrix, places []Place, dead []bool, from int, cost func(d time.Duration) time.Duration) []time.Duration {
	dist := make([]time.Duration, len(places))
	for i := range dist {
		dist[i] = math.MaxInt64
	}
	dist[from] = 0
	done := make([]bool, len(places))
	for {
		at := -1
		for i := range places {
			if !done[i] && !dead[i] && dist[i] < math.MaxInt64 && (at < 0 || dist[i] < dist[at]) {
				at = i
			}
		}
		if at < 0 {
			return dist
		}
		done[at] = true
		for i := range places {
			if i != at && !dead[i] && !done[i] {
				dist[i] = min(dist[i], dist[at]+cost(delay(m, &places[at], &places[i])))
			}
		}
	}
}

// atMost95 is what 95 of 100 datagrams take at most.
func atMost95(d time.Duration) time.Duration { return d + jitter(d)*95/100 }

// setLimits works out anew what is possible, and tells the crowds.
func (w *World) setLimits() {
	w.least = leastDelays(w.m, w.places, w.dead, w.origin, usual)
	w.atBest = leastDelays(w.m, w.places, w.dead, w.origin, atMost95)
	for i, a := range w.crowds {
		if a != nil && !w.dead[i] {
			a.setLimit(w.limit(i))
		}
	}
}

// limit returns what is in time for viewers of a node: the budget where the graph
// allows it, else a tenth more than the least possible delay.
func (w *World) limit(at int) (limit time.Duration, possible bool) {
	if w.atBest[at] <= w.cfg.Budget {
		return w.cfg.Budget, true
	}
	return w.least[at] + w.least[at]/10, false
}
