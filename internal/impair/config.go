package impair

import (
	"fmt"
	"time"
)

// Config is what one direction of a path is like. The zero Config is a perfect
// one: no delay, no limit, no loss.
type Config struct {
	// Delay is the time from one end to the other, without queueing.
	Delay time.Duration
	// Jitter adds to each datagram's delay, evenly from zero up to this.
	Jitter time.Duration
	// Reorder lets jitter, or a change to a smaller Delay, change the order of
	// datagrams. Otherwise an early one waits for the one before it.
	Reorder bool
	// RateBps is the line's rate in bits per second of UDP payload, which a
	// datagram occupies while it is serialised. Zero means no limit.
	RateBps int64
	// QueueBytes bounds what may wait for the line; a datagram that does not fit
	// is dropped (drop-tail). Zero means what the line carries in 100 ms, and at
	// least 64 KiB. Without RateBps nothing queues.
	QueueBytes int
	// Loss takes datagrams that got past the queue.
	Loss Loss
	// MTU is the largest datagram, in bytes of UDP payload. Zero means no limit.
	MTU int
	// Down loses every datagram without a trace. What is already under way still
	// arrives.
	Down bool
}

// Loss is the Gilbert-Elliott model: a path is in a good or a bad state, loses
// datagrams with the probability of its state, and changes state with the given
// probabilities after each datagram. With only Good set it is plain independent
// loss; the zero Loss loses nothing.
type Loss struct {
	Good, Bad            float64
	GoodToBad, BadToGood float64
}

// Independent is the loss of the given share of datagrams, each by itself.
func Independent(share float64) Loss { return Loss{Good: share} }

// Bursts loses the given share of datagrams in runs of the given mean length,
// in datagrams: everything in the bad state, nothing in the good one.
func Bursts(share, length float64) Loss {
	// In the long run the bad state holds GoodToBad/(GoodToBad+BadToGood) of the
	// datagrams, and lasts 1/BadToGood of them.
	out := 1 / length
	return Loss{Bad: 1, BadToGood: out, GoodToBad: out * share / (1 - share)}
}

// Mean is the share of datagrams lost in the long run.
func (l Loss) Mean() float64 {
	if l.GoodToBad <= 0 {
		return l.Good
	}
	bad := l.GoodToBad / (l.GoodToBad + l.BadToGood)
	return bad*l.Bad + (1-bad)*l.Good
}

const (
	minQueueBytes = 64 << 10
	queueTime     = 100 * time.Millisecond
	// A bit in 0.1 ps: above this a limit limits nothing that a host can send.
	maxRateBps = 1e13
	maxDelay   = time.Hour
)

// Validate reports what is wrong with the Config.
func (c Config) Validate() error {
	switch {
	case c.Delay < 0 || c.Delay > maxDelay:
		return fmt.Errorf("impair: delay %v: from 0 to %v", c.Delay, maxDelay)
	case c.Jitter < 0 || c.Jitter > maxDelay:
		return fmt.Errorf("impair: jitter %v: from 0 to %v", c.Jitter, maxDelay)
	case c.RateBps < 0 || c.RateBps > maxRateBps:
		return fmt.Errorf("impair: rate %d bit/s: from 0 to %d", c.RateBps, int64(maxRateBps))
	case c.QueueBytes < 0:
		return fmt.Errorf("impair: queue %d bytes: must not be negative", c.QueueBytes)
	case c.MTU < 0:
		return fmt.Errorf("impair: mtu %d: must not be negative", c.MTU)
	}
	for _, p := range []float64{c.Loss.Good, c.Loss.Bad, c.Loss.GoodToBad, c.Loss.BadToGood} {
		if !(p >= 0 && p <= 1) { // the negation also finds NaN
			return fmt.Errorf("impair: loss %+v: probabilities are from 0 to 1", c.Loss)
		}
	}
	return nil
}

// queueBytes is the bound on what waits for the line.
func (c Config) queueBytes() int64 {
	if c.QueueBytes > 0 {
		return int64(c.QueueBytes)
	}
	return max(minQueueBytes, int64(float64(c.RateBps)/8*queueTime.Seconds()))
}
