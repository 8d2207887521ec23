package bwe

import "time"

const (
	// afterDrain is the estimate's share of the capacity once the queue is gone.
	afterDrain = 0.92
	// drainShare is that while a small queue drains. For a longer one it is so much
	// less that it takes about a second, but not less than drainLeast.
	drainShare = 0.87
	drainLeast = 0.4
	drainSmall = 150 * time.Millisecond
	// cutSettle is how long what arrives still tells of the time before a cut.
	cutSettle = 300 * time.Millisecond
	// limitedShare: who sends less than this part of the estimate does not test it.
	limitedShare = 0.75
	// maxStep is the longest time that one feedback counts for.
	maxStep = 200 * time.Millisecond
	// believeShare is how much of a proven rate is asked for.
	believeShare = 0.95
	// heavyLoss is the share of lost packets that is not chance any more, of at
	// least lossPackets. queueLoss is that share where the queue was full.
	heavyLoss   = 0.10
	queueLoss   = 0.02
	lossPackets = 20
	maxHeavy    = 0.3
	// lossPatience is how long after losses from a full queue no train counts. One that
	// finds the queue empty for a moment takes the share of whoever else has made room.
	lossPatience = time.Second
)

// Growth per second.
const (
	growBack   = 0.25  // up to where the capacity was
	growNear   = 0.012 // about there
	growUnsure = 0.04  // the same where jitter makes the capacity a guess
	growBeyond = 0.08  // above it, or where it is not known
	growCurve  = 0.01  // more each second after growPatience
	growMost   = 0.4
)

const (
	growPatience = 8 * time.Second
	nearest      = 1.04        // times the capacity is the end of about there
	filledFor    = time.Second // is how long a short queue says that the capacity is what it was
	beyondAcked  = 1.08        // times what arrives is the end where packets wait
)

// cut is the last decrease.
type cut struct {
	at, deeper time.Duration // when it was, and when its measure was last corrected
	from       float64       // estimate before
	queue      time.Duration // when it was last corrected
	trainless  time.Duration // trains do not count until then
	quiet      time.Duration // time that the queue has been neither long nor gone
	watch      watch
}

// watch compares how a queue drains after a cut with how it should.
type watch struct {
	from        time.Duration // sent before it does not count
	first, last time.Duration // sent
	bytes       int64
	queue       time.Duration // at the beginning
	begun       bool
}

// watchAfter is how long it takes until what is sent obeys a cut.
const watchAfter = 100 * time.Millisecond

func (w *watch) add(r *Result) {
	if r.Sent < w.from {
		return
	}
	if w.first == 0 {
		w.first, w.bytes = r.Sent, 0
	}
	w.last = max(w.last, r.Sent)
	w.bytes += int64(r.Size)
}

// drained is by how much the queue should be shorter than at the beginning, and by
// how much it is.
func (w *watch) drained(queue time.Duration, capacity float64) (should, is time.Duration) {
	if w.bytes == 0 {
		return 0, 0
	}
	if !w.begun {
		w.begun, w.queue = true, queue
	}
	took := time.Duration(float64(w.bytes) * 8 / capacity * float64(time.Second))
	return w.last - w.first - took, w.queue - queue
}

// threshold is how long a queue may be that is taken for chance: a packet or two
// of ours, and the path's jitter.
func (c *Controller) threshold() time.Duration {
	packet := min(time.Duration(1200*8/c.likely()*float64(time.Second)), 60*time.Millisecond)
	own := 20*time.Millisecond + packet*3/2 + jitterFactor*c.delay.jitter
	return max(min(own, maxThreshold), c.rivals.threshold)
}

const (
	jitterFactor = 6
	maxThreshold = 300 * time.Millisecond
	queueWindow  = 100 * time.Millisecond
)

// reordering says whether packets vary in their delay so much that they may
// overtake one another, or would.
func (c *Controller) reordering() bool { return c.delay.jitter > 5*time.Millisecond }

// unordered says whether what is missing may only be late: also as long as it is not
// known what the path is like, and where the delays vary little just now, but packets
// came late.
func (c *Controller) unordered() bool {
	return c.reordering() || !c.known() || c.delay.overtook > overtakeSome
}

// spread is by how much the delays of packets differ that overtake one another. Where
// they stay in order there is none, however much the delays vary: a probe that takes
// as long would fill the path for nothing, and who misses a packet misses it for good.
func (c *Controller) spread() time.Duration {
	if !c.reordering() || !c.delay.overtaking() {
		return 0
	}
	return c.delay.deepest.get()
}

// span is how far to look back for the shortest delay: further where there is
// jitter.
func (c *Controller) span() time.Duration {
	return min(queueWindow+jitterFactor*c.delay.jitter, windowMax)
}

// decide draws the conclusion from a feedback message.
func (c *Controller) decide(t time.Duration) {
	step := min(t-c.decided, maxStep)
	c.decided = t
	c.last = c.delay.recent(c.span(), !c.reordering())
	if c.last.packets == 0 {
		return
	}
	if c.outage.draining && !c.drainOutage(t) {
		return
	}
	queue, sent := c.last.queue, c.sent.bps(t)
	standing := queue > c.threshold() && c.last.packets >= windowPackets
	if !standing {
		c.since = t
	}
	switch {
	case standing && c.state != Decrease && !c.unclear(t, sent):
		c.congested(t, sent, ReasonQueue)
	case standing && c.state == Decrease:
		c.standing(t, sent)
	case c.state == Decrease:
		c.drain(t, step)
	}
	c.rivals.follow(c, t, queue)
	c.judgeLoss(t, sent)
	if c.state == Hold && t >= c.holdUntil && queue < c.threshold()*6/10 {
		c.raise(t)
	}
	if c.state == Increase {
		c.raise(t)
		c.grow(t, step, sent)
	}
}

// output is the rate at which packets come out of the bottleneck: of the latest, but
// where they come irregularly, not less than over a longer time.
func (c *Controller) output() float64 {
	if c.last.bps == 0 || c.reordering() {
		return max(c.last.bps, c.delay.acked())
	}
	return c.last.bps
}

// unclear says whether a queue that stands may still be chance: no more is sent than
// comes out, and it has not been there for long.
func (c *Controller) unclear(t time.Duration, sent float64) bool {
	if c.last.bps == 0 && !c.delay.settled() {
		return true // neither the least delay is known nor what comes out
	}
	longest := persistence
	if c.reordering() {
		longest += 16 * c.delay.jitter
	}
	return sent < overuse*c.output() && t-c.since < longest
}

const (
	overuse     = 1.15
	persistence = 300 * time.Millisecond
)

// congested is the beginning of a decrease: what came out of the bottleneck while
// it was full is its capacity, or our share of it.
func (c *Controller) congested(t time.Duration, sent float64, r Reason) {
	capacity := c.output()
	if t-c.since >= persistence {
		capacity = max(capacity, c.delay.acked())
	}
	if sent < limitedShare*c.bps && sent < 1.1*capacity {
		// We send little, and that gets through: it is not we who fill the queue, and
		// how much of the estimate is still there cannot be seen.
		capacity = max(capacity, 0.9*c.bps)
	}
	c.cut = cut{at: t, deeper: t, from: c.bps, queue: c.last.queue, watch: watch{from: t + watchAfter}}
	c.capacity, c.since = min(capacity, c.bps*1.1), t
	c.trust.contradicted(t, c.capacity)
	c.trains.forget()
	c.decision(Decrease, r)
	c.set(min(c.bps, c.capacity*drainRate(c.last.queue)))
}

// drainRate is the share of the capacity to send at while a queue drains.
func drainRate(queue time.Duration) float64 {
	return min(drainShare, max(drainLeast, drainShare-(queue-drainSmall).Seconds()))
}

// standing goes on with a decrease while the queue is long.
func (c *Controller) standing(t time.Duration, sent float64) {
	c.cut.quiet = 0
	settling := t-c.cut.at < cutSettle
	if bps := c.output(); bps > 0 && bps < 0.95*c.capacity && sent > 1.05*bps && c.last.queue > c.cut.queue+slotSpan/2 &&
		(settling || t-c.cut.deeper > c.rtt+c.last.queue) {
		// Still more is sent than comes out, and the queue grows: the first measure was
		// too high.
		c.capacity = bps
		c.cut.deeper, c.cut.queue = t, c.last.queue
		c.cut.watch = watch{from: t + watchAfter}
		c.decisions++
	}
	c.set(min(c.cut.from, c.capacity*drainRate(c.last.queue)))
	if should, is := c.cut.watch.drained(c.last.queue, c.capacity); should > rivalEvidence && is < should/3 {
		c.rivals.begin(c)
		c.endDrain(t, ReasonRivals)
	}
}

// drain goes on with a decrease once the queue is short, until it is gone.
func (c *Controller) drain(t, step time.Duration) {
	c.cut.quiet += step
	if c.last.queue > c.threshold()/2 && c.cut.quiet < drainPatience {
		c.set(min(c.cut.from, c.capacity*drainRate(c.last.queue)))
		return
	}
	c.endDrain(t, ReasonDrained)
}

const drainPatience = time.Second

func (c *Controller) endDrain(t time.Duration, r Reason) {
	c.set(c.sustained())
	c.holdUntil = t + c.rtt
	c.probes.next = max(c.probes.next, t+probePause/2)
	c.decision(Hold, r)
}

// judgeLoss cuts for loss that comes with a queue, or is heavy.
func (c *Controller) judgeLoss(t time.Duration, sent float64) {
	share, n, full := c.loss.share(c.unordered())
	if !full {
		c.loss.calm(share, c.last.packets)
	}
	if n < lossPackets || c.state == Decrease || t-c.cut.at < c.rtt+2*queueWindow {
		return
	}
	switch {
	case c.rivals.active && share > rivalLoss && c.last.queue > c.rivals.threshold/4:
		c.trains.forget()
		c.cut.at, c.cut.watch = t, watch{from: t + watchAfter}
		c.set(c.bps * rivalCut)
		c.holdUntil = t + c.rtt + c.last.queue
		c.decision(Hold, ReasonQueueLoss)
	case full && share > queueLoss:
		c.congested(t, sent, ReasonQueueLoss)
		c.cut.trainless = t + lossPatience
	case share > min(max(heavyLoss, heavyLoss/2+1.5*c.loss.chance), maxHeavy):
		got := c.delay.acked()
		c.cut.at, c.cut.from = t, c.bps
		c.trains.forget()
		to := c.bps * (1 - share/2)
		if sent >= limitedShare*c.bps {
			to = max(to, believeShare*got)
			if share > 0.3 {
				to = believeShare * got
			}
		}
		c.capacity = to
		c.set(min(c.bps, to))
		c.holdUntil = t + c.rtt + 2*queueWindow
		c.decision(Hold, ReasonLoss)
	default:
		return
	}
	c.loss.reset(t)
}

// raise takes the estimate to what was proven.
func (c *Controller) raise(t time.Duration) {
	if c.state == Hold && t >= c.holdUntil {
		c.state = Increase
	}
	if fastest, ok := c.trains.fastest(t); ok && fastest < 0.85*c.bps {
		c.capacity = fastest
		c.set(believeShare * fastest)
		c.trains.forget()
		c.decision(Increase, ReasonSlow)
		return
	}
	if t >= c.cut.trainless {
		c.believe(t, c.trains.proven(t), ReasonTrain)
	}
}

// believe raises the estimate to what a train or a probe proved, unless that was
// wrong before.
func (c *Controller) believe(t time.Duration, proven float64, r Reason) bool {
	if t < c.trust.until && c.capacity > 0 {
		proven = min(proven, c.capacity)
	}
	to := min(believeShare*proven, c.trust.most(t, c.bps))
	if to <= c.bps*1.02 || c.state == Decrease || c.state == Outage || c.rivals.active {
		return false
	}
	c.trust.raised, c.trust.to = t, to
	c.set(to)
	c.capacity = max(c.capacity, min(proven, to/believeShare))
	c.decision(c.state, r)
	return true
}

// grow raises the estimate while what fills it gets through.
func (c *Controller) grow(t, step time.Duration, sent float64) {
	room := 1 - float64(c.last.queue)/float64(c.threshold()*6/10)
	if room < 0.5 {
		c.filled = t
	}
	if sent < limitedShare*c.bps || room < 0 || t < c.holdUntil {
		return
	}
	var perSecond, limit float64
	near, patience := growNear, growPatience
	if c.reordering() {
		near, patience = growUnsure, growPatience/2
	}
	faster := growCurve * max(0, (t-c.cut.at-patience).Seconds())
	switch known := c.capacity; {
	case known > 0 && c.bps < afterDrain*known:
		perSecond, limit = growBack, afterDrain*known
	case known > 0 && (c.bps < nearest*known || t-c.filled < filledFor && !c.reordering()) && !c.rivals.active:
		// Slowly at first; the longer nothing happens the more likely it is wrong.
		perSecond, limit = min(growBeyond, near+faster), min(nearest*known, beyondAcked*c.delay.acked())
	default:
		perSecond, limit = min(growMost, growBeyond+faster), float64(c.cfg.Max)
		if room < 0.5 && !c.rivals.active {
			// What is taken for chance may be the beginning of a queue.
			limit = beyondAcked * c.delay.acked()
		}
	}
	limit = min(limit, 1.5*max(c.delay.acked(), c.last.bps)+10_000)
	to := min(c.bps*(1+perSecond*step.Seconds()), limit)
	if to > c.bps {
		c.reason = ReasonGrowth
		c.set(to)
	}
}
