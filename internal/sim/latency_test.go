package sim

import (
	"testing"
	"time"
)

// TestKeyFrameIsCutThrough: over three links of 50 Mbit/s and 20 ms each, a key
// frame of 150 kB is whole at the viewer no later than 99 ms after its first byte
// left the publisher's edge: 60 ms of path, 24 ms on the line once, and the rest
// for pacing, headers and three hops. Stored and forwarded by each hop it would
// be 132 ms and more.
//
// Publisher and viewer stand beside their nodes, and their time on the local
// network is counted too.
func TestKeyFrameIsCutThrough(t *testing.T) {
	const bound = 99 * ms
	clip := Clip{GOP: 60, KeyBytes: 150_000, DeltaBytes: 8_000}
	onBackbone(t, 5, Chain("a", "b", "c", "d"), link, func(tb *testBackbone) {
		tb.beside("camera", "a")
		tb.beside("viewer", "d")
		p := tb.publishMoQ("camera", "a", "room/camera", clip)
		tb.sleep(time.Second)
		w := tb.watchMoQ("viewer", "d", p)
		tb.sleep(5 * time.Second) // the path is warm: two key frames have passed
		from := time.Now()
		tb.sleep(12 * time.Second)
		to := time.Now()
		tb.sleep(time.Second)
		got := tb.wantComplete("viewer", p, w, Video, from, to)
		var keys, deltas []Arrival
		for _, a := range got {
			if p.Clip.IsKey(Video, a.Frame) {
				keys = append(keys, a)
			} else {
				deltas = append(deltas, a)
			}
		}
		if len(keys) < 5 {
			tb.Errorf("%d key frames in 12 s", len(keys))
		}
		if worst := Quantile(keys, 1); worst > bound {
			tb.Errorf("a key frame of 150 kB took %v, at most %v is allowed (median %v)", worst, bound, Quantile(keys, 0.5))
		}
		tb.Logf("simulated: key frames p50 %v, at most %v; others p50 %v, p99 %v", Quantile(keys, 0.5), Quantile(keys, 1),
			Quantile(deltas, 0.5), Quantile(deltas, 0.99))
		tb.must(w.Stop())
		tb.must(p.Stop())
	})
}
