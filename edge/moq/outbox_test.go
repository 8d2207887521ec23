package moq

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go"

	"trellis/edge/moq/moqclient"
	"trellis/wire"
	"trellis/wire/moqlite"
)

func TestStale(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.Unix(1000, 0).Add(d) }
	newest := mark{seq: 9, at: at(3 * time.Second), time: 270_000, timed: true}
	for _, tc := range []struct {
		what string
		g    mark
		want bool
	}{
		{"the newest itself", newest, false},
		{"a newer one", mark{seq: 10, at: at(0)}, false},
		{"young by both clocks", mark{seq: 8, at: at(2900 * time.Millisecond), time: 260_000, timed: true}, false},
		{"old by arrival", mark{seq: 8, at: at(time.Second), time: 260_000, timed: true}, true},
		{"old by its time", mark{seq: 8, at: at(2900 * time.Millisecond), time: 90_000, timed: true}, true},
		{"no time known", mark{seq: 8, at: at(2900 * time.Millisecond)}, false},
		{"its time is later", mark{seq: 8, at: at(3 * time.Second), time: math.MaxInt32, timed: true}, false},
	} {
		if got := tc.g.stale(newest, 90_000); got != tc.want {
			t.Errorf("%s: stale %v, want %v", tc.what, got, tc.want)
		}
	}
	if got := spanOf(2*moqlite.MaxTime, 1); got <= 0 {
		t.Errorf("the longest span overflows to %v", got)
	}
}

func TestUrgency(t *testing.T) {
	for _, tc := range []struct {
		rank             int
		current, ordered bool
		want             urgency
	}{
		{0, true, false, 1},
		{0, false, false, 2},
		{0, true, true, 2},
		{0, false, true, 1},
		{1, true, false, 3},
		{2, false, false, 6},
		{50, true, false, 5},
		{50, false, false, 6},
	} {
		if got := urgencyOf(tc.rank, tc.current, tc.ordered); got != tc.want {
			t.Errorf("rank %d, current %v, ordered %v: %d, want %d", tc.rank, tc.current, tc.ordered, got, tc.want)
		}
	}
}

func TestDropRanges(t *testing.T) {
	var d dropRanges
	add := func(seq uint64, code wire.Code) {
		d.add(moqlite.SubscribeDrop{First: seq, Last: seq, Code: code})
	}
	add(4, wire.CodeOld)
	add(5, wire.CodeOld)
	add(6, wire.CodeDropped)
	add(8, wire.CodeDropped)
	want := []moqlite.SubscribeDrop{{First: 4, Last: 5, Code: wire.CodeOld}, {First: 6, Last: 6, Code: wire.CodeDropped}, {First: 8, Last: 8, Code: wire.CodeDropped}}
	if diff := cmp.Diff(want, d.take()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range uint64(1000) {
		add(2*i, wire.CodeOld)
	}
	if got := len(d.take()); got != maxDropRanges {
		t.Errorf("%d ranges kept, want %d", got, maxDropRanges)
	}
}

func TestOrderOfGroups(t *testing.T) {
	audio, video := &view{rank: 0}, &view{rank: 1}
	inOrder := &view{rank: 1, want: moqlite.Delivery{Ordered: true}}
	waiting := []*outGroup{{view: video, seq: 7}, {view: audio, seq: 3}, {view: video, seq: 6}, {view: audio, seq: 4}}
	order := func(scarce bool, groups []*outGroup) []uint64 {
		sorted := slices.SortedStableFunc(slices.Values(groups), func(a, b *outGroup) int { return a.before(b, scarce) })
		var seqs []uint64
		for _, g := range sorted {
			seqs = append(seqs, g.seq)
		}
		return seqs
	}
	if diff := cmp.Diff([]uint64{3, 4, 6, 7}, order(false, waiting)); diff != "" {
		t.Errorf("with streams to spare: %s", diff)
	}
	if diff := cmp.Diff([]uint64{4, 3, 7, 6}, order(true, waiting)); diff != "" {
		t.Errorf("where streams are scarce: %s", diff)
	}
	if diff := cmp.Diff([]uint64{1, 2}, order(true, []*outGroup{{view: inOrder, seq: 2}, {view: inOrder, seq: 1}})); diff != "" {
		t.Errorf("in order: %s", diff)
	}
	if worst := worstOf(waiting); worst.view != video || worst.seq != 6 {
		t.Errorf("the worst is %+v", worst)
	}
	if !waiting[1].outranks(waiting[0]) || waiting[0].outranks(waiting[1]) || !waiting[0].outranks(waiting[2]) {
		t.Error("wrong order of rank")
	}
}

// pair publishes audio and video, and has a viewer of both that allows only so
// many streams.
type pair struct {
	video, audio *moqclient.TrackWriter
	viewer       *rawClient
	groups       chan moqlite.Group // those that the viewer gets
}

func (e *env) pair(streams int64) *pair {
	e.t.Helper()
	publisher := e.client(5, "/")
	b, err := publisher.Publish("room/a")
	if err != nil {
		e.t.Fatal(err)
	}
	p := &pair{groups: make(chan moqlite.Group, 1000)}
	if p.video, err = b.AddTrack("video/hd", moqlite.TrackInfo{}); err != nil {
		e.t.Fatal(err)
	}
	if p.audio, err = b.AddTrack("audio/data", moqlite.TrackInfo{}); err != nil {
		e.t.Fatal(err)
	}
	e.announced(e.client(5, "/"), "", "room/a")
	// Two more streams are HTTP/3's control stream and the node's SETUP.
	p.viewer = e.raw(5, &quic.Config{MaxIncomingUniStreams: 2 + streams, KeepAlivePeriod: time.Second})
	e.sleep(200 * time.Millisecond)
	return p
}

func (p *pair) subscribe(id uint64, track string, want moqlite.Delivery) {
	m := moqlite.Subscribe{ID: id, Broadcast: "room/a", Track: track, Delivery: want}
	p.viewer.ask(moqlite.AppendStream(nil, moqlite.StreamSubscribe, m, 5), false)
	p.viewer.e.sleep(200 * time.Millisecond)
}

// accept reads the streams that come, each whole, one after another.
func (p *pair) accept() {
	p.viewer.e.tasks.Go(func() {
		for {
			st, err := p.viewer.wt.AcceptUniStream(p.viewer.e.ctx)
			if err != nil {
				return
			}
			in := moqlite.NewReader(st)
			if typ, err := in.Varint(); err != nil || moqlite.UniStreamType(typ) != moqlite.UniStreamGroup {
				_, _ = io.Copy(io.Discard, st)
				continue
			}
			body, err := in.Message()
			if err != nil {
				continue
			}
			g, err := moqlite.ParseGroup(body, 5)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, in); err == nil {
				p.groups <- g
			}
		}
	})
}

func (e *env) write(track *moqclient.TrackWriter, size int) {
	e.t.Helper()
	g, err := track.NewGroup()
	if err != nil {
		e.t.Fatal(err)
	}
	if err := g.Write(0, make([]byte, size)); err != nil {
		e.t.Fatal(err)
	}
	g.Close()
}

// all returns the groups that came when no more do.
func (p *pair) all() (got []moqlite.Group) {
	for {
		select {
		case g := <-p.groups:
			got = append(got, g)
		case <-p.viewer.e.timeout(3 * time.Second).Done():
			return got
		}
	}
}

// Where the client allows few streams, the important track gets them, and of each
// track the newest group.
func TestScarceStreams(t *testing.T) {
	run(t, nil, func(e *env) {
		p := e.pair(1)
		p.subscribe(0, "video/hd", moqlite.Delivery{Priority: 60, MaxLatency: time.Minute})
		p.subscribe(1, "audio/data", moqlite.Delivery{Priority: 80, MaxLatency: time.Minute})
		// The first takes the one stream. The others compete for it.
		for range 6 {
			e.write(p.video, 100)
			e.sleep(50 * time.Millisecond)
		}
		for range 5 {
			e.write(p.audio, 100)
			e.sleep(50 * time.Millisecond)
		}
		p.accept()
		got := p.all()
		var want []moqlite.Group
		want = append(want, moqlite.Group{SubscribeID: 0, Sequence: 0})
		for seq := range uint64(5) {
			want = append(want, moqlite.Group{SubscribeID: 1, Sequence: 4 - seq})
		}
		for seq := range uint64(5) {
			want = append(want, moqlite.Group{SubscribeID: 0, Sequence: 5 - seq})
		}
		if len(got) != len(want) {
			t.Fatalf("got %+v, want %+v\n%s", got, want, e.log)
		}
		for i, g := range want {
			// SETUP gave its stream back, so two are on their way at once.
			if at := slices.Index(got, g); at < i-1 || at > i+1 {
				t.Errorf("%+v came as number %d, want %d", g, at, i)
			}
		}
	})
}

// The queue is bounded: the oldest of the least important goes.
func TestFullQueue(t *testing.T) {
	run(t, func(c *Config) { c.MaxWaiting = 4 }, func(e *env) {
		p := e.pair(1)
		p.subscribe(0, "video/hd", moqlite.Delivery{Priority: 60, MaxLatency: time.Minute})
		p.subscribe(1, "audio/data", moqlite.Delivery{Priority: 80, MaxLatency: time.Minute})
		e.write(p.audio, 10)
		e.sleep(50 * time.Millisecond)
		for range 20 {
			e.write(p.video, 100)
			e.sleep(10 * time.Millisecond)
		}
		e.write(p.audio, 10)
		e.sleep(time.Second)
		if got := e.metric("groups_dropped_total", "stream_budget"); got < 16 || got > 18 {
			t.Errorf("%v groups dropped for want of streams, want 17 or so", got)
		}
		p.accept()
		got := p.all()
		for _, g := range []moqlite.Group{{SubscribeID: 1, Sequence: 1}, {SubscribeID: 0, Sequence: 19}} {
			if !slices.Contains(got, g) {
				t.Errorf("got %+v, want the newest of both", got)
			}
		}
	})
}

// "Only the newest matters" drops what waits behind, and says so.
func TestExpiryIsTold(t *testing.T) {
	run(t, nil, func(e *env) {
		p := e.pair(1)
		const v = moqlite.Version05
		m := moqlite.Subscribe{Broadcast: "room/a", Track: "video/hd"}
		in := moqlite.NewReader(p.viewer.ask(moqlite.AppendStream(nil, moqlite.StreamSubscribe, m, v), false))
		e.sleep(200 * time.Millisecond)
		for range 6 {
			e.write(p.video, 100)
			e.sleep(500 * time.Millisecond)
		}
		p.accept()
		e.write(p.video, 100)
		if r, err := in.Response(v); err != nil || r != (moqlite.SubscribeStart{Group: 0}) {
			t.Errorf("first response %+v, %v", r, err)
		}
		r, err := in.Response(v)
		if drop, ok := r.(moqlite.SubscribeDrop); err != nil || !ok || drop.Code != wire.CodeOld || drop.First > 1 {
			t.Errorf("second response %+v, %v; want a DROP from the first on", r, err)
		}
		if got := e.metric("groups_dropped_total", "expired"); got < 4 {
			t.Errorf("%v groups expired, want 4 or 5", got)
		}
	})
}

// A viewer may change its mind about what is important.
func TestSubscribeUpdate(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.camera(e.client(5, "/"), "room/a")
		s := e.client(5, "/")
		e.announced(s, "", "room/a")
		sub := e.subscribe(s, "room/a", "video/hd", moqlite.Delivery{Priority: 10})
		other := e.subscribe(s, "room/a", "catalog.json", moqlite.Delivery{Priority: 20})
		e.next(other)
		if err := sub.Update(moqlite.Delivery{Priority: 200, MaxLatency: time.Second}); err != nil {
			t.Fatal(err)
		}
		e.sleep(100 * time.Millisecond)
		want := c.frame(true, 5000)
		if got := e.next(sub); !bytes.Equal(got.Payload, want) {
			t.Error("the wrong object after the update")
		}
		// Nonsense in its place ends the subscription, not the session.
		raw := e.raw(5, nil)
		m := moqlite.Subscribe{Broadcast: "room/a", Track: "video/hd"}
		b := moqlite.AppendStream(nil, moqlite.StreamSubscribe, m, 5)
		raw.wantReset("a bad update", raw.ask(append(b, 5, 0, 9, 0, 0, 0), false), wire.CodeDecode)
	})
}

// One who does not read at all loses its groups after StallTimeout, and only then
// its budget is free again.
func TestStalledViewer(t *testing.T) {
	run(t, func(c *Config) { c.MaxSending = 2 }, func(e *env) {
		c := e.camera(e.client(5, "/"), "room/a")
		good := e.client(5, "/")
		e.announced(good, "", "room/a")
		sub := e.subscribe(good, "room/a", "video/hd", moqlite.Delivery{MaxLatency: time.Minute})
		slow := e.raw(5, &quic.Config{
			InitialStreamReceiveWindow: 4 << 10, MaxStreamReceiveWindow: 4 << 10, KeepAlivePeriod: time.Second,
		})
		m := moqlite.Subscribe{Broadcast: "room/a", Track: "video/hd", Delivery: moqlite.Delivery{MaxLatency: time.Minute, Ordered: true}}
		slow.ask(moqlite.AppendStream(nil, moqlite.StreamSubscribe, m, 5), false)
		e.sleep(100 * time.Millisecond)
		for range 30 {
			c.frame(true, 20_000)
			e.next(sub)
			e.sleep(time.Second)
		}
		if got := e.metric("groups_dropped_total", "stalled_viewer"); got < 3 || got > 6 {
			t.Errorf("%v groups given up as stalled, want two in each ten seconds", got)
		}
	})
}

// A viewer that resets a group stream loses that group and no other.
func TestRefusedGroup(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.camera(e.client(5, "/"), "room/a")
		s := e.client(5, "/")
		e.announced(s, "", "room/a")
		sub := e.subscribe(s, "room/a", "video/hd", moqlite.Delivery{})
		c.frame(true, 100)
		g, err := sub.NextGroup(e.timeout(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		g.Close()
		e.sleep(100 * time.Millisecond)
		c.frame(false, 100)
		e.sleep(100 * time.Millisecond)
		if got := e.metric("groups_dropped_total", "refused_by_viewer"); got != 1 {
			t.Errorf("%v groups refused, want 1", got)
		}
		want := c.frame(true, 100)
		next, err := sub.NextGroup(e.timeout(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := next.Next(e.timeout(time.Second)); err != nil || !bytes.Equal(got.Payload, want) {
			t.Errorf("the next group: %v", err)
		}
	})
}

// A group that the publisher gives up is given up at the viewer, too.
func TestAbortedGroup(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.camera(e.client(4, "/"), "room/a")
		s := e.client(5, "/")
		e.announced(s, "", "room/a")
		sub := e.subscribe(s, "room/a", "video/hd", moqlite.Delivery{})
		c.frame(true, 100)
		g, err := sub.NextGroup(e.timeout(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Next(e.timeout(time.Second)); err != nil {
			t.Fatal(err)
		}
		c.group.Abort()
		_, err = g.Next(e.timeout(time.Second))
		wantCode(t, err, wire.CodeDropped)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("the viewer was not told")
		}
	})
}
