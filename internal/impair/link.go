package impair

import (
	"math/rand/v2"
	"time"
)

// Link is one direction of a path.
type Link struct {
	cfg Config
	rng *rand.Rand
	bad bool // the state of the loss model

	lineFree time.Time // when the line has sent all it accepted
	last     time.Time // when the datagram accepted last arrives
	counts   Counts
}

// NewLink returns a link in its good state with an empty queue. The generator
// is the link's own from here on.
func NewLink(cfg Config, rng *rand.Rand) (*Link, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Link{cfg: cfg, rng: rng}, nil
}

// Config returns what the link is like at present.
func (l *Link) Config() Config { return l.cfg }

// Set changes the link for the datagrams to come. Those accepted already arrive
// as they would have.
func (l *Link) Set(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	l.cfg = cfg
	return nil
}

// Counts returns what happened to the datagrams so far.
func (l *Link) Counts() Counts { return l.counts }

// Send puts a datagram of size bytes onto the link at now, which must not go
// backwards, and says when it arrives at the other end or why it never will.
func (l *Link) Send(now time.Time, size int) (arrives time.Time, drop Drop) {
	arrives, drop = l.send(now, size)
	l.count(size, drop)
	return arrives, drop
}

func (l *Link) count(size int, drop Drop) {
	if drop != DropNone {
		l.counts.drops[drop]++
		return
	}
	l.counts.Packets++
	l.counts.Bytes += uint64(size)
}

func (l *Link) send(now time.Time, size int) (time.Time, Drop) {
	if l.cfg.Down {
		return time.Time{}, DropDown
	}
	if l.cfg.MTU > 0 && size > l.cfg.MTU {
		return time.Time{}, DropMTU
	}
	sent, ok := l.serialise(now, size)
	if !ok {
		return time.Time{}, DropQueue
	}
	// After the queue: a datagram lost on the way has taken its time on the line.
	if l.lose() {
		return time.Time{}, DropLoss
	}
	arrives := sent.Add(l.cfg.Delay)
	if l.cfg.Jitter > 0 {
		arrives = arrives.Add(time.Duration(l.rng.Int64N(int64(l.cfg.Jitter) + 1)))
	}
	if !l.cfg.Reorder && arrives.Before(l.last) {
		arrives = l.last
	}
	l.last = arrives
	return arrives, DropNone
}

// serialise returns when the line has sent the datagram's last bit, or false if
// the queue has no room for it. The queue is virtual: what waits is what the
// line can send between now and lineFree.
func (l *Link) serialise(now time.Time, size int) (time.Time, bool) {
	if l.cfg.RateBps == 0 {
		return now, true
	}
	start := now
	if l.lineFree.After(now) {
		start = l.lineFree
		waiting := int64(l.lineFree.Sub(now).Seconds() * float64(l.cfg.RateBps) / 8)
		if waiting+int64(size) > l.cfg.queueBytes() {
			return time.Time{}, false
		}
	}
	l.lineFree = start.Add(time.Duration(int64(size) * 8 * int64(time.Second) / l.cfg.RateBps))
	return l.lineFree, true
}

// lose decides about one datagram and moves the loss model on. Where the model
// is not in use it draws nothing, so that a link without loss repeats exactly.
func (l *Link) lose() bool {
	m := l.cfg.Loss
	if m == (Loss{}) {
		return false
	}
	p, change := m.Good, m.GoodToBad
	if l.bad {
		p, change = m.Bad, m.BadToGood
	}
	lost := p > 0 && l.rng.Float64() < p
	if change > 0 && l.rng.Float64() < change {
		l.bad = !l.bad
	}
	return lost
}
