package relay

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"trellis/wire"
)

// upstream is a publisher that remembers which tracks were opened.
type upstream struct {
	mu     sync.Mutex
	opened []*Track
	keys   int
}

func (u *upstream) OpenTrack(t *Track) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.opened = append(u.opened, t)
}

func (u *upstream) RequestKeyframe(*Track) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.keys++
}

var videoInfo = wire.TrackInfo{Kind: wire.KindVideo, Priority: wire.PriorityVideo, Timescale: wire.MicrosecondTimescale}

func newTable(tb testing.TB, cfg Config) *Table {
	tb.Helper()
	tbl, err := NewTable(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return tbl
}

func announce(tb testing.TB, tbl *Table, name wire.Broadcast, id uint64) (*Broadcast, *upstream) {
	tb.Helper()
	u := &upstream{}
	b, err := tbl.Announce(Announcement{Name: name, PublisherID: id, Origin: "n1", Local: true}, u)
	if err != nil {
		tb.Fatal(err)
	}
	return b, u
}

func pushTrack(tb testing.TB, b *Broadcast, name string) *Track {
	tb.Helper()
	tr, err := b.PushTrack(name, videoInfo)
	if err != nil {
		tb.Fatal(err)
	}
	return tr
}

func subscribe(tb testing.TB, tbl *Table, b wire.Broadcast, track string, opt SubscribeOptions) *Subscription {
	tb.Helper()
	s, err := tbl.Subscribe(wire.TrackName{Broadcast: b, Track: track}, opt)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func beginGroup(tb testing.TB, tr *Track, seq uint64) *Group {
	tb.Helper()
	g, err := tr.Group(seq)
	if err != nil {
		tb.Fatalf("group %d: %v", seq, err)
	}
	return g
}

func write(tb testing.TB, g *Group, index uint64, payload string) {
	tb.Helper()
	if err := g.Write(index, ObjectHeader{Time: int64(index)}, []byte(payload)); err != nil {
		tb.Fatalf("write %d/%d: %v", g.Seq(), index, err)
	}
}

// read takes the rest of a group without waiting and returns its objects.
func read(tb testing.TB, r *GroupReader) (objects []string, end error) {
	tb.Helper()
	var cur []byte
	for {
		c, ok, err := r.TryNext()
		if err != nil {
			return objects, err
		}
		if !ok {
			if len(cur) > 0 {
				objects = append(objects, string(cur)+"…")
			}
			return objects, nil
		}
		if c.First != (c.Offset == 0 && len(cur) == 0) && c.Object == 0 {
			tb.Errorf("chunk of object %d at %d: First is %v", c.Object, c.Offset, c.First)
		}
		cur = append(cur, c.Payload...)
		if c.Last {
			objects, cur = append(objects, string(cur)), nil
		}
	}
}

func wantObjects(tb testing.TB, r *GroupReader, wantEnd error, want ...string) {
	tb.Helper()
	got, end := read(tb, r)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		tb.Errorf("group %d: objects %q, want %q", r.Seq(), got, want)
	}
	if want, ok := errors.AsType[*ResetError](wantEnd); ok {
		if got, ok := errors.AsType[*ResetError](end); !ok || got.Reason != want.Reason {
			tb.Errorf("group %d ends with %v, want %v", r.Seq(), end, wantEnd)
		}
		return
	}
	if !errors.Is(end, wantEnd) {
		tb.Errorf("group %d ends with %v, want %v", r.Seq(), end, wantEnd)
	}
}

func nextGroup(tb testing.TB, s *Subscription, wantSeq uint64) *GroupReader {
	tb.Helper()
	r, err := s.TryNextGroup()
	if err != nil || r == nil {
		tb.Fatalf("next group: %v, %v; want group %d", r, err, wantSeq)
	}
	if r.Seq() != wantSeq {
		tb.Fatalf("next group is %d, want %d", r.Seq(), wantSeq)
	}
	return r
}
