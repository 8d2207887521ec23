package bwe

import (
	"math"
	"time"
)

// rivals is what is known of others who keep a queue at the bottleneck: a bulk
// transfer that fills the buffer until something is lost. Who gives way to every
// queue gets nothing beside one. So a queue that does not shorten while we send
// less than comes out is not ours, and from then on only a longer one counts, and
// loss.
type rivals struct {
	active    bool
	threshold time.Duration
	short     time.Duration // since when the queue is short
}

const (
	// rivalEvidence is by how much the queue should have become shorter.
	rivalEvidence = 100 * time.Millisecond
	rivalMargin   = 50 * time.Millisecond
	rivalMax      = 800 * time.Millisecond
	rivalLoss     = 0.01
	rivalCut      = 0.85
	// rivalEnd is how long the queue is short before we are alone again.
	rivalEnd = 4 * time.Second
)

func (r *rivals) begin(c *Controller) {
	r.active = true
	r.threshold = min(c.last.queue*5/4+rivalMargin, rivalMax)
	r.short = c.decided
}

// follow adapts to the queue that the others keep.
func (r *rivals) follow(c *Controller, t, queue time.Duration) {
	if !r.active {
		return
	}
	if queue > r.threshold/4 {
		r.short = t
	}
	should, is := c.cut.watch.drained(queue, c.capacity)
	alone := should > rivalEvidence && is > should*7/10 && is < should*14/10
	if alone || t-r.short > rivalEnd {
		*r = rivals{}
		c.decision(c.state, ReasonAlone)
	}
}

// trust is whether proven rates are to be believed. Token buckets let bursts
// through at a rate that lasts for no longer than the bucket; where what was
// proven led into a queue, it is not believed for a while, twice as long each time,
// and after the second time only step by step.
type trust struct {
	raised time.Duration // when a proof was last acted upon
	to     float64       // estimate that it led to
	until  time.Duration
	pause  time.Duration
	at     time.Duration // of the last disappointment
}

const (
	trustTest  = 3 * time.Second
	trustPause = 4 * time.Second
	trustMax   = 64 * time.Second
	// trustStep is the largest step, and trustPace the time between two.
	trustStep = 2
	trustPace = time.Second
)

// contradicted is told what the capacity is found to be.
func (u *trust) contradicted(t time.Duration, capacity float64) {
	if u.raised == 0 || t-u.raised > trustTest || capacity > 0.8*u.to {
		return
	}
	if t-u.at > 2*trustMax {
		u.pause = 0
	}
	u.pause = min(max(2*u.pause, trustPause), trustMax)
	u.until, u.at, u.raised = t+u.pause, t, 0
}

// most is how far a proof may raise an estimate.
func (u *trust) most(t time.Duration, bps float64) float64 {
	switch {
	case u.pause <= trustPause || t-u.at > 2*trustMax: // once is no rule
		return math.MaxFloat64
	case t-u.raised < trustPace:
		return bps
	}
	return trustStep * bps
}

// outage is a time without feedback.
type outage struct {
	former float64       // estimate before it
	began  time.Duration // when it was noticed
	again  bool          // soon after another
	next   time.Duration // when to halve again
	ignore time.Duration // what was sent before does not count
	ended  time.Duration
	// draining: what was held up in the outage still comes before what is sent now.
	draining bool
}

const (
	// silentPackets must be without report.
	silentPackets = 4
	silenceLeast  = 400 * time.Millisecond
	halvePause    = 500 * time.Millisecond
	outageApart   = 2 * time.Second
	outageDrain   = 2 * time.Second
	outageProbe   = 300 * time.Millisecond // for a probe on an empty path, besides the RTT
	// resumeShare is how much of the estimate before an outage counts after it, if that
	// was no longer than outageShort: most paths are then what they were, and viewers
	// have seen nothing for that long.
	resumeShare = 0.8
	outageShort = 5 * time.Second
)

// silence looks whether what was sent is not reported on for too long.
func (c *Controller) silence(t time.Duration) {
	oldest := c.seen.next + silentPackets - 1
	next := c.log.Next()
	if oldest >= next {
		return
	}
	if next > LogEntries {
		oldest = max(oldest, next-LogEntries)
	}
	e, ok := c.log.at(oldest)
	if !ok || t-max(e.at(t), c.heard) < silenceLeast+2*c.rtt {
		return
	}
	switch {
	case c.state != Outage:
		former := c.bps
		if c.state == Decrease {
			former = min(c.cut.from, afterDrain*c.capacity)
		}
		c.outage.began, c.outage.again = t, c.outage.ended != 0 && t-c.outage.ended <= outageApart
		if !c.outage.again {
			c.outage.former = 0 // else it is the same outage still
		}
		c.outage.former = max(c.outage.former, former)
		c.probes.active = false
		c.outage.ignore = math.MaxInt64 // until it is known when it ended
		c.decision(Outage, ReasonSilence)
	case t < c.outage.next:
		return
	}
	c.outage.next = t + halvePause
	c.set(c.bps / 2)
	c.decided = t
}

// resume is the end of an outage. What it was before is tried with a probe; held says
// that what was sent meanwhile still comes.
func (c *Controller) resume(t time.Duration, held bool) {
	c.outage.ignore, c.outage.ended, c.outage.draining = t, t, true
	c.loss.reset(t)
	c.delay.clear()
	c.trains.forget()
	c.trains.open = train{}
	c.capacity = max(c.outage.former, c.bps)
	if !held && !c.outage.again && t-c.outage.began < outageShort {
		c.set(max(c.bps, resumeShare*c.outage.former))
	}
	c.probes.resume, c.probes.next = max(c.outage.former, c.bps), t
	c.trust = trust{}
	c.holdUntil = t + c.rtt
	c.decided = t
	c.decision(Hold, ReasonResumed)
}

// drainOutage waits until what an outage held up has passed, which says nothing of
// what the path carries now. If the probe was behind it, another one is sent.
func (c *Controller) drainOutage(t time.Duration) (over bool) {
	if c.last.queue > c.threshold() && t-c.outage.ended < outageDrain {
		return false
	}
	c.outage.draining = false
	late := t-c.outage.ended > c.rtt+outageProbe
	if (late || !c.probes.active) && c.bps < believeShare*believeShare*c.outage.former {
		c.probes.active = false
		c.probes.resume, c.probes.next = c.outage.former, t
	}
	return true
}
