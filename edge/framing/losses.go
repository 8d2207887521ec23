package framing

import (
	"slices"
	"time"
)

// LossesConfig has the settings of a Losses.
type LossesConfig struct {
	// Patience is how long a packet may be late before it is first asked for,
	// because packets overtake one another. Zero means 5 ms, negative none.
	Patience time.Duration
	// MaxTries is how often a packet is asked for. Zero means 10.
	MaxTries int
	// MaxAge is how long after it was first missed a packet is still of use. Zero means 1 s.
	MaxAge time.Duration
	// MaxMissing is how many packets may be missing at once: the oldest are given
	// up. Zero means 512.
	MaxMissing int
}

// Losses keeps track of which packets of an RTP stream are missing, and of when
// to ask for them (RFC 4585, Section 6.2.1). It does not hold packets.
type Losses struct {
	cfg    LossesConfig
	unwrap Unwrapper[uint16]

	begun   bool
	newest  int64
	missing []missingPacket // by rising sequence number

	// abandoned are the latest packets that were asked for and given up, the oldest
	// overwritten, and answers how long the latest answers took.
	abandoned   [abandonedKept]abandonedPacket
	nextAbandon int
	answers     [answersKept]time.Duration
	nextAnswer  int

	// Counters since the beginning, for statistics: Recovered of the Missed ones
	// came in the end.
	missed, recovered uint64
}

type missingPacket struct {
	seq   int64
	since time.Time // noticed
	first time.Time // request
	ask   time.Time // next request
	tries int
}

type abandonedPacket struct {
	seq   int64
	first time.Time // request
}

const (
	defaultPatience   = 5 * time.Millisecond
	defaultMaxTries   = 10
	defaultMaxAge     = time.Second
	defaultMaxMissing = 512
	// minRetry keeps requests apart when the round trip is short: what was asked for
	// has to pass the sender's pacer.
	minRetry = 10 * time.Millisecond

	abandonedKept = 64
	answersKept   = 8
)

// NewLosses returns an empty Losses.
func NewLosses(cfg LossesConfig) *Losses {
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	cfg.Patience = max(cfg.Patience, 0)
	if cfg.MaxTries <= 0 {
		cfg.MaxTries = defaultMaxTries
	}
	if cfg.MaxAge <= 0 {
		cfg.MaxAge = defaultMaxAge
	}
	if cfg.MaxMissing <= 0 {
		cfg.MaxMissing = defaultMaxMissing
	}
	return &Losses{cfg: cfg}
}

// Received notes the arrival of a packet and reports whether it was missing.
func (l *Losses) Received(seq uint16, now time.Time) (recovered bool) {
	n := l.unwrap.Unwrap(seq)
	switch {
	case !l.begun:
		l.begun, l.newest = true, n
		return false
	case n > l.newest:
		gap := n - l.newest - 1
		if gap > int64(l.cfg.MaxMissing) {
			// Too much to ask for: a pause of the sender's, or of the network.
			l.missed += uint64(gap)
			l.missing = l.missing[:0]
		} else {
			l.miss(l.newest+1, n, now)
		}
		l.newest = n
		return false
	}
	i, found := l.find(n)
	if found {
		l.missing = slices.Delete(l.missing, i, i+1)
		l.recovered++
	}
	return found
}

// Answered notes that a packet came because it was asked for, before Received does.
func (l *Losses) Answered(seq uint16, now time.Time) {
	if !l.begun {
		return
	}
	n := l.near(seq)
	if i, found := l.find(n); found {
		if m := l.missing[i]; m.tries > 0 {
			l.answered(now.Sub(m.first))
		}
		return
	}
	for i := range l.abandoned {
		if a := &l.abandoned[i]; a.seq == n && !a.first.IsZero() {
			l.answered(now.Sub(a.first))
			a.first = time.Time{}
			return
		}
	}
}

func (l *Losses) answered(took time.Duration) {
	l.answers[l.nextAnswer%answersKept] = took
	l.nextAnswer++
}

// RTT returns the least time from a first request to its answer, of the latest answers: an
// answer to a repeated one does not say to which it is, and some wait for others.
func (l *Losses) RTT() (least time.Duration, ok bool) {
	if l.nextAnswer == 0 {
		return 0, false
	}
	return slices.Min(l.answers[:min(l.nextAnswer, answersKept)]), true
}

// SetMaxAge changes how long a missing packet is of use.
func (l *Losses) SetMaxAge(d time.Duration) { l.cfg.MaxAge = d }

// near returns the packet with that sequence number that is closest to the newest.
func (l *Losses) near(seq uint16) int64 { return l.newest + int64(int16(seq-uint16(l.newest))) }

func (l *Losses) find(n int64) (int, bool) {
	return slices.BinarySearchFunc(l.missing, n, func(m missingPacket, seq int64) int { return int(m.seq - seq) })
}

// abandon remembers a packet that is waited for no longer.
func (l *Losses) abandon(m missingPacket) {
	if m.tries > 0 {
		l.abandoned[l.nextAbandon%abandonedKept] = abandonedPacket{m.seq, m.first}
		l.nextAbandon++
	}
}

func (l *Losses) miss(from, to int64, now time.Time) {
	l.missed += uint64(to - from)
	if over := len(l.missing) + int(to-from) - l.cfg.MaxMissing; over > 0 {
		l.missing = slices.Delete(l.missing, 0, over)
	}
	for seq := from; seq < to; seq++ {
		l.missing = append(l.missing, missingPacket{seq: seq, since: now, ask: now.Add(l.cfg.Patience)})
	}
}

// Due appends to dst the sequence numbers to ask for at now. A packet is asked for
// again after rtt and a quarter, until it is too old or was asked for too often.
func (l *Losses) Due(now time.Time, rtt time.Duration, dst []uint16) []uint16 {
	kept := l.missing[:0]
	retry := max(rtt+rtt/4, minRetry)
	for _, m := range l.missing {
		if now.Sub(m.since) > l.cfg.MaxAge || m.tries >= l.cfg.MaxTries && !now.Before(m.ask) {
			l.abandon(m)
			continue
		}
		if m.tries < l.cfg.MaxTries && !now.Before(m.ask) {
			dst = append(dst, uint16(m.seq))
			if m.tries++; m.tries == 1 {
				m.first = now
			}
			m.ask = now.Add(retry)
		}
		kept = append(kept, m)
	}
	l.missing = kept
	return dst
}

// Next returns when Due will have something to ask for, and whether anything is missing.
func (l *Losses) Next() (time.Time, bool) {
	if len(l.missing) == 0 {
		return time.Time{}, false
	}
	next := l.missing[0].ask
	for _, m := range l.missing[1:] {
		if m.ask.Before(next) {
			next = m.ask
		}
	}
	return next, true
}

// GiveUp forgets packets up to seq, because Reorder went past them.
func (l *Losses) GiveUp(seq uint16) {
	if !l.begun {
		return
	}
	n := l.near(seq)
	i := 0
	for i < len(l.missing) && l.missing[i].seq <= n {
		l.abandon(l.missing[i])
		i++
	}
	l.missing = slices.Delete(l.missing, 0, i)
}

// IsMissing reports whether a packet before newer is not there: known to be missing,
// or not missed yet, because newer has not been counted.
func (l *Losses) IsMissing(seq, newer uint16) bool {
	if !l.begun {
		return false
	}
	n := l.near(seq)
	if n > l.newest {
		return int16(newer-seq) > 0
	}
	_, found := l.find(n)
	return found
}

// Missing returns how many packets are being waited for.
func (l *Losses) Missing() int { return len(l.missing) }

// Totals returns how many packets were ever missed, and how many of those arrived
// after all. Reordered packets count in both.
func (l *Losses) Totals() (missed, recovered uint64) { return l.missed, l.recovered }
