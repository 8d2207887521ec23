package bwe

import (
	"fmt"
	"time"
)

// State is what a Controller is doing.
type State uint8

// The states.
const (
	// Hold: nothing gives a reason to change, or what was decided has not had its
	// effect yet.
	Hold State = iota
	// Increase: what is sent fills the estimate and no queue stands.
	Increase
	// Decrease: a queue drains.
	Decrease
	// Outage: what is sent is not reported on.
	Outage
)

func (s State) String() string {
	switch s {
	case Hold:
		return "hold"
	case Increase:
		return "increase"
	case Decrease:
		return "decrease"
	case Outage:
		return "outage"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Reason is what the last decision was made for.
type Reason string

// The reasons.
const (
	ReasonStart     Reason = "start"      // nothing is known yet
	ReasonQueue     Reason = "queue"      // a queue stands at the bottleneck
	ReasonQueueLoss Reason = "queue_loss" // a queue stands, and packets are lost
	ReasonLoss      Reason = "loss"       // so much is lost that it hardly is by chance
	ReasonDrained   Reason = "drained"    // the queue is gone
	ReasonRivals    Reason = "rivals"     // the queue stands whatever we do: others keep it
	ReasonAlone     Reason = "alone"      // and now they do not any more
	ReasonGrowth    Reason = "growth"     // what fills the estimate gets through
	ReasonTrain     Reason = "train"      // a burst got through at a higher rate
	ReasonSlow      Reason = "slow"       // no burst gets through at the estimate
	ReasonProbe     Reason = "probe"      // a probe got through at a higher rate
	ReasonSilence   Reason = "silence"    // feedback is missing
	ReasonResumed   Reason = "resumed"    // feedback is back
)

// Estimate is what a Controller thinks of the path, and the figures that it
// decides by.
type Estimate struct {
	// Bps is what the path can be asked to carry in all, in bits per second.
	Bps int64
	// SustainedBps is what that is once the queue that now drains is gone: Bps,
	// unless State is Decrease.
	SustainedBps int64
	State        State
	Reason       Reason
	// Decisions counts the changes of State, and those of Bps that were not growth
	// or draining bit by bit. Where it went up there is something to tell.
	Decisions uint64
	// QueueDelay is how much longer than the least possible time even the fastest
	// of the latest packets took. Threshold is how much of it is taken for chance.
	QueueDelay, Threshold time.Duration
	// Jitter is how much the time varies that packets take, from one to the next.
	Jitter time.Duration
	RTT    time.Duration
	// Spread is by how much the delays of packets differ that overtake one another,
	// zero where they do not.
	Spread time.Duration
	Loss   float64 // share of the packets of the last 2 s
	// SentBps is what left in the last 600 ms, AckedBps what arrived in a like time.
	SentBps, AckedBps int64
	// CapacityBps is what came out of the bottleneck when it was last seen full,
	// ProvenBps the best that a burst or probe got lately. Zero: not known.
	CapacityBps, ProvenBps int64
	// Opened: enough of the first train has arrived to tell at what rate it came out of the
	// bottleneck, at the most: OpeningBps, zero if its packets overtook one another or
	// came so quickly that it cannot be told.
	Opened     bool
	OpeningBps int64
	// Rivals: others keep a queue at the bottleneck.
	Rivals bool
}

// Config is what a Controller is told at the beginning. A zero field means the
// default.
type Config struct {
	Start int64 // first estimate, in bits per second: 1 Mbit/s
	Min   int64 // least estimate: 30 kbit/s
	Max   int64 // greatest: 50 Mbit/s
}

// withDefaults fills in what is left out, and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Min == 0 {
		c.Min = 30_000
	}
	if c.Max == 0 {
		c.Max = 50_000_000
	}
	if c.Start == 0 {
		c.Start = min(max(1_000_000, c.Min), c.Max)
	}
	if c.Min < minRate || c.Min > c.Start || c.Start > c.Max || c.Max > maxRate {
		return c, fmt.Errorf("bwe: rates of %d, %d and %d bit/s are not in order from %d to %d",
			c.Min, c.Start, c.Max, int64(minRate), int64(maxRate))
	}
	return c, nil
}

const (
	minRate = 1_000
	maxRate = 1_000_000_000
)
