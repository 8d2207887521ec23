package backbone

import "time"

// Probe periods, and what silence means (docs/wire.md, sections 2 and 7).
const (
	probePeriodMedia = 100 * time.Millisecond
	probePeriodIdle  = time.Second
	youngLink        = 2 * time.Second // probed at the faster rate, to learn quickly
	suspectSilence   = 200 * time.Millisecond
	downSilence      = 500 * time.Millisecond
)

// silenceLimits returns after how long a silence a link is suspect, and down.
// lag is how late this node's own timers were lately: a busy processor must not
// look like a dead peer. period is when the peer promised to say something.
func silenceLimits(srtt, rttvar, lag, period time.Duration) (suspect, down time.Duration) {
	slack := lag + max(period-probePeriodMedia, 0)
	return max(suspectSilence, srtt+4*rttvar) + slack, max(downSilence, 2*srtt+4*rttvar) + slack
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
