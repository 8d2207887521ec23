package sim

import (
	"strings"
	"testing"
	"time"

	"trellis/internal/impair"
)

// TestLossOnOneLink: with 2 % of the datagrams lost on one link, in both
// directions, every audio object arrives, with a 99th percentile of age of at
// most 60 ms of path and two round trips of that link; video goes on, and what is
// given up of it is the rest of whole groups, each with a reason in the counters
// of a node. The second case asks for more than a loss-based congestion control
// gets out of such a link, so that most of the video has to go.
func TestLossOnOneLink(t *testing.T) {
	const seed, seconds = 6, 20
	bound := 60*ms + 2*(2*link.Delay)
	for _, tc := range []struct {
		name string
		clip Clip
		// pictures is the least share that arrives, groups the least share of
		// groups of which something does.
		pictures, groups float64
		mustDrop         bool
	}{
		{"2 Mbit/s", Clip{}, 0.95, 1, false},
		{"7 Mbit/s", Clip{KeyBytes: 100_000, DeltaBytes: 30_000}, 0.15, 0.9, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onBackbone(t, seed, Chain("a", "b", "c", "d"), link, func(tb *testBackbone) {
				tb.beside("camera", "a")
				tb.beside("moq", "d")
				tb.beside("whep", "d")
				p := tb.publishMoQ("camera", "a", "room/camera", tc.clip)
				tb.sleep(time.Second)
				watches := map[string]*Watch{
					"moq":  tb.watchMoQ("moq", "d", p),
					"whep": tb.watchWHEP("whep", "d", p),
				}
				tb.sleep(2 * time.Second)
				lossy := link
				lossy.Loss = impair.Independent(0.02)
				tb.path("b", "c", lossy)
				from := time.Now()
				tb.sleep(seconds * time.Second)
				to := time.Now()
				tb.sleep(2 * time.Second)
				if n := tb.Counts("b", "c").Dropped(impair.DropLoss); n < 100 {
					tb.Errorf("only %d datagrams were lost on the link", n)
				}
				for name, w := range watches {
					tb.wantNoProblems(name, w)
					tb.wantAudio(name, p, w, from, to, bound)
					tb.wantVideoGoesOn(name, p, w, from, to, tc.pictures, tc.groups)
				}
				tb.wantDropsCounted(watches["moq"], "d", tc.mustDrop)
				for _, w := range watches {
					tb.must(w.Stop())
				}
				tb.must(p.Stop())
			})
		})
	}
}

// wantAudio asserts that all audio arrived, and in time.
func (tb *testBackbone) wantAudio(name string, p *Publication, w *Watch, from, to time.Time, bound time.Duration) {
	tb.Helper()
	got := Between(w.Arrivals(Audio), from, to)
	least := int(to.Sub(from).Seconds() * audioRate)
	if len(got) < least {
		tb.Errorf("%s: %d audio packets arrived, want %d; missing %v", name, len(got), least, Missing(got))
	}
	if p99 := Quantile(got, 0.99); p99 > bound {
		tb.Errorf("%s: audio's 99th percentile of age is %v, at most %v is allowed", name, p99, bound)
	}
	tb.Logf("%s, simulated: %d audio packets, age p50 %v, p99 %v, at most %v", name, len(got),
		Quantile(got, 0.5), Quantile(got, 0.99), Quantile(got, 1))
}

// wantVideoGoesOn asserts that enough pictures of enough groups arrived, and that
// what is missing is the end of groups, never a hole that would break decoding.
func (tb *testBackbone) wantVideoGoesOn(name string, p *Publication, w *Watch, from, to time.Time, pictures, groups float64) {
	tb.Helper()
	got := Between(w.Arrivals(Video), from, to)
	due := to.Sub(from).Seconds() * float64(p.Clip.FrameRate)
	if share := float64(len(got)) / due; share < pictures {
		tb.Errorf("%s: %.3f of the pictures arrived, want %.3f", name, share, pictures)
	}
	seen := map[int]int{}
	for _, a := range got {
		group, within := a.Frame/p.Clip.GOP, a.Frame%p.Clip.GOP
		if first, ok := seen[group]; !ok && within != 0 && p.Due(Video, group*p.Clip.GOP).After(from) {
			tb.Errorf("%s: group %d begins with picture %d", name, group, within)
		} else if ok && within != first {
			tb.Errorf("%s: group %d goes on with picture %d, want %d", name, group, within, first)
		}
		seen[group] = within + 1
	}
	if share := float64(len(seen)) / (due / float64(p.Clip.GOP)); share < groups {
		tb.Errorf("%s: something arrived of %.3f of the groups, want %.3f", name, share, groups)
	}
	tb.Logf("%s, simulated: %d of %.0f pictures, age p50 %v, p99 %v; groups %+v", name, len(got), due,
		Quantile(got, 0.5), Quantile(got, 0.99), w.Groups(Video))
}

// wantDropsCounted asserts that each group that a MoQ viewer was not given whole
// is in a counter of its node, with a reason.
func (tb *testBackbone) wantDropsCounted(w *Watch, edge string, mustDrop bool) {
	tb.Helper()
	drops, err := tb.Node(edge).Drops()
	tb.must(err)
	counted := 0.0
	for counter, n := range drops {
		if strings.HasPrefix(counter, "trellis_moq_") {
			counted += n
		}
	}
	reset := w.Groups(Video).Reset
	if int(counted) < reset || mustDrop && reset == 0 {
		tb.Errorf("the viewer saw %d groups given up, its node counts %v", reset, drops)
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		drops, err := tb.Node(id).Drops()
		tb.must(err)
		tb.Logf("node %s gave up: %v", id, drops)
	}
}
