package backbone

import (
	"testing"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/peer"
)

// tracks returns a track to take groups from.
func newTestTrack(t *testing.T) *relay.Track {
	t.Helper()
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := b.PushTrack("video", wire.TrackInfo{Kind: wire.KindVideo, Timescale: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestPosition(t *testing.T) {
	tr := newTestTrack(t)
	group := func(seq uint64, objects int) *relay.Group {
		g, err := tr.Group(seq)
		if err != nil {
			t.Fatal(err)
		}
		for i := range objects {
			if err := g.Write(uint64(i), relay.ObjectHeader{}, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		return g
	}
	p := newPosition()
	want := func(what string, s peer.Start) {
		t.Helper()
		if got := p.resume(wire.KindVideo, time.Now()); got != s {
			t.Errorf("%s: %+v, want %+v", what, got, s)
		}
	}
	want("nothing yet", peer.Start{})
	p.begin(group(100, 3))
	want("in a group", peer.Start{Resume: true, Group: 100, Object: 3})
	p.begin(group(101, 1))
	want("the next has begun", peer.Start{Resume: true, Group: 100, Object: 3})
	p.finish(101)
	want("the next is done first", peer.Start{Resume: true, Group: 100, Object: 3})
	p.finish(100)
	want("both done", peer.Start{Resume: true, Group: 102})
	p.finish(103) // 102 has not come
	want("one is missing", peer.Start{Resume: true, Group: 102})
	for seq := uint64(104); seq < 104+maxAhead; seq++ {
		p.finish(seq)
	}
	want("too far behind", peer.Start{Resume: true, Group: 104 + maxAhead})
	if got := p.resume(wire.KindVideo, time.Now().Add(time.Minute)); got != (peer.Start{}) {
		t.Errorf("a minute later: %+v, want the newest", got)
	}
	if got := p.resume(wire.KindData, time.Now().Add(time.Minute)); !got.Resume {
		t.Errorf("data a minute later: %+v, want to go on", got)
	}
	if len(p.done) > 0 || len(p.open) > 0 {
		t.Errorf("left over: %v, %v", p.done, p.open)
	}
}
