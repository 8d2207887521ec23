package bwe

import (
	"cmp"
	"slices"
	"time"
)

// spread measures a probe on a path whose packets overtake one another. Such a
// path stretches a short train by its jitter, so the probe takes longer than that,
// and its beginning and end do not count: the rate is that of the middle
// half of what arrived. Packets are counted whenever they come.
type spread struct {
	took     time.Duration // to be sent; zero for a probe that is measured as a train
	arrived  int           // packets of the probe
	arrivals []arrival     // of all that was sent meanwhile
}

type arrival struct {
	at   time.Duration
	size int
}

const (
	// spreadTimes is how many times the difference of delays such a probe takes, up
	// to spreadMax.
	spreadTimes    = 2
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
	if id, ok := r.Kind.Probe(); ok && id == p.id {
		s.arrived++
	}
	if len(s.arrivals) < spreadArrivals {
		s.arrivals = append(s.arrivals, arrival{r.Arrived, int(r.Size)})
	}
}

// over says whether nothing more is to come of the probe.
func (s *spread) over(p *prober, now, rtt time.Duration) bool {
	return s.arrived >= p.expected || now > p.asked+s.took*3/2+rtt+spreadReport
}

// bps is the rate at which the middle half arrived, zero if it cannot be told.
func (s *spread) bps() float64 {
	slices.SortFunc(s.arrivals, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	total := 0
	for _, a := range s.arrivals {
		total += a.size
	}
	var from, to time.Duration
	bytes, before := 0, 0
	for _, a := range s.arrivals {
		switch {
		case before < total/4:
			from = a.at
		case before < total*3/4:
			to = a.at
			bytes += a.size
		}
		before += a.size
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
