package moq

import (
	"time"

	"github.com/quic-go/quic-go"
)

// bandwidth estimates what the path to a client can carry. The congestion window
// over the round trip time is what QUIC would send now. Where packets are lost or
// queue up, that is more than the path takes, and what arrived of late is the
// better answer.
type bandwidth struct {
	last       quic.ConnectionStats
	lastAt     time.Time
	goodputBps float64
	full       bool // the last estimate is what came through a path that was full
}

const (
	// lossyShare of packets lost since the last look means congestion.
	lossyShare = 0.02
	// queued is how much the round trip time grows over its minimum when a queue
	// stands on the path.
	queuedFactor = 1.5
	queuedExtra  = 20 * time.Millisecond
)

// observe takes the connection's counters and returns the estimate in bits per
// second, 0 for unknown, and the round trip time.
func (b *bandwidth) observe(stats quic.ConnectionStats, now time.Time) (bitrateBps uint64, rtt time.Duration) {
	rtt = stats.SmoothedRTT
	if rtt <= 0 {
		return 0, 0
	}
	estimate := float64(stats.CongestionWindow) * 8 / rtt.Seconds()
	b.full = false
	if elapsed := now.Sub(b.lastAt); !b.lastAt.IsZero() && elapsed > 0 {
		sent := float64(stats.BytesSent - b.last.BytesSent)
		lost := float64(stats.BytesLost - b.last.BytesLost)
		b.goodputBps = max(sent-lost, 0) * 8 / elapsed.Seconds()
		queueing := rtt > time.Duration(queuedFactor*float64(stats.MinRTT))+queuedExtra
		if sent > 0 && (lost > lossyShare*sent || queueing) {
			b.full = b.goodputBps < estimate
			estimate = min(estimate, b.goodputBps)
		}
	}
	b.last, b.lastAt = stats, now
	// Zero would mean unknown.
	return max(uint64(estimate), 1), rtt
}

// reporter decides when a new estimate is worth a message: at once when it moves
// by a quarter, less later, and after ten seconds in any case.
type reporter struct {
	bitrateBps uint64
	rtt        time.Duration
	at         time.Time
}

const (
	reportChange = 0.25
	reportEvery  = 10 * time.Second
)

func (r *reporter) due(bitrateBps uint64, rtt time.Duration, now time.Time) bool {
	age := now.Sub(r.at)
	threshold := reportChange * (1 - min(age.Seconds()/reportEvery.Seconds(), 1))
	if !r.at.IsZero() && age < reportEvery &&
		!moved(float64(r.bitrateBps), float64(bitrateBps), threshold) &&
		!moved(r.rtt.Seconds(), rtt.Seconds(), reportChange) {
		return false
	}
	r.bitrateBps, r.rtt, r.at = bitrateBps, rtt, now
	return true
}

func moved(from, to, share float64) bool {
	return to > from*(1+share) || to < from*(1-share)
}
