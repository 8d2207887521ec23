package rtc

import (
	"testing"
	"time"

	"trellis/wire"
)

// runMost is run with viewers who can be sent so much of the highest layer that is wanted.
func (w *demandWorld) runMost(d time.Duration, most uint64, wanted ...int) {
	for end := w.now.Add(d); w.now.Before(end); {
		for i := range w.layers {
			w.layers[i].most = 0
		}
		if most > 0 {
			w.layers[wanted[len(wanted)-1]].most = most
		}
		w.run(demandEvery, wanted...)
	}
}

func (w *demandWorld) wantRate(t *testing.T, what string, layer int, least, most uint64) {
	t.Helper()
	if got := w.e.sent[layer]; got < least || got > most {
		t.Errorf("%s: layer %d takes %d, want %d to %d; limit %d", what, layer, got, least, most, w.limit)
	}
}

// TestDemandFits has a viewer who can be sent ever more or less of the largest layer: that is what
// it takes, whatever the encoder gives to the smaller ones.
func TestDemandFits(t *testing.T) {
	for _, share := range []float64{1, 0.85} {
		w := newDemandWorld()
		w.e.share = share
		w.run(demandLearn+time.Second, 1)
		w.runMost(20*time.Second, 700_000, 1, 2)
		w.want(t, "narrow", true, true, true)
		w.wantRate(t, "narrow", 2, 600_000, 710_000)
		w.runMost(20*time.Second, 500_000, 1, 2)
		w.wantRate(t, "narrower", 2, 420_000, 510_000)
		w.runMost(20*time.Second, 1_000_000, 1, 2)
		w.wantRate(t, "wider", 2, 850_000, 1_010_000)
		w.runMost(5*time.Second, 4_000_000, 1, 2)
		w.wantRate(t, "wide", 2, uint64(share*1_300_000), 1_700_000)
		if w.limit != 0 {
			t.Errorf("wide: the limit is %d", w.limit)
		}
		w.runMost(20*time.Second, 700_000, 1, 2)
		w.wantRate(t, "narrow again", 2, 600_000, 710_000)
		w.runMost(5*time.Second, 0, 1, 2) // somebody elsewhere takes it
		w.wantRate(t, "not known", 2, uint64(share*1_300_000), 1_700_000)
		w.runMost(20*time.Second, 0, 1)
		w.want(t, "only the middle", true, true, false)
	}
}

func TestReaches(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	track := wire.TrackName{Broadcast: "room/alice", Track: "video/f"}
	first, next := &ingestLayer{}, &ingestLayer{}
	one, other := &viewerTrack{}, &viewerTrack{}
	w := &reaches{}
	want := func(what string, most uint64, on int) {
		t.Helper()
		if m, n := w.of(track, false, now); m != most || n != on {
			t.Errorf("%s: %d bit/s, %d viewers on it; want %d and %d", what, m, n, most, on)
		}
	}
	w.tell(one, track, reach{most: 1, at: now})
	want("a track that enters elsewhere", 0, 0)
	w.enter(track, first)
	w.tell(one, track, reach{most: 600_000, at: now})
	w.tell(other, track, reach{most: 900_000, on: true, at: now})
	want("two", 900_000, 1)
	w.forget(other, track)
	want("one", 600_000, 0)
	if w.of(track, true, now); !w.tell(one, track, reach{most: 600_000, at: now}) {
		t.Error("the viewer is not told that the layer is held")
	}
	now = now.Add(reachKept + time.Millisecond)
	want("not repeated", 0, 0)
	w.enter(track, next)
	w.leave(track, first)
	w.tell(one, track, reach{most: 5, at: now})
	want("another publisher's", 5, 0)
	w.leave(track, next)
	want("over", 0, 0)
}
