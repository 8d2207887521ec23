package sim

import (
	"testing"
	"time"
)

// TestVanishedPublisher: a publisher that falls silent is noticed within 10 s.
func TestVanishedPublisher(t *testing.T) {
	publish := map[string]func(*testBackbone, string, string, string, Clip) *Publication{
		"moq":  (*testBackbone).publishMoQ,
		"whip": (*testBackbone).publishWHIP,
	}
	for kind, publish := range publish {
		t.Run(kind, func(t *testing.T) {
			onBackbone(t, 8, Chain("a", "b"), link, func(tb *testBackbone) {
				p := publish(tb, "camera", "a", "room/camera", Clip{})
				tb.sleep(2 * time.Second)
				if !tb.knows("b", "room/camera") {
					tb.Fatal("the broadcast was never there")
				}
				tb.must(tb.SetDown("camera", "a", true))
				gone := time.Now()
				for tb.knows("b", "room/camera") && time.Since(gone) < 30*time.Second {
					tb.sleep(50 * ms)
				}
				took := time.Since(gone)
				if took > 10*time.Second {
					tb.Errorf("the publisher's end was noticed after %v", took)
				}
				tb.Logf("%s, simulated: noticed after %v", kind, took)
				_ = p.Stop() // its session is over, and it may say so
			})
		})
	}
}

// TestNewestPublisherWins: while the vanished publisher is not yet missed, a
// newcomer under the same name, at another node, takes its place at once.
func TestNewestPublisherWins(t *testing.T) {
	onBackbone(t, 9, Chain("a", "b", "c"), link, func(tb *testBackbone) {
		old := tb.publishMoQ("camera", "a", "room/camera", Clip{})
		tb.sleep(2 * time.Second)
		before := tb.watchMoQ("before", "c", old)
		tb.sleep(2 * time.Second)
		tb.must(tb.SetDown("camera", "a", true))
		tb.sleep(time.Second)

		next := tb.publishWHIP("second camera", "b", "room/camera", Clip{Take: 1})
		tb.sleep(200 * ms) // its first packets have reached its node, and the news all others
		for _, node := range []string{"a", "b", "c"} {
			if all := tb.Node(node).Table().Status(); len(all) != 1 || all[0].Origin != "b" {
				tb.Errorf("%s takes the broadcast from %+v, want from b", node, all)
			}
		}
		for _, m := range []Media{Video, Audio} {
			if late := Between(before.Arrivals(m), next.Start, time.Now()); len(late) > 0 {
				tb.Errorf("the viewer of the old one got %d more frames of %v", len(late), m)
			}
		}
		after := tb.watchMoQ("after", "c", next)
		tb.sleep(time.Second)
		from := time.Now()
		tb.sleep(2 * time.Second)
		to := time.Now()
		tb.sleep(500 * ms)
		for _, m := range []Media{Video, Audio} {
			tb.wantComplete("viewer of the new one", next, after, m, from, to)
		}
		tb.must(after.Stop())
		_ = before.Stop() // what it watched has ended, and it may say so
		_ = old.Stop()    // the same
		tb.must(next.Stop())
	})
}

func (tb *testBackbone) knows(node, broadcast string) bool {
	for _, b := range tb.Node(node).Table().Status() {
		if b.Name == broadcast {
			return true
		}
	}
	return false
}
