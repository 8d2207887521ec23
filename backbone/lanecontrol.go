package backbone

import (
	"log/slog"
	"time"
)

// laneControl decides how many lanes for video this end of a link wants. It is
// told once a second what they did, and keeps no timer.
//
// A lane is one congestion controller, which on a long path with losses that
// nobody's queue has caused cannot use what the path has. Several can, and take
// several shares of a path that others use as well. So lanes are added only when
// the windows limit what is sent and the path shows no queue, each time as a
// trial: if what is sent has not grown, they were not what was missing, and go.
type laneControl struct {
	most int // lanes for video
	want int

	pressed int     // seconds in a row under pressure
	last    float64 // what was sent in the second before
	steady  int     // seconds in a row in which that did not shrink
	full    int     // seconds in a row under pressure on a path that shows a queue
	calm    int     // seconds in a row without
	trial   *laneTrial
	rest    int // seconds before the next trial
	failed  int // trials in a row that did not help
	shrunk  int // seconds since a lane was given up, 0 if none was lately
	patient int // how many times a lane that was given up was missed
}

// laneTrial is the time in which added lanes must show what they are good for.
type laneTrial struct {
	from   int     // lanes before
	before float64 // what was sent then
	up     int     // seconds since they are all there
	age    int     // seconds
	rate   float64
}

// laneView is what the lanes for video did in the last second.
type laneView struct {
	lanes    int     // that are there
	rateBps  float64 // of groups, all together
	limited  float64 // mean share of the time in which something waited for a window
	inFlight float64 // as a share of the windows
	queue    time.Duration
	path     time.Duration // round trip without a queue
}

const (
	laneLimited   = 0.6 // of the time
	laneRelaxed   = 0.1
	laneInFlight  = 0.5
	laneSpare     = 0.6
	laneWorth     = 0.25
	lanePressure  = 3 // seconds, before lanes are added
	laneSteady    = 2 // of them without shrinking
	laneFull      = 3 // seconds, before a path with a queue gets one lane
	laneSettle    = 3 // seconds, that a new lane's window is given
	laneMeasure   = 3 // seconds, that it is then measured
	laneTrialMost = 20
	laneCalm      = 15  // seconds, before a lane is given up
	laneCalmMost  = 600 // after it was missed several times
	laneRest      = 15  // seconds, after a trial that did not help
	laneRestMost  = 240
)

// pressure reports whether windows limit what is sent.
func (v laneView) pressure() bool { return v.limited >= laneLimited && v.inFlight >= laneInFlight }

// room reports whether the path shows no queue: then it is not what limits.
func (v laneView) room() bool { return v.queue <= max(25*time.Millisecond, v.path/4) }

// step takes a second and returns how many lanes to have.
func (c *laneControl) step(v laneView) int {
	if c.shrunk > 0 {
		c.shrunk++
	}
	c.rest = max(c.rest-1, 0)
	if c.trial != nil {
		c.try(v)
		return c.want
	}
	switch {
	case v.pressure():
		c.calm = 0
		c.pressed++
		// Windows that still shrink to what the path's losses allow say nothing yet.
		c.steady++
		if v.rateBps < 0.9*c.last {
			c.steady = 0
		}
		c.full++
		if v.room() {
			c.full = 0
		}
		if c.full >= laneFull && c.want > 1 {
			// The path is full. Over one lane it is we who say what goes first.
			c.want, c.full, c.rest = 1, 0, laneRest
		}
		before := (v.rateBps + c.last) / 2
		c.last = v.rateBps
		if c.pressed >= lanePressure && c.steady >= laneSteady && c.rest == 0 && v.room() && v.lanes == c.want && c.want < c.most {
			c.grow(before)
		}
	case v.limited < laneRelaxed:
		c.pressed, c.last, c.steady, c.full = 0, 0, 0, 0
		c.calm++
		fewer := v.inFlight * float64(v.lanes) / float64(max(v.lanes-1, 1)) // what the others would have to take
		if c.want > 1 && fewer <= laneSpare && c.calm >= min(laneCalm<<c.patient, laneCalmMost) {
			c.want--
			c.calm, c.shrunk = 0, 1
		}
	default:
		c.pressed, c.last, c.steady, c.full, c.calm = 0, 0, 0, 0, 0
	}
	return c.want
}

// grow doubles the lanes. before is what was sent so far.
func (c *laneControl) grow(before float64) {
	if c.shrunk > 0 && c.shrunk < 60 {
		c.patient = min(c.patient+1, 6)
	}
	c.shrunk = 0
	c.trial = &laneTrial{from: c.want, before: before}
	c.want = min(2*c.want, c.most)
}

// try takes a second of a trial, and ends it when its time is over.
func (c *laneControl) try(v laneView) {
	t := c.trial
	t.age++
	if v.lanes >= c.want {
		t.up++
	}
	measured := t.up - laneSettle
	if measured > 0 {
		t.rate += (v.rateBps - t.rate) / float64(measured)
	}
	if measured < laneMeasure && t.age < laneTrialMost {
		return
	}
	c.trial, c.pressed, c.last, c.steady = nil, lanePressure, t.rate, laneSteady // more may follow at once
	// Of what as many more lanes could bring at most, a part must have come; unless
	// there is nothing more to bring.
	worth := t.before * (1 + laneWorth*(float64(c.want)/float64(t.from)-1))
	if measured >= laneMeasure && (!v.pressure() || t.rate >= worth) {
		c.failed = 0
		return
	}
	c.want, c.pressed, c.last, c.steady = t.from, 0, 0, 0
	c.rest = min(laneRest<<c.failed, laneRestMost)
	c.failed = min(c.failed+1, 4)
}

// steer looks at the lanes once a second, and says how many there should be.
// path is the round trip without a queue.
func (l *link) steer(now time.Time, path time.Duration) {
	l.lane0.sample(now)
	v := laneView{path: path}
	usable := uint64(l.lanes.usable.Load())
	var flying, windows float64
	for _, ln := range l.lanes.load() {
		r := ln.sample(now)
		if ln.index >= usable || ln.dead() {
			continue
		}
		st := ln.conn.ConnectionStats()
		v.lanes++
		v.rateBps += r.rateBps
		v.limited += r.limited
		flying += r.rateBps / 8 * st.SmoothedRTT.Seconds()
		windows += min(float64(st.CongestionWindow), maxConnWindow)
		v.queue = max(v.queue, st.SmoothedRTT-path)
	}
	if v.lanes == 0 {
		return
	}
	v.limited /= float64(v.lanes)
	v.inFlight = flying / windows
	before := l.laneControl.want
	if want := l.laneControl.step(v); want != before {
		l.log.Info("lanes wanted", slog.Int("lanes", want+1), slog.Int("before", before+1),
			slog.Float64("mbit_per_s", v.rateBps/1e6), slog.Float64("window_limited", v.limited), slog.Duration("queue", v.queue))
		l.wishLanes(want + 1)
	}
}
