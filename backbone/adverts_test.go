package backbone

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/wire"
	"trellis/wire/peer"
)

func broadcastValue(epoch uint64) []byte {
	return peer.BroadcastValue{Epoch: epoch, PublisherID: 7}.Append(nil)
}

// wire passes an advert through its bytes.
func overWire(t *testing.T, a peer.Advert) peer.Advert {
	t.Helper()
	b, err := peer.ParseAdvert(a.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lacking returns what another lacks of a's copies, as GRAFT asks for it.
func (s *adverts) lacking(to *adverts, now time.Time) []peer.Advert {
	var all []peer.Advert
	for _, r := range s.records {
		have := uint64(0)
		if c := to.byRef[r.ref]; c != nil {
			have = c.seq
		}
		if r.node != to.self {
			all = append(all, r.since(have, now)...)
		}
	}
	return all
}

func TestAdvertsFollow(t *testing.T) {
	now := time.Unix(1000, 0)
	a, b := newAdverts("a", 10), newAdverts("b", 20)
	a.set(peer.EntryBroadcast, "room/1", broadcastValue(1), now)
	a.set(peer.EntryBroadcast, "room/2", broadcastValue(2), now)
	for _, ad := range a.news(now) {
		if v, c := b.apply(overWire(t, ad), now); v != advertStored || len(c.Broadcasts) != 2 {
			t.Fatalf("first advert: %v, %+v", v, c)
		}
	}
	if a.news(now) != nil {
		t.Error("flushed twice")
	}
	a.set(peer.EntryBroadcast, "room/1", nil, now)
	missed := a.news(now)
	a.set(peer.EntryBroadcast, "room/3", broadcastValue(3), now)
	late := a.news(now)
	if v, _ := b.apply(overWire(t, late[0]), now); v != advertGap {
		t.Errorf("an advert behind a gap: %v", v)
	}
	for _, ad := range a.lacking(b, now) {
		if v, c := b.apply(overWire(t, ad), now); v != advertStored || !slices.Equal(c.Broadcasts, []wire.Broadcast{"room/1", "room/3"}) {
			t.Errorf("answer: %v, %+v", v, c)
		}
	}
	if v, _ := b.apply(overWire(t, missed[0]), now); v != advertKnown {
		t.Errorf("what came twice: %v", v)
	}
	want := map[wire.Broadcast]peer.BroadcastValue{"room/2": {Epoch: 2, PublisherID: 7}, "room/3": {Epoch: 3, PublisherID: 7}}
	if d := cmp.Diff(want, b.records["a"].broadcasts); d != "" {
		t.Error(d)
	}
	if c, ok := b.holder("room/3"); !ok || c.origin != "a" {
		t.Errorf("holder %+v, %v", c, ok)
	}
}

func TestAdvertsBoot(t *testing.T) {
	now := time.Unix(1000, 0)
	old, young, b := newAdverts("a", 10), newAdverts("a", 11), newAdverts("b", 20)
	old.set(peer.EntryBroadcast, "room/1", broadcastValue(1), now)
	young.set(peer.EntryBroadcast, "room/2", broadcastValue(2), now)
	first, second := old.news(now)[0], young.news(now)[0]
	b.apply(first, now)
	if v, c := b.apply(second, now); v != advertStored || len(c.Broadcasts) != 2 {
		t.Errorf("restarted node: %v, %+v", v, c)
	}
	if v, _ := b.apply(first, now); v != advertOld {
		t.Errorf("former life: %v", v)
	}
	if len(b.records["a"].broadcasts) != 1 {
		t.Errorf("%+v", b.records["a"].broadcasts)
	}
	if v, _ := old.apply(second, now); v != advertDouble {
		t.Errorf("somebody with our name: %v", v)
	}
	if v, _ := young.apply(first, now); v != advertOld {
		t.Errorf("our own former life: %v", v)
	}
}

func TestAdvertsExpire(t *testing.T) {
	now := time.Unix(1000, 0)
	a, b, c := newAdverts("a", 10), newAdverts("b", 20), newAdverts("c", 30)
	a.set(peer.EntryBroadcast, "room/1", broadcastValue(1), now)
	b.apply(a.news(now)[0], now)
	now = now.Add(5 * time.Second)
	// c hears of it from b: its age comes with it, and is not forgotten.
	for _, ad := range b.lacking(c, now) {
		c.apply(overWire(t, ad), now)
	}
	now = now.Add(4 * time.Second)
	for _, s := range []*adverts{b, c} {
		nodes, ch := s.expire(now)
		if !slices.Contains(nodes, "a") || !slices.Contains(ch.Broadcasts, "room/1") {
			t.Errorf("%s: expired %v, %+v", s.self, nodes, ch)
		}
	}
	if v, _ := b.apply(peer.Advert{Node: "a", Boot: 10, Seq: 9, AgeMs: 8000}, now); v != advertOld {
		t.Errorf("expired advert: %v", v)
	}
	// A refresh keeps it.
	a.refresh(now)
	ad := a.news(now)
	if len(ad) != 1 || len(ad[0].Entries) != 0 && ad[0].Base != 0 {
		t.Errorf("refresh %+v", ad)
	}
}

// TestAdvertsParts: a record of 10,000 broadcasts in messages that fit.
func TestAdvertsParts(t *testing.T) {
	now := time.Unix(1000, 0)
	a, b := newAdverts("a", 10), newAdverts("b", 20)
	for i := range 10_000 {
		a.set(peer.EntryBroadcast, fmt.Sprintf("room/%d", i), broadcastValue(uint64(i+1)), now)
	}
	for i := range 6_000 { // more than are remembered as withdrawn
		a.set(peer.EntryBroadcast, fmt.Sprintf("room/%d", i), nil, now)
	}
	parts := a.news(now)
	if len(parts) < 2 {
		t.Fatalf("%d parts", len(parts))
	}
	for i, p := range parts {
		if n := len(p.Append(nil)); n > peer.MaxMessageBytes {
			t.Errorf("part %d has %d bytes", i, n)
		}
		if v, _ := b.apply(overWire(t, p), now); v != advertStored {
			t.Errorf("part %d: %v", i, v)
		}
	}
	if n := len(b.records["a"].broadcasts); n != 4_000 {
		t.Errorf("%d broadcasts, want 4000", n)
	}
	// A peer that missed what a has forgotten gets it all again. What stays is not
	// disturbed in between, what is gone is gone in the end.
	for i := range 3_000 {
		a.set(peer.EntryBroadcast, fmt.Sprintf("room/%d", 6_000+i), nil, now)
	}
	a.set(peer.EntryBroadcast, "room/new", broadcastValue(1), now)
	again := a.lacking(b, now)
	if len(again) == 1 && again[0].Base > 0 {
		t.Fatalf("expected the whole record, got %d entries from %d", len(again[0].Entries), again[0].Base)
	}
	for _, p := range again {
		before := len(b.records["a"].broadcasts)
		if _, c := b.apply(overWire(t, p), now); len(c.Broadcasts) == 0 && len(b.records["a"].broadcasts) != before {
			t.Error("changed without saying so")
		}
		if _, ok := b.records["a"].broadcasts["room/9999"]; !ok {
			t.Fatal("what stays was withdrawn in between")
		}
	}
	if d := cmp.Diff(a.own().broadcasts, b.records["a"].broadcasts); d != "" {
		t.Error(d)
	}
	if n := len(a.own().entries); n > 4_000+maxWithdrawn {
		t.Errorf("%d entries are kept", n)
	}
}

// TestAdvertsConverge: five nodes change, lose messages, and reconcile. In the end
// all agree.
func TestAdvertsConverge(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 3))
		now := time.Unix(1000, 0)
		ids := []string{"a", "b", "c", "d", "e"}
		var all []*adverts
		for _, id := range ids {
			all = append(all, newAdverts(id, 100))
		}
		for range 300 {
			now = now.Add(20 * time.Millisecond)
			s := all[rng.IntN(len(all))]
			name := fmt.Sprintf("room/%d", rng.IntN(20))
			if rng.IntN(2) == 0 {
				s.set(peer.EntryBroadcast, name, broadcastValue(rng.Uint64N(1000)+1), now)
			} else {
				s.set(peer.EntryBroadcast, name, nil, now)
			}
			for _, ad := range s.news(now) {
				for _, o := range all {
					if o != s && rng.IntN(2) == 0 {
						o.apply(overWire(t, ad), now)
					}
				}
			}
		}
		for i := range all { // a line of links comes up, twice over
			for range 2 {
				x, y := all[i], all[(i+1)%len(all)]
				for _, ad := range y.lacking(x, now) {
					x.apply(overWire(t, ad), now)
				}
				for _, ad := range x.lacking(y, now) {
					y.apply(overWire(t, ad), now)
				}
			}
		}
		for range len(all) {
			for i := range all {
				x, y := all[i], all[(i+1)%len(all)]
				for _, ad := range x.lacking(y, now) {
					y.apply(overWire(t, ad), now)
				}
			}
		}
		for _, s := range all {
			for i, id := range ids {
				if d := cmp.Diff(all[i].own().broadcasts, s.records[id].broadcasts); d != "" {
					t.Fatalf("seed %d: %s's copy of %s: %s", seed, s.self, id, d)
				}
			}
		}
	}
}
