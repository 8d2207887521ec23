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
		repairs float64
		want    int
	}{
		{"no loss", 0, 0, 300 * time.Millisecond, 0, 3},
		{"a short path", 0, 0.05, 40 * time.Millisecond, 0, 3},
		{"two repairs in time", 0, 0.05, 80 * time.Millisecond, 0, 3},
		{"2 % over the ocean", 0, 0.02, 300 * time.Millisecond, 0, 3},
		{"5 %", 2, 0.05, 300 * time.Millisecond, 0, 2},
		{"5 %, mended", 1, 0.05, 300 * time.Millisecond, 0.3, 3},
		{"5 %, hardly mended", 1, 0.05, 300 * time.Millisecond, 0.1, 2},
		{"it stays where it would not go", 2, 0.033, 300 * time.Millisecond, 0, 3},
		{"it does not go where it would stay", 1, 0.033, 300 * time.Millisecond, 0, 2},
		{"the lowest is always better than nothing", 0, 0.3, 300 * time.Millisecond, 0, 1},
	} {
		if got := bearable(rates, tt.current, tt.loss, tt.rtt, tt.repairs); got != tt.want {
			t.Errorf("%s: %d layers, want %d", tt.name, got, tt.want)
		}
	}
	if got := bearable(nil, 0, 0.3, time.Second, 0); got != 0 {
		t.Errorf("of none: %d", got)
	}
}
