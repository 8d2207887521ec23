package routing

import (
	"cmp"
	"math"
	"slices"
)

// DelayShare is the delay within which a share of the served viewers hears a
// track.
type DelayShare struct {
	Percent float64
	DelayMs float64
}

// Percentiles computes delays by viewer over all tracks, at the given percents.
func (d *Demand) Percentiles(p *Plan, percents ...float64) []DelayShare {
	type group struct {
		delay   float64
		viewers int64
	}
	var groups []group
	total := int64(0)
	for i := range d.Tracks {
		k := &d.Tracks[i]
		delays := p.Tracks[i].Tree.Delays(d.Graph, k.Source)
		for _, e := range k.Terminals {
			if delays[e.Node] >= 0 && e.Viewers > 0 {
				groups = append(groups, group{delays[e.Node], e.Viewers})
				total += e.Viewers
			}
		}
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(a.delay, b.delay) })
	out := make([]DelayShare, 0, len(percents))
	for _, percent := range percents {
		rank := int64(math.Ceil(percent / 100 * float64(total)))
		s := DelayShare{Percent: percent}
		for _, g := range groups {
			s.DelayMs = g.delay
			if rank -= g.viewers; rank <= 0 {
				break
			}
		}
		out = append(out, s)
	}
	return out
}

// Viewers is the number of viewers of all tracks.
func (d *Demand) Viewers() int64 {
	n := int64(0)
	for i := range d.Tracks {
		for _, e := range d.Tracks[i].Terminals {
			n += e.Viewers
		}
	}
	return n
}
