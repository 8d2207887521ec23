package bwe

import (
	"cmp"
	"slices"
	"time"
)

// spread measures a probe on a path whose packets overtake one another. Such a
// path stretches a short train by its jitter, so the probe takes longer than that,
// and its beginning and end do not count: the rate is that of all that arrived
// between its first quarter and its last. Packets are counted whenever they come.
type spread struct {
	took     time.Duration // to be sent; zero for a probe that is measured as a train
	arrived  int           // packets of the probe
	arrivals []arrival     // of all that was sent meanwhile
}

type arrival struct {
	at    time.Duration
	size  int
	probe bool // it is the probe's own
}

const (
	// spreadTimes is how many times the difference of delays such a probe takes, up
	// to spreadMax: with evenly spread delays the middle half is then 2 % slower than it was sent.
	spreadTimes    = 1.5
	spreadMax      = 450 * time.Millisecond
	spreadBytesMax = 150_000
	spreadArrivals = 256 // that are kept
	// spreadPauseMax is the longest time between such probes that find nothing. They
	// fill the path for longer than trains do.
	spreadPauseMax = 16 * time.Second
	// spreadReport is the longest time between reports, by default.
	spreadReport = 100 * time.Millisecond
)

// add takes a packet that has arrived.
func (s *spread) add(p *prober, r *Result) {
	if !p.active || s.took == 0 || r.Sent < p.asked || r.Sent > p.asked+s.took+spreadReport {
		return
	}
	id, own := r.Kind.Probe()
	own = own && id == p.id
	if own {
		s.arrived++
	}
	if len(s.arrivals) < spreadArrivals {
		s.arrivals = append(s.arrivals, arrival{r.Arrived, int(r.Size), own})
	}
}

// enough says whether its last quarter has begun to arrive. What is not reported on yet
// arrived later than all that is.
func (s *spread) enough(p *prober) bool { return s.arrived > p.expected*3/4 }

// over says whether nothing more is to come of the probe.
func (s *spread) over(p *prober, now, rtt time.Duration) bool {
	return s.enough(p) || now > p.asked+s.took*3/2+rtt+spreadReport
}

// bps is the rate at which the middle half arrived, zero if it cannot be told.
func (s *spread) bps(expected int) float64 {
	slices.SortFunc(s.arrivals, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	var from, to time.Duration
	bytes, own := 0, 0
	for _, a := range s.arrivals {
		switch {
		case own <= expected/4:
			from = a.at
		case own <= expected*3/4:
			to = a.at
			bytes += a.size
		}
		if a.probe {
			own++
		}
	}
	if to-from < spreadLeast {
		return 0
	}
	return spreadTrust * rate(int64(bytes), to-from)
}

const (
	spreadLeast = 20 * time.Millisecond
	// spreadTrust is what is taken of the rate: half of some dozen packets that come at
	// random are measured.
	spreadTrust = 0.93
)
