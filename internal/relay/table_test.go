package relay

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trellis/wire"
)

func TestLimits(t *testing.T) {
	cfg := Config{MaxObjectBytes: 1000, MaxGroupBytes: 4000, MaxTrackBytes: 10000, MaxBroadcasts: 1, MaxTracks: 1}
	tbl := newTable(t, cfg)
	b, _ := announce(t, tbl, "room/a", 1)
	tr := pushTrack(t, b, "video")
	w := beginGroup(t, tr, 0)
	if err := w.Begin(0, ObjectHeader{}, 1<<62); !errors.Is(err, ErrTooLarge) {
		t.Errorf("object of 2^62 bytes: %v", err)
	}
	if err := w.Write(1, ObjectHeader{}, nil); !errors.Is(err, ErrGap) {
		t.Errorf("hole: %v", err)
	}
	if err := w.Begin(0, ObjectHeader{}, 2); err != nil {
		t.Fatal(err)
	}
	if err := w.Append([]byte("abc")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than announced: %v", err)
	}
	var err error
	for i := uint64(0); err == nil; i++ {
		err = w.Write(i, ObjectHeader{}, make([]byte, 900))
		if i > 10 {
			t.Fatal("no end to the group")
		}
	}
	if !errors.Is(err, ErrTooLarge) || tr.Status().Dropped["group_too_large"] != 1 {
		t.Errorf("group too large: %v, %v", err, tr.Status().Dropped)
	}
	if _, err := b.PushTrack("audio", videoInfo); !errors.Is(err, ErrLimit) {
		t.Errorf("second track: %v", err)
	}
	if _, err := tbl.Announce(Announcement{Name: "room/b", PublisherID: 1}, &upstream{}); !errors.Is(err, ErrLimit) {
		t.Errorf("second broadcast: %v", err)
	}
	for _, a := range []Announcement{{Name: "a/../b", PublisherID: 1}, {Name: "", PublisherID: 1}, {Name: "x", PublisherID: 0}, {Name: "x", PublisherID: 1 << 53}} {
		if _, err := tbl.Announce(a, &upstream{}); err == nil {
			t.Errorf("announce %+v: accepted", a)
		}
	}
}

func TestOneUpstreamOpenForManyReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tbl := newTable(t, Config{Linger: 5 * time.Second})
		b, u := announce(t, tbl, "room/a", 1)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{Kind: ReaderMoQ, Viewers: 1})
				defer s.Close()
				if _, err := s.Info(t.Context()); err != nil {
					t.Error(err)
				}
				r, err := s.NextGroup(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				if c, err := r.Next(t.Context()); err != nil || string(c.Payload) != "key" {
					t.Errorf("got %q, %v", c.Payload, err)
				}
			})
		}
		synctest.Wait()
		if len(u.opened) != 1 {
			t.Fatalf("opened %d times, want once", len(u.opened))
		}
		tr := u.opened[0]
		if n := tr.Viewers(); n != 50 {
			t.Errorf("%d viewers, want 50", n)
		}
		if !tr.RequestKeyframe() || u.keys != 1 {
			t.Error("no key frame asked for although nothing is cached")
		}
		if err := tr.SetInfo(videoInfo); err != nil {
			t.Fatal(err)
		}
		w := beginGroup(t, tr, 3)
		write(t, w, 0, "key")
		wg.Wait()

		tbl.Sweep(time.Now())
		if tr.Context().Err() != nil {
			t.Fatal("closed before its linger")
		}
		time.Sleep(6 * time.Second)
		tbl.Sweep(time.Now())
		if cause := context.Cause(tr.Context()); !errors.Is(cause, ErrUnwanted) {
			t.Fatalf("cause %v, want ErrUnwanted", cause)
		}
		s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{})
		defer s.Close()
		if len(u.opened) != 2 {
			t.Errorf("opened %d times after the track ended, want 2", len(u.opened))
		}
		b.End(nil)
		if _, err := s.NextGroup(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the broadcast ended: %v, want EOF", err)
		}
		if n := tbl.bytes.Load(); n != 0 {
			t.Errorf("%d bytes still accounted for", n)
		}
	})
}

func TestNewestPublisherWins(t *testing.T) {
	tbl := newTable(t, Config{})
	watch := tbl.WatchAnnounced("room")
	defer watch.Close()
	first, _ := announce(t, tbl, "room/a", 1)
	if e, ok, err := watch.TryNext(); !ok || err != nil || !e.Active || e.PublisherID != 1 {
		t.Fatalf("%+v, %v, %v", e, ok, err)
	}
	tr := pushTrack(t, first, "video")
	s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{})
	second, _ := announce(t, tbl, "room/a", 2)
	if cause := context.Cause(first.Context()); !errors.Is(cause, ErrReplaced) {
		t.Errorf("first publisher's cause %v", cause)
	}
	if _, err := s.TryNextGroup(); !errors.Is(err, ErrReplaced) {
		t.Errorf("reader of the first: %v", err)
	}
	if _, err := tr.Group(0); !errors.Is(err, ErrReplaced) {
		t.Errorf("writer of the first: %v", err)
	}
	if _, err := first.PushTrack("audio", videoInfo); !errors.Is(err, ErrReplaced) {
		t.Errorf("new track of the first: %v", err)
	}
	if _, err := tbl.Announce(Announcement{Name: "room/a", PublisherID: 9, Epoch: 5}, &upstream{}); !errors.Is(err, ErrStale) {
		t.Errorf("old epoch: %v", err)
	}
	first.End(nil) // has nothing to withdraw any more
	if e, ok, _ := watch.TryNext(); !ok || !e.Active || e.PublisherID != 2 {
		t.Fatalf("%+v, %v", e, ok)
	}
	if e, ok, _ := watch.TryNext(); ok {
		t.Fatalf("unexpected %+v", e)
	}
	second.SetPath([]string{"n1", "n2"})
	if e, ok, _ := watch.TryNext(); !ok || len(e.Path) != 2 {
		t.Fatalf("%+v, %v", e, ok)
	}
	second.End(nil)
	if e, ok, _ := watch.TryNext(); !ok || e.Active {
		t.Fatalf("%+v, %v", e, ok)
	}
	if _, err := tbl.Subscribe(wire.TrackName{Broadcast: "room/a", Track: "video"}, SubscribeOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("subscribe to what has ended: %v", err)
	}
}
