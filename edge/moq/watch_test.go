package moq

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go"

	"trellis/edge/moq/moqclient"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// A viewer that joins in the middle of a group gets it from its key frame, at
// once, out of the cache.
func TestLateJoiner(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.camera(e.client(4, "/"), "room/a")
		first := e.client(5, "/")
		e.announced(first, "", "room/a")
		early := e.subscribe(first, "room/a", "video/hd", moqlite.Delivery{})
		var frames [][]byte
		for i := range 12 {
			payload := c.frame(i%8 == 0, 3000)
			if i >= 8 {
				frames = append(frames, payload)
			}
			e.next(early)
			e.sleep(40 * time.Millisecond)
		}
		late := e.client(5, "/")
		start := time.Now()
		sub := e.subscribe(late, "room/a", "video/hd", moqlite.Delivery{})
		for i, want := range frames {
			got := e.next(sub)
			if got.Group != 1 || got.Index != uint64(i) || !bytes.Equal(got.Payload, want) {
				t.Errorf("object %d is %d/%d", i, got.Group, got.Index)
			}
		}
		// TRACK, SUBSCRIBE, and the way of the group back with the answer.
		if took, most := time.Since(start), 4*oneWay+5*time.Millisecond; took > most {
			t.Errorf("the cached group took %v, want at most %v", took, most)
		}
		if n, _ := c.video.Subscribers(); n != 1 {
			t.Errorf("%d subscriptions at the publisher, want one for all viewers", n)
		}
	})
}

// One who does not read loses groups; the others lose nothing, and the publisher
// is not slowed.
func TestSlowReader(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.camera(e.client(5, "/"), "room/a")
		good := e.client(5, "/")
		e.announced(good, "", "room/a")
		sub := e.subscribe(good, "room/a", "video/hd", moqlite.Delivery{MaxLatency: time.Second})
		// Windows so small that a single frame fills them, and nothing is read.
		slow := e.raw(5, &quic.Config{
			InitialStreamReceiveWindow: 8 << 10, MaxStreamReceiveWindow: 8 << 10,
			InitialConnectionReceiveWindow: 32 << 10, MaxConnectionReceiveWindow: 32 << 10,
			MaxIncomingUniStreams: 10, KeepAlivePeriod: time.Second,
		})
		m := moqlite.Subscribe{Broadcast: "room/a", Track: "video/hd", Delivery: moqlite.Delivery{MaxLatency: 500 * time.Millisecond}}
		slow.ask(moqlite.AppendStream(nil, moqlite.StreamSubscribe, m, 5), false)
		for i := range 400 {
			sent := time.Now()
			want := c.frame(i%5 == 0, 10_000)
			got := e.next(sub)
			if !bytes.Equal(got.Payload, want) {
				t.Fatalf("frame %d: the good viewer got %d/%d", i, got.Group, got.Index)
			}
			if took := time.Since(sent); i > 50 && took > 2*oneWay+10*time.Millisecond {
				t.Fatalf("frame %d took %v", i, took)
			}
			e.sleep(40*time.Millisecond - time.Since(sent))
		}
		dropped := e.metric("groups_dropped_total", "expired")
		if dropped < 60 || dropped > 80 {
			t.Errorf("%v of 80 groups of the slow viewer expired", dropped)
		}
		if slow.wt.Context().Err() != nil {
			t.Errorf("the slow viewer was thrown out\n%s", e.log)
		}
	})
}

// Whoever announces a name later holds it. Viewers of the one before are told,
// and find the other under the same name.
func TestReplacedPublisher(t *testing.T) {
	for _, v := range moqlite.Versions() {
		t.Run(v.String(), func(t *testing.T) {
			run(t, nil, func(e *env) {
				viewer := e.client(v, "/")
				announcements, err := viewer.Announcements(e.ctx, "room")
				if err != nil {
					t.Fatal(err)
				}
				next := func(active bool) moqclient.Announcement {
					event, err := announcements.Next(e.timeout(2 * time.Second))
					if err != nil || event.Active != active || event.Broadcast != "room/a" {
						t.Fatalf("announced %+v, %v; want active %v", event, err, active)
					}
					return event
				}
				c1 := e.camera(e.client(4, "/"), "room/a")
				was := next(true)
				sub := e.subscribe(viewer, "room/a", "video/hd", moqlite.Delivery{})
				c1.frame(true, 100)
				e.next(sub)

				c2 := e.camera(e.client(5, "/"), "room/a")
				if v < moqlite.Version05 {
					next(false)
				}
				if is := next(true); v > moqlite.Version03 && is.Hops[0] == was.Hops[0] {
					t.Errorf("the first hop is %d before and after", is.Hops[0])
				}
				_, err = sub.Next(e.timeout(2 * time.Second))
				wantCode(t, err, wire.CodeReplaced)
				sub = e.subscribe(viewer, "room/a", "video/hd", moqlite.Delivery{})
				want := c2.frame(true, 200)
				if got := e.next(sub); !bytes.Equal(got.Payload, want) {
					t.Errorf("got %d bytes after the replacement", len(got.Payload))
				}

				// The one that was replaced cannot take the name away by leaving.
				c1.broadcast.Close()
				c2.frame(false, 100)
				e.next(sub)
				c2.broadcast.Close()
				next(false)
			})
		})
	}
}

// A publisher that vanishes without a word is gone within ten seconds.
func TestVanishedPublisher(t *testing.T) {
	run(t, nil, func(e *env) {
		publisher := e.raw(5, nil)
		publisher.publish("room/a", make(chan moqlite.Subscribe, 1))
		viewer := e.client(5, "/")
		announcements, err := viewer.Announcements(e.ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := announcements.Wait(e.timeout(time.Second), "room/a"); err != nil {
			t.Fatal(err)
		}
		// The network goes away below it.
		e.cut(publisher)
		start := time.Now()
		event, err := announcements.Next(e.timeout(20 * time.Second))
		if err != nil || event.Active {
			t.Fatalf("announced %+v, %v", event, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("noticed after %v, want 10 s", took)
		}
	})
}

// No client is told of its own broadcasts, nor of what came through it.
func TestAnnouncementsExclude(t *testing.T) {
	run(t, nil, func(e *env) {
		s := e.client(5, "/")
		e.camera(s, "room/mine")
		e.camera(e.client(4, "/"), "room/theirs")
		e.announced(e.client(5, "/"), "", "room/mine")
		a, err := s.Announcements(e.ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		if a.Initial() != 1 {
			t.Errorf("%d announcements at first, want 1", a.Initial())
		}
		if event, err := a.Next(e.timeout(time.Second)); err != nil || event.Broadcast != "room/theirs" {
			t.Errorf("announced %+v, %v", event, err)
		}
		if event, err := a.Next(e.timeout(time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("announced %+v, %v", event, err)
		}
	})
}

// A session's names are relative to the path of its URL.
func TestRoot(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.camera(e.client(4, "/room"), "alice")
		inside := e.client(5, "/room/")
		if event := e.announced(inside, "alice", "alice"); len(event.Hops) != 2 {
			t.Errorf("hops %v", event.Hops)
		}
		sub := e.subscribe(inside, "alice", "video/hd", moqlite.Delivery{})
		c.frame(true, 10)
		e.next(sub)
		e.announced(e.client(5, "/"), "room", "room/alice")
		outside := e.client(5, "/other")
		_, err := outside.Subscribe(e.ctx, "alice", "video/hd", moqlite.Delivery{})
		wantCode(t, err, wire.CodeNotFound)
	})
}

// START and END tell a 05 viewer where a track begins and ends, and a range is
// kept to.
func TestRange(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.camera(e.client(5, "/"), "room/a")
		first := e.client(5, "/")
		e.announced(first, "", "room/a")
		sub := e.subscribe(first, "room/a", "video/hd", moqlite.Delivery{MaxLatency: time.Minute})
		for range 6 {
			c.frame(true, 100)
			e.next(sub)
		}
		ranged := e.subscribe(first, "room/a", "video/hd", moqlite.Delivery{
			MaxLatency: time.Minute, Ordered: true, Start: moqlite.BoundAt(1), End: moqlite.BoundAt(3),
		})
		var got []uint64
		for {
			object, err := ranged.Next(e.timeout(2 * time.Second))
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, object.Group)
		}
		slices.Sort(got) // streams that arrive in one instant are accepted in any order
		if diff := cmp.Diff([]uint64{1, 2, 3}, got); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}

		v := moqlite.Version05
		raw := e.raw(v, nil)
		m := moqlite.Subscribe{Broadcast: "room/a", Track: "video/hd"}
		in := moqlite.NewReader(raw.ask(moqlite.AppendStream(nil, moqlite.StreamSubscribe, m, v), false))
		if r, err := in.Response(v); err != nil || r != (moqlite.SubscribeStart{Group: 5}) {
			t.Errorf("first response %+v, %v", r, err)
		}
		c.broadcast.Close()
		if r, err := in.Response(v); err != nil || r != (moqlite.SubscribeEnd{Group: 6}) {
			t.Errorf("last response %+v, %v", r, err)
		}
		if _, err := in.Varint(); !errors.Is(err, io.EOF) {
			t.Errorf("then %v, want the end", err)
		}
	})
}

// FETCH answers from the cache.
func TestFetch(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.camera(e.client(5, "/"), "room/a")
		s := e.client(5, "/")
		e.announced(s, "", "room/a")
		sub := e.subscribe(s, "room/a", "video/hd", moqlite.Delivery{MaxLatency: time.Minute})
		var want [][]byte
		for i := range 9 {
			payload := c.frame(i%3 == 0, 3000)
			e.next(sub)
			if i/3 == 1 {
				want = append(want, payload)
			}
		}
		got, err := s.Fetch(e.ctx, "room/a", "video/hd", 1)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d objects, %v", len(got), err)
		}
		for i := range want {
			if !bytes.Equal(got[i].Payload, want[i]) || got[i].Time != c.pts(3+i) {
				t.Errorf("object %d: time %d, %d bytes", i, got[i].Time, len(got[i].Payload))
			}
		}
		_, err = s.Fetch(e.ctx, "room/a", "video/hd", 77)
		wantCode(t, err, wire.CodeNotFound)
	})
}

// A group of one frame may come as a datagram, once.
func TestDatagrams(t *testing.T) {
	run(t, nil, func(e *env) {
		publisher := e.client(5, "/")
		broadcast, err := publisher.Publish("room/a")
		if err != nil {
			t.Fatal(err)
		}
		audio, err := broadcast.AddTrack("audio/data", moqlite.TrackInfo{Timescale: 48000})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []moqlite.Version{5, 4} {
			viewer := e.client(v, "/")
			e.announced(viewer, "", "room/a")
			sub := e.subscribe(viewer, "room/a", "audio/data", moqlite.Delivery{})
			e.sleep(100 * time.Millisecond)
			if err := audio.WriteDatagram(960, []byte{0, 'o', 'p', 'u', 's', byte(v)}); err != nil {
				t.Fatal(err)
			}
			got := e.next(sub)
			if v == 4 {
				got = e.next(sub) // the first was still in the cache
			}
			if !bytes.Equal(got.Payload, []byte{0, 'o', 'p', 'u', 's', byte(v)}) || v == 5 && got.Time != 960 {
				t.Errorf("%v: %+v", v, got)
			}
			sub.Close()
		}
		if err := audio.WriteDatagram(0, make([]byte, moqlite.MaxDatagram)); err == nil {
			t.Error("a datagram above the limit was sent")
		}
	})
}

// Objects of the node's own edges, whose size is not known while they are being
// written, arrive whole.
func TestUnsizedObjects(t *testing.T) {
	run(t, nil, func(e *env) {
		b, err := e.table.Announce(relay.Announcement{Name: "room/a", PublisherID: 7, Origin: "node-1", Local: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := b.PushTrack("video/hd", wire.TrackInfo{Kind: wire.KindVideo, Timescale: 1_000_000})
		if err != nil {
			t.Fatal(err)
		}
		viewer := e.client(5, "/")
		sub := e.subscribe(viewer, "room/a", "video/hd", moqlite.Delivery{})
		group, err := tr.Group(0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(3) {
			h := relay.ObjectHeader{Time: int64(i) * 40_000, Ingress: time.Now().UnixMicro()}
			if err := group.Begin(i, h, -1); err != nil {
				t.Fatal(err)
			}
			for _, piece := range []string{"one ", "two ", "three"} {
				if err := group.Append([]byte(piece)); err != nil {
					t.Fatal(err)
				}
				e.sleep(5 * time.Millisecond)
			}
			if err := group.End(); err != nil {
				t.Fatal(err)
			}
			if got := e.next(sub); string(got.Payload) != "one two three" || got.Time != int64(i)*40_000 {
				t.Errorf("object %d: %+v", i, got)
			}
		}
		group.Abort(relay.DropIncomplete)
		_, err = sub.NextGroup(e.timeout(time.Second))
		if err == nil {
			t.Error("a group after the last")
		}
		age := tr.Status().Age
		if age.Count != 3 || age.P50Ms < 14 || age.P50Ms > 16 {
			t.Errorf("ages %+v, want three of 15 ms", age)
		}
	})
}

// PROBE reports what the connection can do, and its round trip.
func TestProbe(t *testing.T) {
	run(t, nil, func(e *env) {
		for _, v := range moqlite.Versions() {
			s := e.client(v, "/")
			p, err := s.Probe(e.ctx)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Next(e.timeout(time.Second))
			if err != nil || got.BitrateBps == 0 {
				t.Errorf("%v: report %+v, %v", v, got, err)
			}
			if v >= moqlite.Version04 && (got.RTT < 2*oneWay || got.RTT > 2*oneWay+5*time.Millisecond) {
				t.Errorf("%v: round trip %v, want %v", v, got.RTT, 2*oneWay)
			}
			// Nothing changes: the next comes after ten seconds, not before.
			start := time.Now()
			if _, err := p.Next(e.timeout(15 * time.Second)); err != nil || time.Since(start) < 5*time.Second {
				t.Errorf("%v: next report after %v, %v", v, time.Since(start), err)
			}
			p.Close()
		}
	})
}

// A viewer has so many subscriptions, and the others go on.
func TestSubscriptionLimit(t *testing.T) {
	run(t, func(c *Config) { c.MaxSubscriptions = 3 }, func(e *env) {
		c := e.camera(e.client(5, "/"), "room/a")
		s := e.client(5, "/")
		e.announced(s, "", "room/a")
		var subs []*moqclient.Subscription
		for range 3 {
			subs = append(subs, e.subscribe(s, "room/a", "video/hd", moqlite.Delivery{}))
		}
		extra := e.subscribe(s, "room/a", "video/hd", moqlite.Delivery{})
		_, err := extra.Next(e.timeout(time.Second))
		wantCode(t, err, wire.CodeTooMany)
		want := c.frame(true, 10)
		for _, sub := range subs {
			if got := e.next(sub); !bytes.Equal(got.Payload, want) {
				t.Errorf("got %q", got.Payload)
			}
		}
		subs[0].Close()
		e.sleep(100 * time.Millisecond)
		again := e.subscribe(s, "room/a", "video/hd", moqlite.Delivery{})
		e.next(again)
		if got := e.metric("subscriptions", ""); got != 3 {
			t.Errorf("%v subscriptions counted, want 3", got)
		}
	})
}
