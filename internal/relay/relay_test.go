package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLateJoinerStartsAtNewestGroup(t *testing.T) {
	tbl := newTable(t, Config{})
	b, _ := announce(t, tbl, "room/a", 1)
	tr := pushTrack(t, b, "video")
	g0 := beginGroup(t, tr, 0)
	write(t, g0, 0, "old key")
	g0.Close()
	g1 := beginGroup(t, tr, 1)
	write(t, g1, 0, "key")
	write(t, g1, 1, "delta")

	s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{Kind: ReaderMoQ, Viewers: 1})
	defer s.Close()
	r := nextGroup(t, s, 1)
	wantObjects(t, r, nil, "key", "delta")
	write(t, g1, 2, "more")
	wantObjects(t, r, nil, "more")
	g1.Close()
	wantObjects(t, r, io.EOF)
	r.Close()
	if tr.RequestKeyframe() {
		t.Error("a key frame was asked for although a group is cached")
	}
}

func TestCutThrough(t *testing.T) {
	tbl := newTable(t, Config{})
	b, _ := announce(t, tbl, "room/a", 1)
	tr := pushTrack(t, b, "video")
	s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{})
	g := beginGroup(t, tr, 7)
	if err := g.Begin(0, ObjectHeader{Time: 5}, -1); err != nil {
		t.Fatal(err)
	}
	r := nextGroup(t, s, 7)
	for _, p := range []string{"ab", "cd"} {
		if err := g.Append([]byte(p)); err != nil {
			t.Fatal(err)
		}
		c, ok, err := r.TryNext()
		if !ok || err != nil || string(c.Payload) != p || c.Size != -1 || c.Last || c.Time != 5 {
			t.Fatalf("piece %q: %+v, %v, %v", p, c, ok, err)
		}
	}
	if err := g.End(); err != nil {
		t.Fatal(err)
	}
	if c, ok, _ := r.TryNext(); !ok || !c.Last || c.Offset != 4 || len(c.Payload) != 0 {
		t.Fatalf("end: %+v, %v", c, ok)
	}
	// With a known size, the last piece is marked without an End.
	if err := g.Begin(1, ObjectHeader{}, 3); err != nil {
		t.Fatal(err)
	}
	if err := g.Append([]byte("xyz")); err != nil {
		t.Fatal(err)
	}
	if c, ok, _ := r.TryNext(); !ok || !c.First || !c.Last || c.Size != 3 {
		t.Fatalf("whole: %+v, %v", c, ok)
	}
}

// A reader that waits for whole objects is woken for their ends, and not for pieces.
func TestReadyWhole(t *testing.T) {
	tbl := newTable(t, Config{})
	b, _ := announce(t, tbl, "room/a", 1)
	tr := pushTrack(t, b, "video")
	s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{})
	g := beginGroup(t, tr, 7)
	r := nextGroup(t, s, 7)
	rung := func() bool {
		select {
		case <-r.ReadyWhole():
			return true
		default:
			return false
		}
	}
	read := func() {
		t.Helper()
		for ok := true; ok; {
			var err error
			if _, ok, err = r.TryNext(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for object := range uint64(2) {
		if err := g.Begin(object, ObjectHeader{}, -1); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if rung() {
				t.Fatalf("object %d: woken for a piece", object)
			}
			if err := g.Append([]byte("ab")); err != nil {
				t.Fatal(err)
			}
			read()
		}
		if rung() {
			t.Fatalf("object %d: woken before its end", object)
		}
		waiting := r.ReadyWhole()
		if err := g.End(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-waiting:
		default:
			t.Fatalf("object %d: not woken at its end", object)
		}
		if !rung() {
			t.Errorf("object %d: its end is there, and it must be waited for", object)
		}
		read()
		if rung() {
			t.Errorf("object %d: woken though everything is read", object)
		}
	}
	waiting := r.ReadyWhole()
	g.Close()
	select {
	case <-waiting:
	default:
		t.Error("not woken at the end of the group")
	}
}

// Two parents deliver the same group while a subscription moves: every byte is
// kept once, wherever the old one stopped.
func TestTwoWritersOfOneGroup(t *testing.T) {
	objects := []string{"aaaa", "bbbbbb", "", "cc"}
	for cut := range 13 {
		tbl := newTable(t, Config{})
		b, _ := announce(t, tbl, "room/a", 1)
		tr := pushTrack(t, b, "video")
		s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{})
		old, nu := beginGroup(t, tr, 0), beginGroup(t, tr, 0)
		feed := func(w *Group, limit int) {
			for i, o := range objects {
				if err := w.Begin(uint64(i), ObjectHeader{}, -1); err != nil {
					t.Fatal(err)
				}
				for j := range o {
					if limit == 0 {
						return
					}
					limit--
					if err := w.Append([]byte(o[j : j+1])); err != nil {
						t.Fatal(err)
					}
				}
				if limit == 0 {
					return
				}
				if err := w.End(); err != nil {
					t.Fatal(err)
				}
			}
		}
		feed(old, cut)
		old.Abort(DropUpstreamReset)
		feed(nu, -1)
		nu.Close()
		r := nextGroup(t, s, 0)
		wantObjects(t, r, io.EOF, objects...)
	}
}

func TestDetachedGroupGoesOnOrIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tbl := newTable(t, Config{})
		b, _ := announce(t, tbl, "room/a", 1)
		tr := pushTrack(t, b, "video")
		s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{})
		w := beginGroup(t, tr, 0)
		write(t, w, 0, "key")
		r := nextGroup(t, s, 0)
		w.Detach()
		time.Sleep(time.Second)
		tbl.Sweep(time.Now())
		w = beginGroup(t, tr, 0)
		if next, off := w.Next(); next != 1 || off != 0 {
			t.Errorf("resume at %d/%d, want 1/0", next, off)
		}
		write(t, w, 1, "delta")
		w.Detach()
		time.Sleep(3 * time.Second)
		tbl.Sweep(time.Now())
		wantObjects(t, r, &ResetError{Reason: DropUpstreamLost}, "key", "delta")
		if _, err := tr.Group(0); !errors.Is(err, ErrOld) {
			t.Errorf("group 0 again: %v, want ErrOld", err)
		}
	})
}

// A reader that stops loses whole groups, memory stays bounded, and the others
// see everything.
func TestSlowReaderLosesWholeGroups(t *testing.T) {
	const groups, objects, size = 500, 4, 1000
	cfg := Config{MaxGroups: 8, MaxTrackBytes: 64 << 10, MaxGroupBytes: 32 << 10, MaxObjectBytes: 16 << 10}
	tbl := newTable(t, cfg)
	b, _ := announce(t, tbl, "room/a", 1)
	tr := pushTrack(t, b, "video")
	slow := subscribe(t, tbl, "room/a", "video", SubscribeOptions{})
	fast := subscribe(t, tbl, "room/a", "video", SubscribeOptions{})
	payload := string(bytes.Repeat([]byte{'x'}, size))
	var stuck *GroupReader
	for seq := range uint64(groups) {
		w := beginGroup(t, tr, seq)
		write(t, w, 0, payload)
		if seq == 0 {
			stuck = nextGroup(t, slow, 0)
			if _, ok, _ := stuck.TryNext(); !ok {
				t.Fatal("slow reader got nothing at all")
			}
		}
		for i := range uint64(objects - 1) {
			write(t, w, i+1, payload)
		}
		w.Close()
		r := nextGroup(t, fast, seq)
		if got, err := read(t, r); len(got) != objects || !errors.Is(err, io.EOF) {
			t.Fatalf("fast reader: group %d: %d objects, %v", seq, len(got), err)
		}
		r.Close()
		if st := tr.Status(); st.CachedBytes > cfg.MaxTrackBytes || st.CachedGroups > cfg.MaxGroups {
			t.Fatalf("cache holds %d bytes in %d groups", st.CachedBytes, st.CachedGroups)
		}
	}
	wantObjects(t, stuck, &ResetError{Reason: DropCacheGroups})
	stuck.Close()
	got := 0
	for {
		r, err := slow.TryNextGroup()
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			break
		}
		if o, end := read(t, r); len(o) != objects || !errors.Is(end, io.EOF) {
			t.Errorf("slow reader got part of group %d: %d objects, %v", r.Seq(), len(o), end)
		}
		r.Close()
		got++
	}
	if got != cfg.MaxGroups {
		t.Errorf("slow reader got %d groups after its pause, want the %d cached", got, cfg.MaxGroups)
	}
	if d := tr.Status().Dropped; d["too_late"] != groups-1-uint64(got) || d["cache_groups"] != 1 {
		t.Errorf("drops %v, want %d too_late and 1 cache_groups", d, groups-1-got)
	}
}

func TestResume(t *testing.T) {
	tbl := newTable(t, Config{})
	b, _ := announce(t, tbl, "room/a", 1)
	tr := pushTrack(t, b, "video")
	for seq := range uint64(4) {
		w := beginGroup(t, tr, seq)
		for i := range uint64(3) {
			write(t, w, i, fmt.Sprintf("%d.%d", seq, i))
		}
		w.Close()
	}
	s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{Start: Start{Resume: true, Group: 2, Object: 1}})
	wantObjects(t, nextGroup(t, s, 2), io.EOF, "2.1", "2.2")
	wantObjects(t, nextGroup(t, s, 3), io.EOF, "3.0", "3.1", "3.2")
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tbl := newTable(t, Config{Retention: 2 * time.Second})
		b, _ := announce(t, tbl, "room/a", 1)
		tr := pushTrack(t, b, "video")
		for seq := range uint64(10) {
			w := beginGroup(t, tr, seq)
			write(t, w, 0, "key")
			w.Close()
			time.Sleep(time.Second)
			tbl.Sweep(time.Now())
		}
		if st := tr.Status(); st.CachedGroups != 2 {
			t.Errorf("%d groups cached, want the newest and one more", st.CachedGroups)
		}
		time.Sleep(time.Hour)
		tbl.Sweep(time.Now())
		if st := tr.Status(); st.CachedGroups != 1 {
			t.Errorf("%d groups cached after an hour, want the newest", st.CachedGroups)
		}
	})
}

// A publisher that numbers its groups downwards must not grow anything.
func TestGroupsOutOfOrderAreBounded(t *testing.T) {
	tbl := newTable(t, Config{MaxGroups: 4})
	b, _ := announce(t, tbl, "room/a", 1)
	tr := pushTrack(t, b, "video")
	refused := 0
	for seq := uint64(1000); seq > 0; seq-- {
		w, err := tr.Group(seq)
		if errors.Is(err, ErrOld) {
			refused++
			continue
		}
		write(t, w, 0, "x")
		w.Close()
	}
	if refused != 996 || len(tr.groups) > 8 {
		t.Errorf("%d refused, %d kept; want 996 and at most 8", refused, len(tr.groups))
	}
}

// Readers and writers of all kinds at once, for the race detector.
func TestConcurrentReaders(t *testing.T) {
	const readers, groups, objects = 20, 60, 20
	tbl := newTable(t, Config{MaxGroups: groups + 1})
	b, _ := announce(t, tbl, "room/a", 1)
	tr := pushTrack(t, b, "video")
	first := beginGroup(t, tr, 0)
	write(t, first, 0, "start")
	first.Close()
	var wg sync.WaitGroup
	for range readers {
		s := subscribe(t, tbl, "room/a", "video", SubscribeOptions{})
		wg.Go(func() {
			defer s.Close()
			total := 0
			for {
				r, err := s.NextGroup(t.Context())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Error(err)
					return
				}
				for {
					c, err := r.Next(t.Context())
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						t.Error(err)
						return
					}
					if c.Last {
						total++
					}
				}
				r.Close()
			}
			if want := 1 + groups*objects; total != want {
				t.Errorf("reader got %d objects, want %d", total, want)
			}
		})
	}
	for seq := range uint64(groups) {
		w := beginGroup(t, tr, seq+1)
		for i := range uint64(objects) {
			if err := w.Begin(i, ObjectHeader{}, -1); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := w.Append([]byte("piece")); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.End(); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		tbl.Sweep(time.Now())
	}
	tr.Close(nil)
	wg.Wait()
}

func TestAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tbl := newTable(t, Config{})
		b, _ := announce(t, tbl, "room/a", 1)
		tr := pushTrack(t, b, "video")
		now := time.Now()
		for i := range 100 {
			tr.ObserveAge(ObjectHeader{Ingress: now.Add(-time.Duration(i+1) * time.Millisecond).UnixMicro()}, now)
		}
		tr.ObserveAge(ObjectHeader{}, now)
		tr.ObserveAge(ObjectHeader{Ingress: 1, IngressErr: -1}, now)
		age := tr.Status().Age
		if age.Count != 100 || age.Unsynchronised != 2 {
			t.Errorf("%+v", age)
		}
		for _, q := range []struct{ got, want float64 }{{age.P50Ms, 50}, {age.P95Ms, 95}, {age.P99Ms, 99}} {
			if q.got < q.want*0.93 || q.got > q.want*1.07 {
				t.Errorf("quantile %v ms, want %v within 7 percent", q.got, q.want)
			}
		}
		for range 3 {
			tbl.Sweep(time.Now())
			time.Sleep(ageWindow)
		}
		if age := tr.Status().Age; age.Count != 0 {
			t.Errorf("after two windows still %d ages", age.Count)
		}
	})
}
