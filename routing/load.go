package routing

import (
	"errors"
	"fmt"
	"math"
)

// ErrImpossible is wrapped by the error for a demand that no plan satisfies:
// viewers at a source are served by definition, and do not fit.
var ErrImpossible = errors.New("no plan is valid")

// loads is what the trees of all tracks put on the shared capacities.
type loads struct {
	g      *Graph
	egress []float64
	arc    []float64 // by arc number; nil in compact form, which has no limits
}

// newLoads starts with what every plan carries: viewers at sources.
func newLoads(d *Demand) (*loads, error) {
	l := &loads{g: d.Graph, egress: make([]float64, d.Graph.Len())}
	if d.Graph.sites == nil {
		l.arc = make([]float64, len(d.Graph.arcs))
	}
	for i := range d.Tracks {
		k := &d.Tracks[i]
		for _, t := range k.Terminals {
			if t.Node == k.Source {
				l.egress[t.Node] += k.RateMbps * float64(t.Viewers)
			}
		}
	}
	for i := range d.Tracks {
		v := d.Tracks[i].Source
		n := d.Graph.nodes[v]
		if n.EgressMbps > 0 && l.egress[v] > n.EgressMbps+loadSlackMbps {
			return nil, fmt.Errorf("%w: the viewers at source %s take %g Mbit/s of its %g (track %s)",
				ErrImpossible, n.ID, l.egress[v], n.EgressMbps, d.Tracks[i].ID)
		}
	}
	return l, nil
}

// add puts a track's tree on the capacities, or with sign -1 takes it off.
func (l *loads) add(k *Track, t Tree, sign float64) {
	for v, p := range t.Parent {
		if p == None {
			continue
		}
		l.egress[p] += sign * k.RateMbps
		if l.arc != nil {
			if i := l.g.arcIndex(int(p), v); i >= 0 {
				l.arc[i] += sign * k.RateMbps
			}
		}
	}
	for _, e := range k.Terminals {
		if e.Node != k.Source && t.Parent[e.Node] != None {
			l.egress[e.Node] += sign * k.RateMbps * float64(e.Viewers)
		}
	}
}

// maxSlots stands for no limit on children.
const maxSlots = math.MaxInt32 / 4

// slots is how many children v may have in a track of the given rate, when
// viewers of its own come first; negative if even those do not fit.
func (l *loads) slots(v int, rate, viewers float64) int32 {
	n := l.g.nodes[v]
	limit := int32(maxSlots)
	if n.MaxChildren >= 0 {
		limit = int32(min(n.MaxChildren, maxSlots))
	}
	if n.EgressMbps <= 0 {
		return limit
	}
	room := n.EgressMbps - l.egress[v] - rate*viewers + loadSlackMbps
	if room < 0 {
		return -1
	}
	if rate > 0 && room/rate < float64(limit) {
		limit = int32(room / rate)
	}
	return limit
}

// arcFits reports whether arc number i has room for one more copy.
func (l *loads) arcFits(i int32, rate float64) bool {
	c := l.g.arcs[i].CapMbps
	return c <= 0 || l.arc[i]+rate <= c+loadSlackMbps
}
