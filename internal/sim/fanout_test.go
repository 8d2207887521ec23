package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/backbone"
	"trellis/internal/relay"
)

// TestOneCopyPerLink: fifty viewers of both kinds on one node, two links away
// from the publisher. Each link carries each track once, under one subscription,
// and both ends of each link count the same.
func TestOneCopyPerLink(t *testing.T) {
	const viewers = 50
	clip := Clip{KeyBytes: 6_000, DeltaBytes: 2_000, GOP: 30}
	onBackbone(t, 3, Chain("a", "b", "c"), link, func(tb *testBackbone) {
		p := tb.publishWHIP("camera", "a", "room/camera", clip)
		tb.sleep(time.Second)
		watches := make([]*Watch, viewers)
		for i := range watches {
			if i%2 == 0 {
				watches[i] = tb.watchMoQ(fmt.Sprintf("moq-%d", i), "c", p)
			} else {
				watches[i] = tb.watchWHEP(fmt.Sprintf("whep-%d", i), "c", p)
			}
		}
		tb.sleep(2 * time.Second)
		from := time.Now()
		tb.sleep(3 * time.Second)
		to := time.Now()
		tb.sleep(500 * ms) // what was due by then is there

		// The catalog, the picture and the sound.
		const tracks = 3
		for _, hop := range [][2]string{{"a", "b"}, {"b", "c"}} {
			parent, child := hop[0], hop[1]
			if got := tb.link(parent, child).Children; got != tracks {
				tb.Errorf("%s sends %d tracks to %s, want %d", parent, got, child, tracks)
			}
			if got := tb.link(child, parent).Subscriptions; got != tracks {
				tb.Errorf("%s has %d subscriptions at %s, want %d", child, got, parent, tracks)
			}
			for _, track := range tb.tracks(parent) {
				if want := map[string]int{"link": 1}; !cmp.Equal(nonzero(track.Subscriptions), want) {
					tb.Errorf("track %s at %s has the readers %v, want %v", track.Name, parent, track.Subscriptions, want)
				}
			}
		}
		for _, track := range tb.tracks("c") {
			if track.Viewers != viewers && track.Kind != "catalog" {
				tb.Errorf("track %s at c counts %d viewers, want %d", track.Name, track.Viewers, viewers)
			}
		}
		for i, w := range watches {
			for _, m := range []Media{Video, Audio} {
				tb.wantComplete(fmt.Sprintf("viewer %d", i), p, w, m, from, to)
			}
			tb.must(w.Stop())
		}
		tb.must(p.Stop())
		tb.sleep(time.Second) // nothing is under way any more
		for _, hop := range [][2]string{{"a", "b"}, {"b", "c"}} {
			out, in := tb.link(hop[0], hop[1]).Out, tb.link(hop[1], hop[0]).In
			if diff := cmp.Diff(out, in); diff != "" {
				tb.Errorf("%s and %s count differently (-sent +received):\n%s", hop[0], hop[1], diff)
			}
		}
		first, second := tb.link("a", "b").Out, tb.link("b", "c").Out
		if diff := cmp.Diff(first, second); diff != "" {
			tb.Errorf("the second link carried something else than the first:\n%s", diff)
		}
		// One copy: no more objects than were published.
		published := uint64(time.Since(p.Start).Seconds()*float64(p.Clip.FrameRate)) + 1
		if got := first["video"].Objects; got == 0 || got > published {
			tb.Errorf("%d pictures crossed the first link, and %d were published at most", got, published)
		}
	})
}

func (tb *testBackbone) link(node, peer string) backbone.LinkStatus {
	tb.Helper()
	l, err := tb.Node(node).Link(tb.Context(), peer)
	tb.must(err)
	return l
}

// tracks returns what a node says of the one broadcast's tracks.
func (tb *testBackbone) tracks(node string) []relay.TrackStatus {
	tb.Helper()
	all := tb.Node(node).Table().Status()
	if len(all) != 1 || len(all[0].Tracks) == 0 {
		tb.Fatalf("node %s knows %+v, want one broadcast with tracks", node, all)
	}
	return all[0].Tracks
}

func nonzero(counts map[string]int) map[string]int {
	out := map[string]int{}
	for k, n := range counts {
		if n != 0 {
			out[k] = n
		}
	}
	return out
}
