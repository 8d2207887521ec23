package world

import (
	"math/bits"
	"time"
)

// tally is a histogram of delays: 64 buckets for each doubling, so a quantile is
// right to 0.8 %, from 64 µs to 70 s.
type tally struct {
	n       uint64
	buckets [tallyBuckets]uint64
}

const (
	tallyShift   = 6 // 64 µs
	tallySub     = 64
	tallyBuckets = 21 * tallySub
)

func tallyBucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 1<<tallyShift))
	exp := bits.Len64(us) - 1
	frac := int(us>>(exp-6)) & (tallySub - 1)
	return min((exp-tallyShift)*tallySub+frac, tallyBuckets-1)
}

// tallyMs returns the middle of a bucket.
func tallyMs(i int) float64 {
	exp := i/tallySub + tallyShift
	low := float64(tallySub+i%tallySub) * float64(uint64(1)<<(exp-6))
	return (low + float64(uint64(1)<<(exp-6))/2) / 1000
}

func (t *tally) add(d time.Duration, n uint64) {
	t.n += n
	t.buckets[tallyBucket(d)] += n
}

func (t *tally) merge(o *tally) {
	t.n += o.n
	for i, n := range o.buckets {
		t.buckets[i] += n
	}
}

// ms returns the delay that a share does not exceed, in milliseconds.
func (t *tally) ms(share float64) float64 {
	if t.n == 0 {
		return 0
	}
	want, seen := uint64(share*float64(t.n)), uint64(0)
	for i, n := range t.buckets {
		if seen += n; seen > want || seen == t.n {
			return tallyMs(i)
		}
	}
	return 0
}

// Quantiles of delays, in milliseconds.
type Quantiles struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func (t *tally) quantiles() Quantiles {
	return Quantiles{Count: t.n, P50: t.ms(0.5), P95: t.ms(0.95), P99: t.ms(0.99), Max: t.ms(1)}
}
