package rtc

import (
	"testing"
	"time"
)

// TestDescent: a limit that falls far is told in halves, some time apart and between key
// frames; one that rises, falls a little or is lifted at once.
func TestDescent(t *testing.T) {
	const ms = time.Millisecond
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := descent{group: 4 * time.Second}
	for _, s := range []struct {
		at, key time.Duration
		limit   uint64
		want    uint64
	}{
		{0, -1000 * ms, 0, 0},
		{250 * ms, -1000 * ms, 300_000, 1_200_000},
		{260 * ms, -1000 * ms, 300_000, 1_200_000},
		{500 * ms, -1000 * ms, 300_000, 600_000},
		{750 * ms, -1000 * ms, 300_000, 300_000},
		{1000 * ms, 1000 * ms, 270_000, 270_000},
		{1250 * ms, 1000 * ms, 900_000, 900_000},
		{1260 * ms, 1000 * ms, 300_000, 900_000}, // just after a key frame
		{1500 * ms, 1000 * ms, 300_000, 450_000},
		{1600 * ms, 1000 * ms, 0, 0},
		{1700 * ms, 1000 * ms, 2_300_000, 2_300_000},
		{4300 * ms, 1000 * ms, 300_000, 2_300_000},    // just before one
		{5000 * ms, 4900 * ms, 300_000, 2_300_000},    // it has come
		{6300 * ms, 6100 * ms, 300_000, 1_150_000},    // and another: enough has been waited
		{16300 * ms, 6100 * ms, 1_150_000, 1_150_000}, // nothing falls
		{16400 * ms, 6100 * ms, 300_000, 575_000},     // no key frame is to be expected
	} {
		if got := d.step(began.Add(s.at), s.limit, 2_400_000, began.Add(s.key)); got != s.want {
			t.Errorf("at %v, on the way to %d: told %d, want %d", s.at, s.limit, got, s.want)
		}
	}
}
