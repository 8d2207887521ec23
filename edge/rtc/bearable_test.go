package rtc

import (
	"testing"
	"time"
)

func TestBearable(t *testing.T) {
	rates := []uint64{150_000, 400_000, 1_700_000}
	for _, tt := range []struct {
		name    string
		current int
		loss    float64
		rtt     time.Duration
		want    int
	}{
		{"no loss", 0, 0, 300 * time.Millisecond, 3},
		{"a short path", 0, 0.05, 40 * time.Millisecond, 3},
		{"two repairs in time", 0, 0.05, 80 * time.Millisecond, 3},
		{"2 % over the ocean", 0, 0.02, 300 * time.Millisecond, 3},
		{"5 %", 2, 0.05, 300 * time.Millisecond, 2},
		{"it stays where it would not go", 2, 0.033, 300 * time.Millisecond, 3},
		{"it does not go where it would stay", 1, 0.033, 300 * time.Millisecond, 2},
		{"the lowest is always better than nothing", 0, 0.3, 300 * time.Millisecond, 1},
	} {
		if got := bearable(rates, tt.current, tt.loss, tt.rtt); got != tt.want {
			t.Errorf("%s: %d layers, want %d", tt.name, got, tt.want)
		}
	}
	if got := bearable(nil, 0, 0.3, time.Second); got != 0 {
		t.Errorf("of none: %d", got)
	}
}
