package fanout

import (
	"encoding/json"
	"math/bits"
	"time"
)

// Histogram counts durations in buckets of which 64 lie between two powers of two:
// an error of at most 1.6 %, at any size. It is not safe for concurrent use.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
}

const (
	subBits = 6
	buckets = (64 - subBits) << subBits
)

func bucketOf(us uint64) int {
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - subBits - 1
	return (shift+1)<<subBits + int(us>>shift) - 1<<subBits
}

// middle is the duration in the middle of a bucket.
func middle(bucket int) time.Duration {
	if bucket < 2<<subBits {
		return time.Duration(bucket) * time.Microsecond
	}
	shift := bucket>>subBits - 1
	low := uint64(1<<subBits+bucket&(1<<subBits-1)) << shift
	return time.Duration(low+1<<shift/2) * time.Microsecond
}

// Add counts a duration. One below zero counts as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d.Microseconds()))]++
	h.total++
	h.max = max(h.max, d)
}

// Merge adds what another has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// Quantile returns the duration that a share of all do not exceed; 0 if there are
// none.
func (h *Histogram) Quantile(share float64) time.Duration {
	left := uint64(share * float64(h.total))
	for i, n := range h.counts {
		if n > left {
			return middle(i)
		}
		left -= n
	}
	return h.max
}

// histogramJSON is a histogram for files: microseconds and how often, in pairs.
type histogramJSON struct {
	MaxUs  int64       `json:"max_us"`
	Counts [][2]uint64 `json:"us_counts"`
}

// MarshalJSON implements json.Marshaler.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	doc := histogramJSON{MaxUs: h.max.Microseconds(), Counts: [][2]uint64{}}
	for i, n := range h.counts {
		if n > 0 {
			doc.Counts = append(doc.Counts, [2]uint64{uint64(middle(i).Microseconds()), n})
		}
	}
	return json.Marshal(doc)
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var doc histogramJSON
	if err := json.Unmarshal(b, &doc); err != nil {
		return err
	}
	*h = Histogram{max: time.Duration(doc.MaxUs) * time.Microsecond}
	for _, c := range doc.Counts {
		if i := bucketOf(c[0]); i < buckets {
			h.counts[i] += c[1]
			h.total += c[1]
		}
	}
	return nil
}
