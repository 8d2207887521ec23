package edges

import (
	"hash/fnv"
	"math"
	"slices"
	"time"
)

// A client is sent elsewhere while it could be served here only for a gain that it
// notices and that the estimates can be trusted with: 20 ms, and a quarter.
const (
	minGainMs    = 20
	minGainShare = 0.25
)

// Better returns the node that serves a client clearly better than self, for a
// client that has said where it is. ranked is what Rank returned.
func Better(ranked []Edge, self string, c Client) (Edge, bool) {
	i := slices.IndexFunc(ranked, func(e Edge) bool { return e.Node == self })
	if i < 0 || !c.told() {
		return Edge{}, false
	}
	here := ranked[i]
	for _, e := range ranked[:i] {
		if !e.usable() {
			continue
		}
		gain := here.expected - e.expected
		if here.known && (gain < minGainMs || gain < here.expected*minGainShare) {
			return Edge{}, false
		}
		return e, here.known
	}
	return Edge{}, false
}

// nearEnough is by how much the score of a node may exceed that of the best, for
// clients that have to leave one: they are spread over those.
const nearEnough = 20

// Other returns a node for a client that cannot stay at self. Among those that are
// nearly as good as the best, nodes come first that have run for less than half as
// long as self: in a rolling restart these have had their turn, and nobody who goes
// there has to move again. client spreads clients over nodes, by how much room each
// has.
func Other(ranked []Edge, self, client string, now time.Time) (Edge, bool) {
	var near, fresh []Edge
	var uptime time.Duration
	if i := slices.IndexFunc(ranked, func(e Edge) bool { return e.Node == self }); i >= 0 {
		uptime = now.Sub(ranked[i].boot)
	}
	for _, e := range ranked {
		if e.Node == self || !e.usable() {
			continue
		}
		if len(near) > 0 && e.score-near[0].score > nearEnough {
			break
		}
		near = append(near, e)
		if 2*now.Sub(e.boot) < uptime {
			fresh = append(fresh, e)
		}
	}
	if len(fresh) > 0 {
		near = fresh
	}
	best, score := Edge{}, math.Inf(-1)
	for _, e := range near {
		if s := lot(client, e); s > score {
			best, score = e, s
		}
	}
	return best, len(near) > 0
}

// usable reports whether clients can be sent there.
func (e Edge) usable() bool { return e.State == Free && e.URL != "" && e.known }

// lot draws a number for a client and a node, larger on average the more room the
// node has (weighted rendezvous hashing): a node that comes or goes moves only the
// clients that it gets or had.
func lot(client string, e Edge) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(client)) // never fails: hash.Hash
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(e.Node))
	u := (float64(mix(h.Sum64())>>11) + 0.5) / (1 << 53)
	room := 1.0
	if e.Utilisation != nil {
		room = max(1-*e.Utilisation, 0.01)
	}
	return -room / math.Log(u)
}

// mix spreads what FNV leaves close together (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
