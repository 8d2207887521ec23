package world

import (
	"math"
	"time"

	"trellis/internal/node"
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

// linkedDelays returns the least delay from a node to all others over the links
// that nodes have, by what they have measured of them.
func (w *World) linkedDelays(all map[int]node.Status) []time.Duration {
	dist := make([]time.Duration, len(w.places))
	for i := range dist {
		dist[i] = math.MaxInt64
	}
	dist[w.origin] = 0
	for changed := true; changed; {
		changed = false
		for _, i := range sortedKeys(all) {
			if dist[i] == math.MaxInt64 {
				continue
			}
			for _, l := range all[i].Links {
				j, ok := w.byID[l.Peer]
				d := dist[i] + time.Duration(l.DelayP95Ms*float64(time.Millisecond))
				if ok && l.Samples > 0 && !w.dead[j] && d < dist[j] {
					dist[j], changed = d, true
				}
			}
		}
	}
	return dist
}

// setLimits works out anew what is possible, and tells the crowds.
func (w *World) setLimits(all map[int]node.Status) {
	w.least = leastDelays(w.m, w.places, w.dead, w.origin, usual)
	w.atBest = leastDelays(w.m, w.places, w.dead, w.origin, atMost95)
	w.linked = w.linkedDelays(all)
	for i, a := range w.crowds {
		if a != nil && !w.dead[i] {
			a.setLimits(w.limits(i))
		}
	}
}

// limits returns what is in time for viewers of a node: the budget where the graph
// allows it, else a tenth more than the least possible delay.
func (w *World) limits(at int) (l [rules]limit) {
	judge := func(best, least time.Duration) limit {
		if best <= w.cfg.Budget {
			return limit{w.cfg.Budget, true}
		}
		return limit{least + least/10, false}
	}
	l[anyPair] = judge(w.atBest[at], w.least[at])
	l[measured] = judge(w.linked[at], w.linked[at])
	return l
}
