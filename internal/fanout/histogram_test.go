package fanout

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h, other Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("an empty one has a median")
	}
	for us := range 100_000 {
		h.Add(time.Duration(us) * time.Microsecond)
	}
	for _, q := range []float64{0.001, 0.1, 0.5, 0.99, 0.9999} {
		want := time.Duration(q*100_000) * time.Microsecond
		if got := h.Quantile(q); got < want*98/100-time.Microsecond || got > want*102/100+time.Microsecond {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	other.Add(time.Minute)
	other.Add(-time.Second)
	h.Merge(&other)
	if got := h.Quantile(1); got != time.Minute {
		t.Errorf("the largest is %v", got)
	}
	if h.total != 100_002 || h.Quantile(0) != 0 {
		t.Errorf("%d, least %v", h.total, h.Quantile(0))
	}
}
