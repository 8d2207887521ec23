package client

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"trellis/edge/framing"
	"trellis/edge/whip/whipclient"
)

// wantFrames asserts that every frame of both tracks was written once, and to
// which sink: the second one takes the video from a key frame on, and the sound
// from then on.
func wantFrames(t *testing.T, first, second *fakeSink, video, audio int) {
	t.Helper()
	var seen [2]map[time.Duration]int
	for i := range seen {
		seen[i] = map[time.Duration]int{}
	}
	for _, s := range []*fakeSink{first, second} {
		for _, w := range s.got {
			seen[w.track][w.pts]++
			if s == second && w.pts < second.got[0].pts {
				t.Errorf("track %d: the frame of %v after that of %v", w.track, w.pts, second.got[0].pts)
			}
		}
	}
	for i, want := range []int{video, audio} {
		for pts, n := range seen[i] {
			if n != 1 {
				t.Errorf("track %d: the frame of %v %d times", i, pts, n)
			}
		}
		if len(seen[i]) != want {
			t.Errorf("track %d: %d frames, want %d", i, len(seen[i]), want)
		}
	}
	if len(second.got) == 0 || second.got[0].track != 0 || second.got[0].pts%(10*frame40) != 0 {
		t.Errorf("the second node begins with %+v, want a key frame", second.got)
	}
}

func both(video, audio int) PublishConfig {
	return PublishConfig{Sources: []Source{tapeSource(framing.VP8, frame40, video), tapeSource(framing.Opus, frame20, audio)}}
}

// A node asks a publisher to leave: it announces itself at the other with the next
// key frame, and no frame is missing or written twice.
func TestPublishFollowsTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &fakeSink{away: make(chan struct{}), where: "https://b"}
		b := &fakeSink{}
		time.AfterFunc(500*time.Millisecond, func() { close(a.away) })
		r, err := playAt(t, both(50, 100), a, map[string]*fakeSink{"https://b": b})
		if err != nil || r.Reconnects != 1 || r.Skipped != 0 {
			t.Errorf("%v, %+v", err, r)
		}
		wantFrames(t, a, b, 50, 100)
		if b.begun != 800*time.Millisecond || !a.closed {
			t.Errorf("announced after %v, the old one left: %v", b.begun, a.closed)
		}
	})
}

// Where the node names none that answers, the publisher stays while it may.
func TestPublishStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, where := range []string{"", "https://gone"} {
			a := &fakeSink{away: make(chan struct{}), where: where}
			close(a.away)
			r, err := playAt(t, both(200, 400), a, nil)
			if err != nil || r.Reconnects != 0 || len(a.got) != 600 {
				t.Errorf("%q: %v, %d frames, %+v", where, err, len(a.got), r)
			}
		}
	})
}

// A connection that breaks is made anew, here or at another node; what was due
// meanwhile is counted.
func TestPublishComesBack(t *testing.T) {
	for _, where := range []string{"", "https://b"} {
		synctest.Test(t, func(t *testing.T) {
			a, b := &fakeSink{done: make(chan struct{}), err: whipclient.ErrLost}, &fakeSink{}
			time.AfterFunc(500*time.Millisecond, func() { close(a.done) })
			r, err := playAt(t, both(50, 100), a, map[string]*fakeSink{where: b})
			if err != nil || r.Reconnects != 1 || r.Skipped == 0 {
				t.Errorf("%q: %v, %+v", where, err, r)
			}
			if n := int64(len(a.got)+len(b.got)) + r.Skipped; n != 150 || b.begun != 800*time.Millisecond {
				t.Errorf("%q: %d of 150 frames accounted for, announced after %v", where, n, b.begun)
			}
		})
	}
}

// Nobody is there: it ends when the patience does.
func TestPublishGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		a := &fakeSink{done: make(chan struct{}), err: whipclient.ErrLost}
		time.AfterFunc(500*time.Millisecond, func() { close(a.done) })
		_, err := playAt(t, both(500, 1000), a, nil)
		if took := time.Since(start); !errors.Is(err, errDisconnected) || !errors.Is(err, whipclient.ErrLost) || took < 3*time.Second || took > 4*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}
