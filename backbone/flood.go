package backbone

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"trellis/wire/peer"
)

// flood spreads the records over the mesh: an epidemic broadcast tree (Leitão,
// Pereira, Rodrigues: "Epidemic Broadcast Trees", 2007) for each owner. Who has
// grafted itself to us for a record is told its changes at once; everybody else
// is offered them (KNOWN) and grafts if it lacks them, or if the way through us is
// the shorter one (docs/wire.md, section 4). So each record comes along a tree of
// shortest delays, every node is told once, and what breaks is offered elsewhere.
//
// It has no timer and no lock: Knowledge owns it.
type flood struct {
	store  *adverts
	links  map[string]*floodLink
	slots  [maxLinks]*floodLink
	active []*floodLink         // the same, without the gaps
	asks   bool                 // there are grafts or prunes to be sent
	sought map[peer.Ref]*sought // records that peers know and we do not
	late   []peer.Ref           // records of which a change was offered that has not come
	stats  FloodStats
}

// FloodStats count what keeps the trees in shape.
type FloodStats struct {
	Grafts   uint64 // asked for a record
	Switches uint64 // took another way for a record
	Repairs  uint64 // looked for another way because the old one was silent
	Doubles  uint64 // told what was known
}

// floodLink is a link as flood sees it.
type floodLink struct {
	id    string
	slot  int
	say   func(peer.Message)
	delay time.Duration // one way

	offers []peer.Ref // to be sent, at most each record once: see tree
	fresh  []peer.Ref
	grafts []peer.GraftRecord
	prunes []peer.Ref
}

// tree is a node's place in the tree of one record.
type tree struct {
	parent int           // slot of the link by which the record comes, or noSlot
	other  int           // slot of a link that offered it as well, or noSlot
	delay  time.Duration // from the owner to us, along the tree; farAway: not known
	push   slots         // links that are told of changes at once
	offer  slots         // links whose offers have it
	fresh  slots         // links whose fresh have it
	tries  int           // for another parent, in a row

	graftedAt  time.Time // when a parent was last asked for
	switchedAt time.Time // when the parent last changed
	worseAt    time.Time // when the delay last grew: offers may be older than that

	lateSeq  uint64 // a change that was offered
	lateSlot int
	lateAt   time.Time // from when to ask for it
}

// sought is a record that has been asked for and is not there yet.
type sought struct {
	at    time.Time
	links []int // slots of who has it; the first was asked
}

const (
	noSlot  = -1
	farAway = time.Duration(math.MaxInt64 / 4)

	// hopDelay is added for each node, so that a way through more of them is never
	// as short.
	hopDelay = 100 * time.Microsecond
	// lateAfter is how long a change that was offered may take on the tree.
	lateAfter = 100 * time.Millisecond
	// freshEvery is how often it is passed on that records are alive.
	freshEvery = 200 * time.Millisecond
	// staleAfter is how old a record may become before it is looked for elsewhere:
	// more than the refresh period and the time that it takes on a long way.
	staleAfter = 4500 * time.Millisecond
	// askAgain is how long an answer may take.
	askAgain = time.Second
	// repairEvery is how long each of those who are asked then may take.
	repairEvery = 500 * time.Millisecond
	// inFlight is how long what was pruned may still come.
	inFlight = time.Second
	// figureOffers is to how many links it is offered that a link's figures or a
	// node's load have changed.
	figureOffers = 4
	maxSought    = maxRecords
	maxHolder    = 4 // remembered of who has a record that is sought
)

func newTree() tree { return tree{parent: noSlot, other: noSlot, delay: farAway, lateSlot: noSlot} }

// slots is a set of links.
type slots [maxLinks / 64]uint64

func (s *slots) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s *slots) set(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *slots) clear(i int)    { s[i/64] &^= 1 << (i % 64) }

func newFlood(store *adverts) *flood {
	store.own().tree.delay = 0
	return &flood{store: store, links: map[string]*floodLink{}, sought: map[peer.Ref]*sought{}}
}

// up adds a link, and offers all that we hold.
func (f *flood) up(id string, delay time.Duration, say func(peer.Message), now time.Time) {
	l := &floodLink{id: id, slot: noSlot, say: say, delay: delay}
	for i := range f.slots {
		if f.slots[i] == nil {
			l.slot = i
			break
		}
	}
	if l.slot == noSlot {
		panic("backbone: more links than Config.Links.Total allows")
	}
	f.slots[l.slot], f.links[id] = l, l
	f.active = append(f.active, l)
	all := make([]peer.KnownRecord, 0, len(f.store.records))
	for _, r := range f.store.records {
		if now.Sub(r.made) < advertExpiry {
			all = append(all, r.offered())
		}
	}
	for len(all) > 0 {
		n := min(len(all), peer.MaxKnown)
		say(peer.Known{Records: all[:n:n]})
		all = all[n:]
	}
}

func (r *record) offered() peer.KnownRecord {
	return peer.KnownRecord{Ref: r.ref, Seq: r.changed, Delay: r.tree.delay}
}

// down removes a link. What came by it is asked for elsewhere at once.
func (f *flood) down(id string, now time.Time) {
	l := f.links[id]
	delete(f.links, id)
	f.slots[l.slot] = nil
	f.active = slices.DeleteFunc(f.active, func(o *floodLink) bool { return o == l })
	for _, r := range f.store.records {
		t := &r.tree
		t.push.clear(l.slot)
		t.offer.clear(l.slot)
		t.fresh.clear(l.slot)
		if t.other == l.slot {
			t.other = noSlot
		}
		if t.lateSlot == l.slot {
			t.lateSlot = noSlot
		}
		if t.parent == l.slot {
			t.parent = noSlot
			f.reparent(r, noSlot, now)
		}
	}
	for _, s := range f.sought {
		s.links = slices.DeleteFunc(s.links, func(slot int) bool { return slot == l.slot })
	}
}

// advert takes what somebody tells of a record, and passes on what is new.
func (f *flood) advert(id string, a peer.Advert, now time.Time) (verdict, Changes) {
	from := f.links[id]
	ref := peer.RefOf(a.Node, a.Boot)
	v, c := f.store.apply(a, now)
	r := f.store.byRef[ref]
	switch {
	case v == advertStored:
		if s := f.sought[ref]; s != nil {
			delete(f.sought, ref)
			r.tree.other = s.another(from.slot)
		}
		f.arrived(r, from, a.Delay+from.delay+hopDelay, now)
		a.AgeMs, a.Delay = r.age(now), r.tree.delay
		f.tell(r, a, from.slot)
	case v == advertGap && r == nil:
		f.seek(ref, from, now)
	case v == advertGap && now.Sub(r.tree.graftedAt) >= askAgain:
		f.graft(r, from, farAway, now)
	case v == advertKnown:
		f.double(r, from, a.Seq, a.Delay+from.delay+hopDelay, now)
	}
	return v, c
}

// tell passes a change on: at once to who grafted for it, as an offer to others.
// What everybody waits for is offered to all of them. A mere figure is offered to
// some: few ways must fail for it to be missed, and then FRESH tells.
func (f *flood) tell(r *record, a peer.Advert, but int) {
	offers := maxLinks
	if a.Base > 0 && !slices.ContainsFunc(a.Entries, func(e peer.Entry) bool { return e.Kind != peer.EntryLink && e.Kind != peer.EntryNode }) {
		offers = figureOffers
	}
	first := int((uint64(r.ref) ^ a.Seq*0x9e3779b97f4a7c15) >> 33) // other links each time
	for i := range f.active {
		l := f.active[(first+i)%len(f.active)]
		switch {
		case l.slot == but:
		case r.tree.push.has(l.slot):
			l.say(a)
		case l.slot != r.tree.parent && offers > 0:
			offers--
			if !r.tree.offer.has(l.slot) {
				r.tree.offer.set(l.slot)
				l.offers = append(l.offers, r.ref)
			}
		}
	}
}

// tellFresh passes on that a record is alive, when the time has come.
func (f *flood) tellFresh(r *record, but int) {
	for i, word := range r.tree.push {
		for word &^= r.tree.fresh[i]; word != 0; word &= word - 1 {
			if slot := i*64 + bits.TrailingZeros64(word); slot != but {
				r.tree.fresh.set(slot)
				f.slots[slot].fresh = append(f.slots[slot].fresh, r.ref)
			}
		}
	}
}

// tellOwn tells what is new of our own record.
func (f *flood) tellOwn(now time.Time) {
	for _, a := range f.store.news(now) {
		if r := f.store.own(); len(a.Entries) == 0 {
			f.tellFresh(r, noSlot)
		} else {
			f.tell(r, a, noSlot)
		}
	}
}

// freshened takes what somebody says of who is alive.
func (f *flood) freshened(id string, m peer.Fresh, now time.Time) {
	from := f.links[id]
	own := f.store.own()
	for i := range m.Records {
		x := &m.Records[i]
		r := f.store.byRef[x.Ref]
		age := time.Duration(x.AgeMs) * time.Millisecond
		delay := x.Delay + from.delay + hopDelay
		switch {
		case age >= advertExpiry || r == own:
		case r == nil:
			f.seek(x.Ref, from, now)
		case x.Seq <= r.seq:
			f.double(r, from, x.Seq, delay, now)
		case x.Seq-x.Quiet > r.seq:
			if now.Sub(r.tree.graftedAt) >= askAgain {
				f.graft(r, from, farAway, now) // a change is missing
			}
		default:
			r.seq, r.made, r.changed = x.Seq, now.Add(-age), x.Seq-x.Quiet
			f.arrived(r, from, delay, now)
			f.tellFresh(r, from.slot)
		}
	}
}

// arrived: something new of a record came by a link.
func (f *flood) arrived(r *record, from *floodLink, delay time.Duration, now time.Time) {
	t := &r.tree
	t.tries = 0
	switch t.parent {
	case from.slot:
		if delay > t.delay+t.delay/8+time.Millisecond {
			t.worseAt = now
		}
		t.delay = delay
	default:
		f.unwanted(r, from, delay, now)
	}
}

// double: what is known already came by a link.
func (f *flood) double(r *record, from *floodLink, seq uint64, delay time.Duration, now time.Time) {
	f.stats.Doubles++
	if r != nil && r != f.store.own() && r.tree.parent != from.slot {
		if seq < r.seq {
			delay = farAway // it says nothing of the ways as they are now
		}
		f.unwanted(r, from, delay, now)
	}
}

// unwanted: a link told us unasked. It becomes the parent if it is the shorter
// way, else it is not to do it again.
func (f *flood) unwanted(r *record, from *floodLink, delay time.Duration, now time.Time) {
	t := &r.tree
	switch {
	case t.parent == noSlot:
		t.parent, t.delay, t.switchedAt = from.slot, delay, now
	case t.shorter(delay, now):
		f.stats.Switches++
		f.prune(f.slots[t.parent], r)
		t.other = t.parent
		t.parent, t.delay, t.switchedAt = from.slot, delay, now
	case now.Sub(t.switchedAt) >= inFlight:
		f.prune(from, r)
	}
}

// shorter reports whether a way is worth taking instead of the one that we have.
// An offer from before our own way became longer may come from somebody behind us.
func (t *tree) shorter(delay time.Duration, now time.Time) bool {
	return delay < t.delay-t.delay/8-time.Millisecond && now.Sub(t.worseAt) >= 2*advertRefresh
}

// known takes offers.
func (f *flood) known(id string, m peer.Known, now time.Time) {
	from := f.links[id]
	own := f.store.own()
	for i := range m.Records {
		x := &m.Records[i]
		r := f.store.byRef[x.Ref]
		switch r {
		case own:
		case nil:
			f.seek(x.Ref, from, now)
		default:
			f.offered(r, x, from, now)
		}
	}
}

func (f *flood) offered(r *record, x *peer.KnownRecord, from *floodLink, now time.Time) {
	t := &r.tree
	if x.Seq >= r.changed {
		t.offer.clear(from.slot) // see flush: it needs no offer of ours
	}
	if t.parent == from.slot {
		return
	}
	t.other = from.slot
	delay := x.Delay + from.delay + hopDelay
	switch {
	case t.parent == noSlot:
		f.graft(r, from, delay, now)
	case x.Seq >= r.changed && t.shorter(delay, now):
		f.stats.Switches++
		f.graft(r, from, delay, now)
	case x.Seq > r.seq && t.lateSlot == noSlot:
		t.lateSeq, t.lateSlot, t.lateAt = x.Seq, from.slot, now.Add(lateAfter)
		f.late = append(f.late, r.ref)
	}
}

// grafted: a link wants to be told of records, and what it lacks.
func (f *flood) grafted(id string, m peer.Graft, now time.Time) {
	from := f.links[id]
	for _, x := range m.Records {
		r := f.store.byRef[x.Ref]
		if r == nil {
			continue
		}
		r.tree.push.set(from.slot)
		switch {
		case x.Seq < r.changed:
			for _, a := range r.since(x.Seq, now) {
				from.say(a)
			}
		case x.Seq < r.seq && !r.tree.fresh.has(from.slot):
			r.tree.fresh.set(from.slot)
			from.fresh = append(from.fresh, x.Ref)
		}
		if r.tree.parent == from.slot {
			f.reparent(r, from.slot, now) // it has lost its own way
		}
	}
}

// pruned: a link needs not be told.
func (f *flood) pruned(id string, m peer.Prune) {
	from := f.links[id]
	for _, ref := range m.Refs {
		if r := f.store.byRef[ref]; r != nil {
			r.tree.push.clear(from.slot)
		}
	}
}

// seek asks for a record of which we have nothing.
func (f *flood) seek(ref peer.Ref, from *floodLink, now time.Time) {
	s := f.sought[ref]
	switch {
	case s == nil && len(f.sought) >= maxSought:
	case s == nil:
		f.sought[ref] = &sought{at: now, links: []int{from.slot}}
		f.ask(from, ref, 0)
	case len(s.links) < maxHolder:
		s.links = append(s.links, from.slot)
	}
}

// another returns a link that has the record, beside one.
func (s *sought) another(slot int) int {
	for _, other := range s.links {
		if other != slot {
			return other
		}
	}
	return noSlot
}

// graft makes a link the parent of a record, and asks it for what we lack.
func (f *flood) graft(r *record, from *floodLink, delay time.Duration, now time.Time) {
	t := &r.tree
	if t.parent != from.slot {
		if t.parent != noSlot {
			f.prune(f.slots[t.parent], r)
		}
		t.parent, t.switchedAt = from.slot, now
	}
	t.delay, t.graftedAt = delay, now
	f.ask(from, r.ref, r.seq)
}

func (f *flood) ask(l *floodLink, ref peer.Ref, seq uint64) {
	f.stats.Grafts++
	f.asks = true
	l.grafts = append(l.grafts, peer.GraftRecord{Ref: ref, Seq: seq})
}

func (f *flood) prune(l *floodLink, r *record) {
	f.asks = true
	l.prunes = append(l.prunes, r.ref)
}

// reparent looks for another parent: whoever offered the record, else somebody
// who does not have it from us, each in turn.
func (f *flood) reparent(r *record, but int, now time.Time) {
	t := &r.tree
	f.stats.Repairs++
	best := noSlot
	if t.other != noSlot && t.other != but && t.tries == 0 && !t.push.has(t.other) {
		best = t.other
	}
	n := int(uint64(r.ref) % maxLinks)
	for i := 0; i < maxLinks && best == noSlot; i++ {
		slot := (n + t.tries*61 + i) % maxLinks // 61: not a neighbour of the last
		if f.slots[slot] != nil && slot != but && slot != t.parent && !t.push.has(slot) {
			best = slot
		}
	}
	t.tries++
	t.worseAt = now
	if best == noSlot {
		t.parent = noSlot // whoever offers it next will do
		return
	}
	f.graft(r, f.slots[best], farAway, now)
}
