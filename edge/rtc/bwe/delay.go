package bwe

import (
	"math"
	"time"
)

// delayMeter measures the time that packets take, less the least that they took
// lately: what they wait in queues. The clocks of sender and receiver have
// nothing to do with each other; only differences count.
//
// What arrived is kept in slots of 25 ms of the receiver's time.
type delayMeter struct {
	begun  bool
	newest int64 // the latest slot
	// arrived is when the last packet did.
	arrived time.Duration
	slots   [arrivalSlots]arrivalSlot
	base    baseDelay
	// deepest is the longest queue lately.
	deepest deepest
	// started is when the first packet arrived.
	started time.Duration

	last     time.Duration // delay of the packet before
	lastSent time.Duration
	backlog  time.Duration // what our own packets should have left in the queue
	excess   time.Duration // what the last burst's first packet waited beyond that
	change   time.Duration // by which that differed from the one before
	jitter   time.Duration // how much it varies
	heads    int           // bursts seen
	// overtook is the share of packets that did not arrive in the order of sending, of
	// so many.
	overtook float64
	judged   int
}

// arrivalSlot is what arrived in 25 ms.
type arrivalSlot struct {
	id          int64
	least       time.Duration // the shortest delay
	first, last time.Duration // arrivals
	firstSize   int32
	bytes       int32
	packets     int32
}

const (
	arrivalSlots = 64
	slotSpan     = 25 * time.Millisecond
	// ackedWindow is the time over which AckedBps is measured.
	ackedWindow = 600 * time.Millisecond
	// clockJump is a change of delay that no network makes.
	clockJump = 20 * time.Second
	// burstSpan is how long after its first packet a burst may go on.
	burstSpan = 2 * time.Millisecond
	// jitterBursts is how many bursts the jitter is the mean of, about: one to two
	// seconds of media.
	jitterBursts = 64
)

// add takes a packet that arrived; capacity is what the bottleneck is thought to
// carry, and missing how many bytes arrived before it without report. inOrder is
// false for one that a later one overtook.
func (d *delayMeter) add(now time.Duration, r *Result, capacity float64, missing int, inOrder bool) {
	delay := r.Arrived - r.Sent
	if !d.begun || (delay-d.last).Abs() > clockJump {
		*d = delayMeter{begun: true, newest: math.MinInt64, started: r.Arrived}
	}
	d.last = delay
	d.base.add(now, delay)
	d.addOrder(r, inOrder)
	d.addSlot(r, delay, int32(r.Size)+int32(missing))
	d.deepest.add(now, delay-d.base.get())
	if inOrder {
		d.addJitter(r, delay-d.base.get(), capacity)
	}
}

// clear forgets what arrived, but not the least delay.
func (d *delayMeter) clear() {
	d.slots = [arrivalSlots]arrivalSlot{}
	d.newest = math.MinInt64
}

func (d *delayMeter) addSlot(r *Result, delay time.Duration, size int32) {
	id := int64(r.Arrived / slotSpan)
	s := &d.slots[uint64(id)%arrivalSlots]
	d.newest, d.arrived = max(d.newest, id), max(d.arrived, r.Arrived)
	switch {
	case s.id != id && id <= d.newest-arrivalSlots:
		return
	case s.id != id || s.packets == 0:
		*s = arrivalSlot{id: id, least: delay, first: r.Arrived, last: r.Arrived, firstSize: size}
	}
	if r.Arrived < s.first {
		s.first, s.firstSize = r.Arrived, size
	}
	s.last = max(s.last, r.Arrived)
	s.least = min(s.least, delay)
	s.bytes += size
	s.packets++
}

// addOrder follows how many packets overtake others. It comes before arrived is
// brought up to date.
func (d *delayMeter) addOrder(r *Result, inOrder bool) {
	share := 0.0
	if !inOrder || r.Arrived < d.arrived-overtakeLeast {
		share = 1
	}
	d.judged = min(d.judged+1, overtakePackets)
	d.overtook += (share - d.overtook) / float64(d.judged)
}

// ordered says whether it is known that packets overtake one another, or that they do not.
func (d *delayMeter) ordered() bool { return d.judged >= orderPackets }

// overtaking says whether packets overtake one another, as those on paths of unequal
// length do. Where they merely come in lumps they do not.
func (d *delayMeter) overtaking() bool { return d.ordered() && d.overtook > overtakeShare }

const (
	overtakeLeast   = time.Millisecond
	overtakePackets = 64
	// orderPackets are enough to tell.
	orderPackets = 24
	// overtakeShare is far above what single packets make that come late, and below
	// what a jitter of two packets' distance makes.
	overtakeShare = 0.15
	// overtakeSome is what single packets do not make that come late.
	overtakeSome = 0.05
)

// addJitter follows how the waiting time of bursts varies that our own packets
// before them do not explain.
func (d *delayMeter) addJitter(r *Result, queue time.Duration, capacity float64) {
	gap := r.Sent - d.lastSent
	own := time.Duration(float64(r.Size) * 8 / capacity * float64(time.Second))
	d.backlog = max(0, d.backlog-max(0, gap))
	if gap > burstSpan || d.heads == 0 {
		d.backlog = min(d.backlog, queue)
		excess := max(0, queue-d.backlog-own)
		change := excess - d.excess
		if d.heads > 0 {
			// What goes on in one direction is a queue that builds up or drains. The bound
			// keeps its turns from passing for jitter.
			vary := change.Abs()
			if change > 0 == (d.change > 0) {
				vary = min(vary, (change - d.change).Abs())
			}
			vary = min(vary, 3*d.jitter+5*time.Millisecond)
			d.jitter += (vary - d.jitter) / time.Duration(min(d.heads, jitterBursts))
		}
		d.excess, d.change = excess, change
		d.heads++
	}
	d.lastSent = max(d.lastSent, r.Sent)
	d.backlog = min(d.backlog+own, maxBacklog)
}

const maxBacklog = time.Second

// window is what arrived in the last moments.
type window struct {
	queue   time.Duration // the least that any of the packets waited
	packets int
	// bps is the rate at which they arrived; zero if they are too few to tell.
	bps float64
}

const (
	// windowPackets are looked at, if need be for longer than was asked for, but not
	// for longer than windowMax.
	windowPackets = 3
	ratePackets   = 5 // for a rate
	windowMax     = 400 * time.Millisecond
	// holeSlots without an arrival after one with holePackets are a hole. What was before it
	// does not count: a route that becomes longer makes such a hole, and carries what it
	// carried before.
	holeSlots   = 2
	holePackets = 4
)

// recent looks back over span, from the newest arrival; on a steady path only to the
// last hole.
func (d *delayMeter) recent(span time.Duration, steady bool) window {
	if !d.begun {
		return window{}
	}
	least := time.Duration(math.MaxInt64)
	var bytes, packets int64
	var first, last *arrivalSlot
	slots := min(int64(span/slotSpan), arrivalSlots-1)
	empty := 0 // slots in a row
	for back := range int64(arrivalSlots) {
		if back >= slots && (packets >= windowPackets || back >= int64(windowMax/slotSpan)) {
			break
		}
		id := d.newest - back
		s := &d.slots[uint64(id)%arrivalSlots]
		if s.id != id || s.packets == 0 {
			empty++
			continue
		}
		if steady && empty >= holeSlots && s.packets >= holePackets && packets > 0 {
			break
		}
		empty = 0
		least = min(least, s.least)
		bytes += int64(s.bytes)
		packets += int64(s.packets)
		if last == nil {
			last = s
		}
		first = s
	}
	if packets == 0 {
		return window{}
	}
	w := window{queue: least - d.base.get(), packets: int(packets)}
	if took := last.last - first.first; packets >= ratePackets && took >= slotSpan/2 {
		w.bps = rate(bytes-int64(first.firstSize), took)
	}
	return w
}

// full says whether the packet before waited about as long as any lately: the
// queue was full, if it has an end.
func (d *delayMeter) full() bool {
	most := d.deepest.get()
	return most > fullLeast && d.last-d.base.get() >= most*3/4
}

// idle says whether the packet before waited for little of what any has waited lately.
func (d *delayMeter) idle() bool { return d.last-d.base.get() < d.deepest.get()/4 }

const fullLeast = 10 * time.Millisecond

// deepest is the longest queue of the last 1 to 2 s.
type deepest struct {
	most   [2]time.Duration
	turned time.Duration
}

func (d *deepest) add(now, queue time.Duration) {
	if now-d.turned > time.Second {
		d.most[0], d.most[1], d.turned = 0, d.most[0], now
	}
	d.most[0] = max(d.most[0], queue)
}

func (d *deepest) get() time.Duration { return max(d.most[0], d.most[1]) }

// acked is the rate of arrivals over the last 600 ms.
func (d *delayMeter) acked() float64 {
	var bytes int64
	for i := range d.slots {
		if s := &d.slots[i]; s.packets > 0 && s.id > d.newest-int64(ackedWindow/slotSpan) && s.id <= d.newest {
			bytes += int64(s.bytes)
		}
	}
	return rate(bytes, max(min(ackedWindow, d.arrived-d.started), 4*slotSpan))
}

// settled says whether the least delay is known well enough to measure against.
func (d *delayMeter) settled() bool {
	return d.heads >= settledHeads && d.arrived-d.started >= settledAfter
}

const (
	settledHeads = 12
	settledAfter = 400 * time.Millisecond
)

// baseDelay is the least delay of the last 16 to 20 s: long enough to contain a
// moment with an empty queue, short enough for clocks that drift (100 ppm make
// 2 ms of it) and for routes that change. RFC 6817, Section 3.4.2, has the same.
type baseDelay struct {
	least   [baseParts]time.Duration // the current part first
	parts   int
	rotated time.Duration
}

const (
	baseParts = 5
	basePart  = 4 * time.Second
)

func (b *baseDelay) add(now, delay time.Duration) {
	if b.parts == 0 || now-b.rotated >= basePart {
		copy(b.least[1:], b.least[:])
		b.least[0] = delay
		b.parts = min(b.parts+1, baseParts)
		b.rotated = now
	}
	b.least[0] = min(b.least[0], delay)
}

func (b *baseDelay) get() time.Duration {
	least := b.least[0]
	for _, l := range b.least[1:max(b.parts, 1)] {
		least = min(least, l)
	}
	return least
}
