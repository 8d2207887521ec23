package relay

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// ageHist is a histogram of the ages at which objects left this node: eight
// buckets for every doubling, so a quantile is right to about 6 percent, from
// 16 µs to 70 s. Observing is one atomic add. It has two windows: Sweep turns
// them, so quantiles cover the last one to two windows.
type ageHist struct {
	windows [2][ageBuckets]atomic.Uint32
	current atomic.Uint32
	unsync  atomic.Uint64 // objects whose age nobody can know
	turned  time.Time     // guarded by Track.mu
}

const (
	ageMinShift = 4 // 16 µs
	ageSub      = 8 // buckets per doubling
	ageBuckets  = 22 * ageSub
	ageWindow   = 10 * time.Second
)

func ageBucket(d time.Duration) int {
	us := max(d.Microseconds(), 1<<ageMinShift)
	exp := bits.Len64(uint64(us)) - 1
	frac := int((uint64(us) >> (exp - 3)) & (ageSub - 1))
	return min((exp-ageMinShift)*ageSub+frac, ageBuckets-1)
}

// ageOf returns the middle of bucket i.
func ageOf(i int) time.Duration {
	exp := i/ageSub + ageMinShift
	lo := (ageSub + i%ageSub) << (exp - 3)
	width := 1 << (exp - 3)
	return time.Duration(lo+width/2) * time.Microsecond
}

func (h *ageHist) observe(d time.Duration) {
	h.windows[h.current.Load()&1][ageBucket(d)].Add(1)
}

func (h *ageHist) turn(now time.Time) {
	if h.turned.IsZero() {
		h.turned = now
		return
	}
	if now.Sub(h.turned) < ageWindow {
		return
	}
	h.turned = now
	next := (h.current.Load() + 1) & 1
	for i := range h.windows[next] {
		h.windows[next][i].Store(0)
	}
	h.current.Store(next)
}

// AgeStatus is how old objects were when this node sent them to viewers, over
// the last ten to twenty seconds. Count is the number of objects behind it;
// Unsynchronised counts, since the track began, the objects whose age is not
// known because no clock offset to their origin is.
type AgeStatus struct {
	Count          uint64  `json:"count"`
	P50Ms          float64 `json:"p50_ms"`
	P95Ms          float64 `json:"p95_ms"`
	P99Ms          float64 `json:"p99_ms"`
	Unsynchronised uint64  `json:"unsynchronised"`
}

func (h *ageHist) status() AgeStatus {
	var sum [ageBuckets]uint64
	s := AgeStatus{Unsynchronised: h.unsync.Load()}
	for w := range h.windows {
		for i := range h.windows[w] {
			n := uint64(h.windows[w][i].Load())
			sum[i] += n
			s.Count += n
		}
	}
	quantileMs := func(permille uint64) float64 {
		want := (s.Count*permille + 999) / 1000
		var seen uint64
		for i, n := range sum {
			if seen += n; seen >= want && n > 0 {
				return float64(ageOf(i)) / float64(time.Millisecond)
			}
		}
		return 0
	}
	if s.Count > 0 {
		s.P50Ms, s.P95Ms, s.P99Ms = quantileMs(500), quantileMs(950), quantileMs(990)
	}
	return s
}
