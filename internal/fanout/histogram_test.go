package fanout

import (
	"encoding/json"
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

// TestHistogramJSON: quantiles are the same after a round trip.
func TestHistogramJSON(t *testing.T) {
	var h, again Histogram
	for i := range 1000 {
		h.Add(time.Duration(i*i) * time.Microsecond)
	}
	doc, err := json.Marshal(&h)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc, &again); err != nil {
		t.Fatal(err)
	}
	if again != h {
		t.Errorf("p50 %v, was %v; max %v, was %v", again.Quantile(0.5), h.Quantile(0.5), again.max, h.max)
	}
	if err := json.Unmarshal([]byte(`{"us_counts":[[18446744073709551615,1]]}`), &again); err != nil || again.total != 0 {
		t.Errorf("a count out of range: %v, %d", err, again.total)
	}
}
