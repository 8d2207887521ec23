package sim

import (
	"testing"
	"time"
)

// TestLateJoiner: who joins in the middle of a group gets that group's first
// picture within half a second and a round trip to the publisher's node, and the
// publisher is not asked for a key frame.
func TestLateJoiner(t *testing.T) {
	// Groups of four seconds, so that waiting for the next would be noticed.
	clip := Clip{GOP: 120, KeyBytes: 20_000, DeltaBytes: 4_000}
	join := map[string]func(*testBackbone, string, string, *Publication) *Watch{
		"moq":  (*testBackbone).watchMoQ,
		"whep": (*testBackbone).watchWHEP,
	}
	onBackbone(t, 4, Chain("a", "b", "c"), link, func(tb *testBackbone) {
		p := tb.publishWHIP("camera", "a", "room/camera", clip)
		tb.sleep(5*time.Second + 500*ms) // in the second group
		asked := p.KeyframeRequests()
		// To c first, where nobody has watched yet; the second finds the group
		// there. Then to a, where the publisher is.
		for _, tc := range []struct {
			kind, node string
			path       time.Duration // from the publisher's node, one way
		}{
			{"moq", "c", 2 * link.Delay},
			{"whep", "c", 2 * link.Delay},
			{"whep", "b", link.Delay},
			{"moq", "a", 0},
			{"whep", "a", 0},
		} {
			tb.sleep(150 * ms)
			name := tc.kind + " at " + tc.node
			w := join[tc.kind](tb, name, tc.node, p)
			tb.sleep(time.Second)
			rtt := 2 * (access.Delay + tc.path)
			got := w.Arrivals(Video)
			if len(got) == 0 {
				tb.Errorf("%s: no picture in a second", name)
				continue
			}
			first := got[0]
			newest := int(w.Joined.Sub(p.Start).Seconds()*float64(p.Clip.FrameRate)) / clip.GOP * clip.GOP
			if first.Frame != newest {
				tb.Errorf("%s: the first picture is number %d, want the group's first, %d", name, first.Frame, newest)
			}
			took := first.At.Sub(w.Joined)
			if took > 500*ms+rtt {
				tb.Errorf("%s: the first picture came after %v, at most 500ms and the round trip of %v are allowed", name, took, rtt)
			}
			tb.Logf("%s, simulated: first picture after %v, round trip %v", name, took, rtt)
			tb.wantNoProblems(name, w)
			tb.must(w.Stop())
			// Stay in the middle of a group.
			if left := time.Until(p.Due(Video, newest+clip.GOP)); left < 1500*ms {
				tb.sleep(left + 500*ms)
			}
		}
		if n := p.KeyframeRequests() - asked; n > 0 {
			tb.Errorf("the publisher was asked for %d key frames", n)
		}
		tb.must(p.Stop())
	})
}
