package rtc

import (
	"testing"

	"trellis/edge/framing"
)

// TestSoundTicks follows a publisher whose clock the timeline brings to its place, as
// framing.Clock does: a thousandth faster or slower than the samples come.
func TestSoundTicks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		off     int64 // µs that each packet's time is off
		packets []int64
	}{
		{"in time", 0, []int64{20, 20, 20, 20}},
		{"brought forward", 20, []int64{20, 20, 20, 20}},
		{"held back", -20, []int64{20, 20, 20, 20}},
		{"rounded", 1, []int64{20, 10, 10, 60, 20}},
		{"a pause", -20, []int64{20, 400, 20}},
		{"a new timeline", 0, []int64{20, 3_600_000, 20}},
		{"an older one", 0, []int64{20, -3_600_000, 20}},
	} {
		var s soundTicks
		pts := int64(1_700_000_000_000_000)
		rate := framing.Opus.ClockRate()
		last := s.next(ticksOf(pts, rate))
		for i, ms := range tt.packets {
			pts += ms*1000 + tt.off
			got := s.next(ticksOf(pts, rate))
			if want := ms * int64(rate) / 1000; got-last != want {
				t.Errorf("%s: packet %d is %d ticks after the one before, want %d", tt.name, i, got-last, want)
			}
			last = got
		}
	}
}
