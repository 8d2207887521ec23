package sim

import (
	"runtime"
	"testing"
	"time"
)

// stalledHeap is what memory may grow by beside two viewers that do not read: the
// client's window, the streams that it blocks, what its library reads of a group
// ahead of its user, and the packets that the node keeps to send them again.
const stalledHeap = 9 << 20

// TestStalledReader: viewers that read nothing for a minute, one whose program
// hangs and one whose machine is asleep, hold back nobody. The other's ages do
// not change, and memory does not grow with what was not read: 15 MB for each.
func TestStalledReader(t *testing.T) {
	const stall = 60 * time.Second
	clip := Clip{GOP: 300} // 2 Mbit/s
	for kind, join := range map[string]func(*testBackbone, string, string, *Publication) *Watch{
		"moq":  (*testBackbone).watchMoQ,
		"whep": (*testBackbone).watchWHEP,
	} {
		t.Run(kind, func(t *testing.T) {
			onBackbone(t, 7, Chain("a", "b"), link, func(tb *testBackbone) {
				p := tb.publishMoQ("camera", "a", "room/camera", clip)
				tb.sleep(time.Second)
				healthy := join(tb, "healthy", "b", p)
				hung := join(tb, "hung", "b", p)
				asleep := join(tb, "asleep", "b", p)
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
					for share, more := range map[float64]time.Duration{
						0.5: ms, 0.99: ms,
						1: 5 * ms, // there are few key frames; to meet one costs its time on the line
					} {
						a, b := Quantile(was, share), Quantile(is, share)
						if b > a+more {
							tb.Errorf("%v's age at quantile %v went from %v to %v beside stalled viewers", m, share, a, b)
						}
						tb.Logf("%v, simulated: age at quantile %v was %v, and is %v", m, share, a, b)
					}
				}
				tb.Logf("heap grew by %.1f MB", float64(grown)/1e6)
				if grown > stalledHeap {
					tb.Errorf("heap grew by %.1f MB, at most %.1f MB are allowed", float64(grown)/1e6, stalledHeap/1e6)
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
