package bwe

import "time"

// Controller estimates what the path to one viewer carries. It belongs to one
// goroutine, or to whoever holds its lock; only the Log is shared.
type Controller struct {
	cfg Config
	log *Log

	// What is measured.
	seen   seen
	sent   sentMeter
	delay  delayMeter
	loss   lossMeter
	trains trains
	probes prober
	last   window // of the delay meter, at the last feedback
	passed int    // bytes lost since the last packet that arrived
	rtt    time.Duration
	rttSet bool // by SetRTT

	// What is decided.
	bps       float64
	state     State
	reason    Reason
	decisions uint64
	capacity  float64       // what came out of the full bottleneck, zero if unknown
	wanted    float64       // by the allocator
	decided   time.Duration // when feedback was last considered
	heard     time.Duration // when it last told something new
	holdUntil time.Duration
	since     time.Duration // when no queue stood last
	filled    time.Duration // when there was a short one last, at least
	cut       cut
	rivals    rivals
	outage    outage
	trust     trust
}

// New returns a Controller that has seen nothing yet of what is added to log.
func New(cfg Config, log *Log) (*Controller, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Controller{cfg: cfg, log: log, rtt: defaultRTT, bps: float64(cfg.Start), state: Hold, reason: ReasonStart}
	c.probes.pause = probePause
	return c, nil
}

const (
	defaultRTT = 200 * time.Millisecond
	maxRTT     = 2 * time.Second
)

// Feedback takes what a message says of the packets, in the order of their
// sequence numbers, as Reader.Read returns it. It keeps nothing of results.
func (c *Controller) Feedback(now time.Time, results []Result) {
	t := c.log.since(now)
	c.sent.read(c.log, t)
	if c.heard == 0 {
		// What left before may have come before the viewer had its keys.
		c.loss.reset(t)
	}
	fresh := false
	for i := range results {
		fresh = c.take(t, &results[i]) || fresh
	}
	if !fresh {
		return
	}
	c.heard = t
	c.trains.begin(c.delay.jitter, c.delay.overtook > overtakeShare)
	if c.state == Outage {
		c.resume(t, c.held(results))
	}
	c.decide(t)
	if n := len(results); c.probeOver(t, results[n-1].Sent) {
		c.endProbe(t)
	}
}

// held says whether what arrived had been held up, as radios do, rather than what was
// sent before it lost.
func (c *Controller) held(results []Result) bool {
	for i := range results {
		if r := &results[i]; r.Received && r.Arrived-r.Sent-c.delay.base.get() > maxThreshold {
			return true
		}
	}
	return false
}

// take takes the report on one packet. It says whether that packet arrived, and
// had not been known to.
func (c *Controller) take(t time.Duration, r *Result) bool {
	inOrder := r.Seq >= c.seen.next
	missing := c.missing(t, r.Seq)
	sight := c.seen.report(r.Seq, r.Received)
	if sight == sightOld {
		return false
	}
	if r.Sent < c.outage.ignore {
		// What was sent into an outage tells of the outage.
		return r.Received
	}
	switch {
	case sight == sightLate:
		c.loss.add(r.Sent, 1, -1, false)
	case r.Received:
		c.loss.add(r.Sent, 1, 0, false)
	default:
		c.loss.add(r.Sent, 0, 1, c.delay.full())
	}
	if missing > 0 {
		c.trains.open = train{} // it is not known whole
		c.probes.spoil()
		c.cut.watch.bytes += int64(missing)
	}
	if inOrder {
		if c.delay.idle() {
			c.loss.idling(!r.Received)
		}
		c.cut.watch.add(r)
		c.takeTrain(t, r)
		c.probes.add(r)
		if !r.Received && (!c.delay.full() || c.loss.byChance()) && !c.reordering() {
			c.passed += int(r.Size) // lost after the bottleneck, most likely
		}
	}
	if r.Received {
		c.probes.spread.add(&c.probes, r)
		c.delay.add(t, r, c.likely(), missing+c.passed, inOrder)
		c.passed = 0
		c.takeRTT(t - r.Sent)
	}
	return r.Received
}

// missing is how many bytes were sent between what was reported on and a packet:
// feedback on them was lost, and they most likely were not.
func (c *Controller) missing(t time.Duration, seq uint64) int {
	if seq <= c.seen.next || seq-c.seen.next > maxMissing || c.heard == 0 {
		return 0
	}
	bytes := 0
	for i := c.seen.next; i < seq; i++ {
		if e, ok := c.log.at(i); ok && e.at(t) >= c.outage.ignore {
			bytes += e.size()
		}
	}
	return bytes
}

// maxMissing packets are made up for, where feedback is lost.
const maxMissing = 512

// takeTrain adds a packet to the open train, or closes that.
func (c *Controller) takeTrain(t time.Duration, r *Result) {
	if c.trains.begins(r) {
		if tr := &c.trains.open; tr.packets >= trainPackets {
			c.trains.begin(c.delay.jitter, false)
			c.closeTrain(t, tr)
		}
		c.trains.open = train{}
	}
	c.trains.open.add(r)
}

func (c *Controller) closeTrain(t time.Duration, tr *train) {
	bps, _ := tr.dispersion(c.delay.jitter)
	c.trains.disperse(t, bps)
	if tr.lost == 0 {
		c.trains.prove(t, c.proof(tr))
	}
}

// proof is the rate that a train proves.
func (c *Controller) proof(tr *train) float64 {
	if c.delay.settled() {
		return tr.proven(c.delay.base.get(), c.delay.jitter)
	}
	// The least delay is not known yet. What the train itself shows counts then, if
	// it did not arrive in one lump, and not for too much; its first packet may have
	// waited for the others a little.
	if tr.lumps() {
		return 0
	}
	bps := tr.proven(c.delay.base.get(), c.delay.jitter+lumpAllowance)
	return min(bps, startFactor*float64(c.cfg.Start))
}

// takeRTT follows the time from sending to the report: an upper bound of the round
// trip, for reports are not sent at once.
func (c *Controller) takeRTT(sample time.Duration) {
	if c.rttSet || sample <= 0 {
		return
	}
	sample = min(sample, maxRTT)
	if sample < c.rtt {
		c.rtt = sample
		return
	}
	c.rtt += (sample - c.rtt) / 256
}

// SetRTT tells the round-trip time, where RTCP receiver reports give it. Without,
// the time from sending to feedback serves.
func (c *Controller) SetRTT(rtt time.Duration) {
	if rtt > 0 {
		c.rtt, c.rttSet = min(rtt, maxRTT), true
	}
}

// Tick looks at what does not come. Call it every 100 ms or so.
func (c *Controller) Tick(now time.Time) {
	t := c.log.since(now)
	c.sent.read(c.log, t)
	c.silence(t)
}

// likely is what the bottleneck is thought to carry.
func (c *Controller) likely() float64 {
	if c.capacity > 0 {
		return max(c.capacity, c.bps)
	}
	return c.bps / afterDrain
}

// Bps is the estimate alone, in bits per second.
func (c *Controller) Bps() int64 { return int64(c.bps) }

// sustained is the estimate after a decrease.
func (c *Controller) sustained() float64 {
	if c.state != Decrease {
		return c.bps
	}
	return max(c.bps, min(c.cut.from, afterDrain*c.capacity))
}

// Estimate returns the estimate and the figures behind it, as of the last call of
// Feedback or Tick.
func (c *Controller) Estimate() Estimate {
	loss, _, _ := c.loss.share(c.unordered())
	return Estimate{
		Bps: int64(c.bps), SustainedBps: int64(c.sustained()), State: c.state, Reason: c.reason, Decisions: c.decisions,
		QueueDelay: c.last.queue, Threshold: c.threshold(), Jitter: c.delay.jitter, RTT: c.rtt, Spread: c.spread(), Loss: loss,
		SentBps: int64(c.sent.bps(c.decided)), AckedBps: int64(c.delay.acked()),
		CapacityBps: int64(c.capacity), ProvenBps: int64(max(c.trains.best[0], c.trains.best[1])),
		Opened: c.trains.opening.known, OpeningBps: int64(c.trains.opening.bps),
		Rivals: c.rivals.active,
	}
}

// set changes the estimate, within its bounds.
func (c *Controller) set(bps float64) {
	c.bps = min(max(bps, float64(c.cfg.Min)), float64(c.cfg.Max))
}

// decision records that something was decided.
func (c *Controller) decision(s State, r Reason) {
	c.state, c.reason = s, r
	c.decisions++
}
