//go:build !race

package rtc

import "testing"

// TestLaneAllocatesNothingPerViewer compares a lane of one viewer with one of
// two hundred.
func TestLaneAllocatesNothingPerViewer(t *testing.T) {
	allocs := func(viewers int) float64 {
		out := &discard{}
		next := feed(newTestLane(t, viewers, out), 10_000)
		for range 2 * laneObjects { // until every slot has its memory
			next()
		}
		n := testing.AllocsPerRun(100, next)
		if out.packets == 0 {
			t.Fatal("nothing was sent")
		}
		return n
	}
	if one, many := allocs(1), allocs(200); many > one {
		t.Errorf("%v allocations per object with one viewer, %v with 200", one, many)
	}
}

// TestSoundTwiceAllocatesNothingPerViewer does the same with sound that is sent
// twice.
func TestSoundTwiceAllocatesNothingPerViewer(t *testing.T) {
	allocs := func(n int) float64 {
		out := &discard{}
		var viewers []*viewer
		for range n {
			v := soundViewer(out, 109, 108)
			v.red = true
			viewers = append(viewers, v)
		}
		next := speak(soundLane(t, viewers...))
		for range 2 * laneObjects {
			next()
		}
		return testing.AllocsPerRun(100, next)
	}
	if one, many := allocs(1), allocs(200); many > one {
		t.Errorf("%v allocations per object with one viewer, %v with 200", one, many)
	}
}
