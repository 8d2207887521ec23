package bwe

import "time"

// Probe is a train that the caller is asked to send, of padding or of packets that
// the viewer has had before: Packets of about Bytes/Packets each, added to the Log
// with Kind, all at once or evenly over Duration, which gives the rate Bps.
type Probe struct {
	ID       uint8
	Bps      int64
	Bytes    int
	Packets  int
	Duration time.Duration
}

// Kind is how the probe's packets are added to the Log.
func (p Probe) Kind() Kind { return probeKind | Kind(p.ID)&^probeKind }

const (
	probeDuration    = 20 * time.Millisecond
	probeDurationMax = 100 * time.Millisecond
	probePackets     = 5 // at least
	probePacketSize  = 1100
	probeBytesMax    = 60_000
	// probePause is the time between probes that find nothing; it grows by half each
	// time, up to probePauseMax. At twice the estimate for 20 ms they are 4 % of it at
	// most.
	probePause    = time.Second
	probePauseMax = 2 * time.Second
	// startFactor is how far above the estimate the first probe reaches, stepFactor
	// the others.
	startFactor = 3
	stepFactor  = 2
	// wantFactor is how far above what is wanted a probe goes: what it proves is a
	// little less than its rate.
	wantFactor = 1.3
	// livePause is how often a path without feedback is tried where nothing else is
	// sent on it.
	livePause = 500 * time.Millisecond
)

// prober decides when to probe and collects what became of it.
type prober struct {
	id       uint8
	active   bool // one is under way
	asked    time.Duration
	target   float64
	expected int // packets
	reported int
	train    train
	spread   spread

	any    bool          // one was asked for, ever
	told   bool          // one has shown something
	next   time.Duration // no other before
	pause  time.Duration
	resume float64       // rate to try at once, after an outage
	slow   float64       // rate of the last one, if that could be seen
	live   time.Duration // when the path was last tried in an outage
}

// start makes a probe for a rate. Where packets overtake one another, spread is by
// how much their delays differ, else zero.
func (p *prober) start(now time.Duration, bps float64, jitter, spread time.Duration) Probe {
	took, most := min(probeDuration+3*jitter, probeDurationMax), probeBytesMax
	p.spread.took, p.spread.arrived, p.spread.arrivals = 0, 0, p.spread.arrivals[:0]
	if spread > 0 {
		took, most = min(max(time.Duration(spreadTimes*float64(spread)), probeDurationMax), spreadMax), spreadBytesMax
		p.spread.took = took
	}
	bytes := min(max(int(bps*took.Seconds()/8), probePackets*100), most)
	packets := max(probePackets, (bytes+probePacketSize-1)/probePacketSize)
	p.id = (p.id + 1) & uint8(^probeKind)
	p.active, p.any, p.asked, p.target, p.expected, p.reported, p.train = true, true, now, bps, packets, 0, train{}
	return Probe{
		ID: p.id, Bps: int64(bps), Bytes: bytes, Packets: packets,
		Duration: time.Duration(float64(bytes) * 8 / bps * float64(time.Second)),
	}
}

// add takes a packet. What is sent between the packets of a probe is part of its
// train.
func (p *prober) add(r *Result) {
	if !p.active || p.spread.took > 0 || p.reported >= p.expected {
		return
	}
	if id, ok := r.Kind.Probe(); ok && id == p.id {
		p.reported++
	}
	if p.reported > 0 {
		p.train.add(r)
	}
}

// spoil is told that the feedback on some packets is missing.
func (p *prober) spoil() {
	if p.reported > 0 {
		p.reported, p.train = p.expected, train{}
	}
}

// over says whether nothing more is to come of the probe: all is reported, or what
// was sent well after it, or it took too long.
func (p *prober) over(now, reported, patience time.Duration) bool {
	return p.active && (p.reported >= p.expected || now-p.asked > patience ||
		p.reported >= trainPackets && reported > p.train.sentLast+probeDuration)
}

// probeOver says whether the probe can be judged, after a report on what was sent
// until then.
func (c *Controller) probeOver(t, sent time.Duration) bool {
	p := &c.probes
	if p.active && p.spread.took > 0 {
		return p.spread.over(p, t, c.rtt)
	}
	return p.over(t, sent, c.patience())
}

// Wanted tells the controller which estimate would let the allocator take its next
// step up; zero if there is none. It probes only up to that.
func (c *Controller) Wanted(bps int64) { c.wanted = float64(max(bps, 0)) }

// Probe asks whether a train is to be sent now. Ask before each burst, or every
// few milliseconds. A probe that cannot be sent is given up after a second or so; the
// first one waits until something has arrived.
func (c *Controller) Probe(now time.Time) (Probe, bool) {
	t := c.log.since(now)
	p := &c.probes
	if c.state == Outage {
		return c.probeLife(t)
	}
	if p.active && t-p.asked > c.patience() {
		c.endProbe(t)
	}
	bps := p.resume
	switch {
	case p.active || t < p.next || c.state == Decrease || c.heard == 0:
		return Probe{}, false
	case bps > 0:
		p.resume = 0
	case c.wanted <= c.bps || c.last.queue > c.threshold()*6/10 || p.any && !c.conclusive():
		return Probe{}, false
	case !p.told:
		bps = startFactor * c.bps
	default:
		bps = stepFactor * c.bps
	}
	if c.wanted > 0 {
		bps = min(bps, max(c.wanted*wantFactor, c.bps*wantFactor))
	}
	return p.start(t, min(bps, float64(c.cfg.Max)*wantFactor), c.delay.jitter, c.spread()), true
}

// known says whether enough has arrived to tell what kind of path it is.
func (c *Controller) known() bool { return c.delay.settled() && (c.delay.ordered() || !c.reordering()) }

// conclusive says whether a probe can show anything: before the path is known, nothing
// beyond what is believed until then.
func (c *Controller) conclusive() bool {
	return c.known() || !c.reordering() && c.bps < 0.98*believeShare*startFactor*float64(c.cfg.Start)
}

// probeLife tries a path without feedback, if nothing else is sent on it.
func (c *Controller) probeLife(t time.Duration) (Probe, bool) {
	p := &c.probes
	if t-p.live < livePause {
		return Probe{}, false
	}
	if next := c.log.Next(); next > 0 {
		if e, ok := c.log.at(next - 1); !ok || t-e.at(t) < livePause {
			return Probe{}, false
		}
	}
	p.live = t
	// Nothing is measured with it; an id of its own keeps it apart from one that is.
	p.id = (p.id + 1) & uint8(^probeKind)
	p.active = false
	return Probe{ID: p.id, Bps: c.cfg.Min, Bytes: 400, Packets: 2}, true
}

// patience is how long reports of a probe may take.
func (c *Controller) patience() time.Duration { return time.Second + 2*c.rtt }

// endProbe draws the conclusion from a probe.
func (c *Controller) endProbe(t time.Duration) {
	p := &c.probes
	p.active = false
	p.next = t + p.pause
	proven, ok := c.provenByProbe()
	ok = ok && c.state != Outage
	if ok {
		bps := min(proven, p.target+c.sent.bps(t))
		c.trains.prove(t, bps)
		if c.believe(t, bps, ReasonProbe) && bps > 0.8*p.target {
			p.told, p.pause, p.next = true, probePause, t // and the next step at once
			return
		}
	}
	if p.spread.took == 0 && (c.spread() > 0 || !c.known()) {
		p.next = t // it was not meant for such a path
		return
	}
	p.told = true
	c.pauseProbes()
	if ok {
		c.disproof(&p.train)
	}
}

// provenByProbe is the rate that the probe proves, if too much of it was not lost.
func (c *Controller) provenByProbe() (bps float64, ok bool) {
	p := &c.probes
	if p.spread.took > 0 {
		return p.spread.bps(p.expected), p.spread.enough(p)
	}
	n := p.train.packets + p.train.lost
	return c.proof(&p.train), p.train.packets >= trainPackets && p.train.lost*5 <= n
}

// disproof lowers the estimate where two probes in a row came out of the
// bottleneck more slowly.
func (c *Controller) disproof(tr *train) {
	bps, ok := tr.dispersion(c.delay.jitter / 2)
	if !ok || c.reordering() || c.probes.spread.took > 0 {
		c.probes.slow = 0
		return
	}
	best := max(bps, c.probes.slow)
	if c.probes.slow > 0 && best < c.bps && c.state != Decrease && !c.rivals.active {
		c.capacity = best
		c.set(min(c.bps, believeShare*best))
		c.decision(c.state, ReasonSlow)
	}
	c.probes.slow = bps
}

// pauseProbes makes the time until the next probes longer.
func (c *Controller) pauseProbes() {
	p := &c.probes
	if p.spread.took > 0 {
		p.pause = min(2*p.pause, spreadPauseMax)
		return
	}
	p.pause = min(p.pause*3/2, probePauseMax)
}
