package backbone

import "time"

// clockOffset says how far the peer's clock is ahead of ours, in µs.
type clockOffset struct {
	offset int64
	err    int64 // bound of the error
}

// clockFilter finds a peer's clock offset from probes. The fastest of the last
// ones is believed, because it has waited in no queue (docs/wire.md, section 7).
// It is driven by time passed in, on the timeline of timers, not of the clock.
type clockFilter struct {
	samples [64]clockSample
	n       int
	floor   windowMin
}

type clockSample struct {
	at     time.Time
	offset int64
	rtt    int64
}

const (
	driftPPM      = 50               // what two quartz clocks drift apart, at worst
	clockMaxAge   = time.Minute      // older samples say nothing
	floorWindow   = 2 * time.Minute  // how long the fastest round trip counts
	clockGrainUS  = 50               // reading clocks, scheduling
	asymmetryPart = 16               // of the round trip
	maxClockRTT   = 30 * time.Second // slower than any real path: not a sample
)

// add takes a sample. An offset that cannot be reconciled with what is believed
// means that a clock was set: everything before is forgotten.
func (f *clockFilter) add(now time.Time, offset, rtt int64) {
	if rtt < 0 || rtt > maxClockRTT.Microseconds() {
		return
	}
	if best := f.best(now); best != nil {
		age := now.Sub(best.at).Microseconds()
		apart := max(offset-best.offset, best.offset-offset)
		if apart > (rtt+best.rtt)/2+age*driftPPM/1_000_000+10*clockGrainUS {
			*f = clockFilter{}
		}
	}
	f.floor.add(now, rtt)
	f.samples[f.n%len(f.samples)] = clockSample{at: now, offset: offset, rtt: rtt}
	f.n++
}

func (f *clockFilter) best(now time.Time) *clockSample {
	var best *clockSample
	var bestScore int64
	for i := range min(f.n, len(f.samples)) {
		s := &f.samples[i]
		age := now.Sub(s.at)
		if age > clockMaxAge {
			continue
		}
		if score := s.rtt/2 + age.Microseconds()*driftPPM/1_000_000; best == nil || score < bestScore {
			best, bestScore = s, score
		}
	}
	return best
}

// estimate returns the offset with its error, false if no probe of the last
// minute says anything.
func (f *clockFilter) estimate(now time.Time) (clockOffset, bool) {
	s := f.best(now)
	if s == nil {
		return clockOffset{}, false
	}
	floor := min(f.floor.value(), s.rtt)
	return clockOffset{
		offset: s.offset,
		err: (s.rtt-floor)/2 + now.Sub(s.at).Microseconds()*driftPPM/1_000_000 +
			s.rtt/asymmetryPart + clockGrainUS,
	}, true
}

// windowMin is the least value of the last one to two windows.
type windowMin struct {
	turned     time.Time
	this, last int64
}

const noMin = 1 << 62

func (w *windowMin) add(now time.Time, v int64) {
	if w.turned.IsZero() || now.Sub(w.turned) > floorWindow {
		w.last = noMin
		if !w.turned.IsZero() {
			w.last = w.this
		}
		w.this, w.turned = noMin, now
	}
	w.this = min(w.this, v)
}

func (w *windowMin) value() int64 { return min(w.this, w.last) }
