package sim

import (
	"runtime"
	"testing"
	"time"
)

// stalls are the ways of not reading for a minute, and what each may cost.
var stalls = []struct {
	name string
	join func(*testBackbone, string, string, *Publication) *Watch
	// heap is what the node may take meanwhile, in bytes. Over MoQ: the client's
	// window, the streams that are blocked by it, and what its library reads of a
	// group ahead of its user. Over WebRTC nothing waits for a viewer; the node's
	// packets of the last group, of which it keeps 16 MiB, are not all there yet
	// when we begin to look.
	heap int64
}{
	{"moq", (*testBackbone).watchMoQ, 12 << 20},
	{"whep", (*testBackbone).watchWHEP, 20 << 20},
}

// TestStalledReader: viewers that read nothing for a minute, one whose program
// hangs and one whose machine is asleep, hold back nobody. The other's ages do
// not change, and memory does not grow with what was not read: 30 MB for each.
func TestStalledReader(t *testing.T) {
	const stall = 60 * time.Second
	clip := Clip{KeyBytes: 60_000, DeltaBytes: 16_000, GOP: 300} // 4 Mbit/s
	for _, tc := range stalls {
		t.Run(tc.name, func(t *testing.T) {
			onBackbone(t, 7, Chain("a", "b"), link, func(tb *testBackbone) {
				p := tb.publishMoQ("camera", "a", "room/camera", clip)
				tb.sleep(time.Second)
				healthy := tc.join(tb, "healthy", "b", p)
				hung := tc.join(tb, "hung", "b", p)
				asleep := tc.join(tb, "asleep", "b", p)
				tb.sleep(10 * time.Second)
				calm, begun := time.Now().Add(-8*time.Second), time.Now()
				before := heapBytes()
				hung.Pause()
				tb.must(tb.SetDown("asleep", "b", true))
				tb.sleep(stall)
				grown := heapBytes() - before
				tb.must(tb.SetDown("asleep", "b", false))
				hung.Resume()
				resumed := time.Now()
				tb.sleep(12 * time.Second)

				for _, m := range []Media{Video, Audio} {
					was := Between(healthy.Arrivals(m), calm, begun)
					is := tb.wantComplete("healthy", p, healthy, m, begun, resumed)
					for _, share := range []float64{0.5, 0.99, 1} {
						a, b := Quantile(was, share), Quantile(is, share)
						if b > a+2*ms { // an audio packet may meet a key frame, or not
							tb.Errorf("%v's age at quantile %v went from %v to %v beside stalled viewers", m, share, a, b)
						}
						tb.Logf("%v, simulated: age at quantile %v was %v, and is %v", m, share, a, b)
					}
				}
				tb.Logf("heap grew by %.1f MB", float64(grown)/1e6)
				if grown > tc.heap {
					tb.Errorf("heap grew by %.1f MB, at most %.1f MB are allowed", float64(grown)/1e6, float64(tc.heap)/1e6)
				}
				// Who reads again goes on with what is new.
				fresh := Between(hung.Arrivals(Video), resumed.Add(10*time.Second), resumed.Add(11*time.Second))
				if len(fresh) < 25 {
					tb.Errorf("the hung viewer reads again, and has %d pictures of a second", len(fresh))
				}
				tb.must(healthy.Stop())
				tb.must(hung.Stop())
				_ = asleep.Stop() // its session was over long ago
				tb.must(p.Stop())
			})
		})
	}
}

// heapBytes is what is in use after a collection.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC() // what pools let go of in the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
