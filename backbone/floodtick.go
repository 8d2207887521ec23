package backbone

import (
	"time"

	"trellis/wire/peer"
)

// tick does what is due. It is called every 100 ms, and with fresh every
// freshEvery.
func (f *flood) tick(now time.Time, fresh bool) {
	f.askLate(now)
	f.seekAgain(now)
	for _, l := range f.active {
		f.sendOffers(l)
		if fresh {
			f.sendFresh(l, now)
		}
	}
}

// repair looks for another way for the records that have become old.
func (f *flood) repair(now time.Time) {
	own := f.store.own()
	for _, r := range f.store.records {
		if r != own && now.Sub(r.made) >= staleAfter && now.Sub(r.tree.graftedAt) >= repairEvery {
			f.reparent(r, noSlot, now)
		}
	}
}

// askLate asks for changes that were offered and have not come by the tree.
func (f *flood) askLate(now time.Time) {
	late := f.late
	f.late = f.late[:0]
	for _, ref := range late {
		r := f.store.byRef[ref]
		if r == nil || r.tree.lateSlot == noSlot {
			continue
		}
		t := &r.tree
		switch {
		case r.seq >= t.lateSeq:
			t.lateSlot = noSlot
		case now.Before(t.lateAt):
			f.late = append(f.late, ref)
		default:
			l := f.slots[t.lateSlot]
			t.lateSlot = noSlot
			f.stats.Repairs++
			f.graft(r, l, farAway, now)
		}
	}
}

// seekAgain asks the next who has a record, where the first does not answer.
func (f *flood) seekAgain(now time.Time) {
	for ref, s := range f.sought {
		if now.Sub(s.at) < askAgain && len(s.links) > 0 {
			continue
		}
		if len(s.links) > 0 {
			s.links = s.links[1:]
		}
		if len(s.links) == 0 {
			delete(f.sought, ref)
			continue
		}
		s.at = now
		f.ask(f.slots[s.links[0]], ref, 0)
	}
}

// flush sends what must not wait for the next tick.
func (f *flood) flush() {
	if !f.asks {
		return
	}
	f.asks = false
	for _, l := range f.active {
		if len(l.prunes) > 0 {
			for len(l.prunes) > 0 {
				n := min(len(l.prunes), peer.MaxKnown)
				l.say(peer.Prune{Refs: l.prunes[:n:n]})
				l.prunes = l.prunes[n:]
			}
			l.prunes = nil
		}
		if len(l.grafts) > 0 {
			for len(l.grafts) > 0 {
				n := min(len(l.grafts), peer.MaxKnown)
				l.say(peer.Graft{Records: l.grafts[:n:n]})
				l.grafts = l.grafts[n:]
			}
			l.grafts = nil
		}
	}
}

// sendOffers offers the records that have changed, as they are now. Whoever has
// offered the same in the meantime needs none.
func (f *flood) sendOffers(l *floodLink) {
	if len(l.offers) == 0 {
		return
	}
	all := make([]peer.KnownRecord, 0, min(len(l.offers), peer.MaxKnown))
	for _, ref := range l.offers {
		if r := f.store.byRef[ref]; r != nil && r.tree.offer.has(l.slot) && !r.tree.push.has(l.slot) {
			r.tree.offer.clear(l.slot)
			all = append(all, r.offered())
		}
		if len(all) == peer.MaxKnown {
			l.say(peer.Known{Records: all})
			all = nil
		}
	}
	l.offers = l.offers[:0]
	if len(all) > 0 {
		l.say(peer.Known{Records: all})
	}
}

// sendFresh passes on which records are alive.
func (f *flood) sendFresh(l *floodLink, now time.Time) {
	if len(l.fresh) == 0 {
		return
	}
	all := make([]peer.FreshRecord, 0, min(len(l.fresh), peer.MaxKnown))
	for _, ref := range l.fresh {
		r := f.store.byRef[ref]
		if r == nil || !r.tree.fresh.has(l.slot) {
			continue
		}
		r.tree.fresh.clear(l.slot)
		all = append(all, peer.FreshRecord{Ref: ref, Seq: r.seq, Quiet: r.seq - r.changed, AgeMs: r.age(now), Delay: r.tree.delay})
		if len(all) == peer.MaxKnown {
			l.say(peer.Fresh{Records: all})
			all = nil
		}
	}
	l.fresh = l.fresh[:0]
	if len(all) > 0 {
		l.say(peer.Fresh{Records: all})
	}
}
