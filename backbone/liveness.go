package backbone

import (
	"context"
	"sync"
	"time"
)

// Probe periods, and what silence means (docs/wire.md, sections 2 and 7).
const (
	probePeriodMedia = 100 * time.Millisecond
	probePeriodIdle  = time.Second
	youngLink        = 2 * time.Second // probed at the faster rate, to learn quickly
	suspectSilence   = 200 * time.Millisecond
	downSilence      = 500 * time.Millisecond
	// deafSlack is what the judgement that the peer does not hear us takes longer
	// than that on silence. A peer that hears nothing says so, by ending the link;
	// this is for when that does not come through, and a full queue must not look
	// like it.
	deafSlack = 250 * time.Millisecond
)

// silenceLimits returns after how long a silence a link is suspect, and down.
// lag is how late this node's own timers were lately: a busy processor must not
// look like a dead peer. period is when the peer promised to say something.
func silenceLimits(srtt, rttvar, lag, period time.Duration) (suspect, down time.Duration) {
	slack := lag + max(period-probePeriodMedia, 0)
	return max(suspectSilence, srtt+4*rttvar) + slack, max(downSilence, 2*srtt+4*rttvar) + slack
}

// life is what is thought of a peer.
type life uint8

const (
	lifeAlive life = iota
	lifeSuspect
	lifeDown
)

// liveness judges whether packets pass, in both directions. It has no timer and
// no lock: whoever drives it asks when to look next.
type liveness struct {
	heard    time.Time     // when something last came
	answered time.Time     // when the peer last showed that it hears us
	looked   time.Time     // when look was called last
	packets  uint64        // then received, on all lanes
	rtt      time.Duration // then QUIC's latest samples: other ones are an acknowledgement
	doubted  bool          // the last judgement would have been down
	deafDown time.Duration // the limit of the last judgement
	host     hostWord      // what the peer's host says
}

const (
	// fineLook is how often packets are counted when silence begins to mean
	// something, and fineLead how long before that this begins. Else whatever is
	// stamped as it comes will do.
	fineLook = 25 * time.Millisecond
	fineLead = 75 * time.Millisecond
	maxLook  = 500 * time.Millisecond // between looks
)

func newLiveness(now time.Time) liveness {
	return liveness{heard: now, answered: now, looked: now}
}

// hear says that something came at a time, which may be before the last look.
func (v *liveness) hear(at time.Time) {
	if at.After(v.heard) {
		v.heard = at
	}
}

// answer says that the peer has shown, at a time, that it hears us.
func (v *liveness) answer(at time.Time) {
	if at.After(v.answered) {
		v.answered = at
	}
}

// look compares QUIC's counters with those of the last look. A packet that came
// between the two and was not stamped came, for all that is known, right behind
// the first. It counts from the second where looks are in quick succession, and
// where the peer is idle: then nothing is gained by haste.
func (v *liveness) look(now time.Time, packets uint64, rtt time.Duration, idle bool) {
	at := v.looked
	if idle || now.Sub(v.looked) <= 2*fineLook {
		at = now
	}
	if packets != v.packets {
		v.hear(at)
	}
	if rtt != v.rtt {
		v.answer(at)
	}
	v.looked, v.packets, v.rtt = now, packets, rtt
}

// limits are how long a silence may last.
type limits struct {
	suspect, down         time.Duration // with nothing heard
	deafSuspect, deafDown time.Duration // with nothing that shows we are heard
	grace                 time.Duration // for a sign of life after its host denied any
}

// limitsOf returns the limits for a peer that promised a probe within theirs,
// as we do within ours.
func limitsOf(srtt, rttvar, lag, theirs, ours time.Duration) limits {
	var l limits
	l.suspect, l.down = silenceLimits(srtt, rttvar, lag, theirs)
	more := deafSlack + max(ours-probePeriodMedia, 0)
	l.deafSuspect, l.deafDown = l.suspect+more, l.down+more
	const ackDelay = 25 * time.Millisecond // RFC 9000, Section 18.2
	l.grace = max(minHostGrace, srtt+4*rttvar+2*ackDelay) + lag
	return l
}

// judge returns what to think of the peer, with the silence that says so, and
// when to look again. Before a link is down there is a second look: packets that
// came in time may still be on their way through this process.
func (v *liveness) judge(now time.Time, lim limits) (is life, silence time.Duration, deaf bool, next time.Time) {
	if lim.deafDown < v.deafDown-probePeriodIdle/2 {
		// Probes come faster from now on. The answer to the last slow one may be as
		// old as that allows.
		v.answer(now)
	}
	v.deafDown = lim.deafDown
	heard, answered := now.Sub(v.heard), now.Sub(v.answered)
	silence = heard
	var due time.Time
	switch {
	case heard >= lim.down || answered >= lim.deafDown:
		deaf = heard < lim.down
		is, due = lifeDown, now
		if !v.doubted {
			is = lifeSuspect
		}
		v.doubted = true
	case heard >= lim.suspect || answered >= lim.deafSuspect:
		deaf = heard < lim.suspect
		is, due = lifeSuspect, earlier(v.heard.Add(lim.down), v.answered.Add(lim.deafDown))
		v.doubted = false
	default:
		due = earlier(v.heard.Add(lim.suspect), v.answered.Add(lim.deafSuspect))
		v.doubted = false
	}
	if deaf {
		silence = answered
	}
	word, at := v.host.judge(now, v.heard, lim.grace)
	if word > is {
		is, deaf, silence = word, false, heard
	}
	due = earlier(due, at)
	next = earlier(due.Add(-fineLead), now.Add(maxLook))
	if soon := now.Add(fineLook); is != lifeAlive || v.host.pending() || next.Before(soon) {
		next = soon
		if due.After(now) && due.Before(soon) {
			next = due
		}
	}
	return is, silence, deaf, next
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// lagMeter remembers how late timers were in the last two seconds.
type lagMeter struct {
	worst [8]time.Duration
	slot  int64
}

const lagSlot = 250 * time.Millisecond

// add records that a timer set for due fired at now.
func (l *lagMeter) add(due, now time.Time) {
	l.turn(now)
	i := l.slot % int64(len(l.worst))
	l.worst[i] = max(l.worst[i], now.Sub(due))
}

func (l *lagMeter) turn(now time.Time) {
	slot := now.UnixNano() / int64(lagSlot)
	if slot-l.slot >= int64(len(l.worst)) {
		clear(l.worst[:])
		l.slot = slot
	}
	for l.slot < slot {
		l.slot++
		l.worst[l.slot%int64(len(l.worst))] = 0
	}
}

// value returns the worst lag of the last two seconds.
func (l *lagMeter) value(now time.Time) time.Duration {
	l.turn(now)
	var worst time.Duration
	for _, w := range l.worst {
		worst = max(worst, w)
	}
	return worst
}

// ownLag is how late the timers of this process are. All links of a node share
// one.
type ownLag struct {
	mu sync.Mutex
	m  lagMeter
}

func (o *ownLag) add(due, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.m.add(due, now)
}

func (o *ownLag) value(now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.m.value(now)
}

// lagLook is how often the lag is measured, beside what links notice themselves.
const lagLook = 50 * time.Millisecond

// watch measures the lag until ctx ends.
func (o *ownLag) watch(ctx context.Context) error {
	due := time.Now().Add(lagLook)
	timer := time.NewTimer(lagLook)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		now := time.Now()
		o.add(due, now)
		due = now.Add(lagLook)
		timer.Reset(lagLook)
	}
}
