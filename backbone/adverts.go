package backbone

import (
	"maps"
	"slices"
	"time"

	"trellis/wire"
	"trellis/wire/peer"
)

// Limits of the record store, and its clockwork (docs/wire.md, section 4).
const (
	advertRefresh    = 2 * time.Second
	advertExpiry     = 8 * time.Second
	maxRecords       = peer.MaxKnown
	maxRecordEntries = 1 << 17
	maxWithdrawn     = 4096     // withdrawn entries remembered per record
	advertPartBytes  = 32 << 10 // entries' bytes in one message
)

type entryKey struct {
	kind peer.EntryKind
	key  string
}

type entry struct {
	seq       uint64
	withdrawn bool
	value     []byte
}

// record is a copy of what one node says about itself.
type record struct {
	boot      uint64
	seq       uint64
	made      time.Time // when the owner made seq, as far as we know
	entries   map[entryKey]*entry
	withdrawn int    // how many of the entries are
	forgotten uint64 // entries withdrawn up to here may be missing

	anew *record // the same record, while it comes from its beginning; see rebuild

	// The values, parsed.
	about      peer.NodeValue
	links      map[string]peer.LinkValue
	broadcasts map[wire.Broadcast]peer.BroadcastValue
}

func newRecord(boot uint64) *record {
	return &record{
		boot: boot, entries: map[entryKey]*entry{},
		links: map[string]peer.LinkValue{}, broadcasts: map[wire.Broadcast]peer.BroadcastValue{},
	}
}

// changes say what an operation on the store has altered.
type changes struct {
	links      bool
	broadcasts []wire.Broadcast
}

// adverts holds a copy of every node's record, our own among them. It has no
// lock and no timer: the mesh's loop owns it.
type adverts struct {
	self    string
	records map[string]*record
	flooded uint64 // our own record's sequence that the peers have been told
}

func newAdverts(self string, boot uint64) *adverts {
	return &adverts{self: self, records: map[string]*record{self: newRecord(boot)}}
}

func (s *adverts) own() *record { return s.records[s.self] }

// set changes our own record. A nil value withdraws the entry.
func (s *adverts) set(kind peer.EntryKind, key string, value []byte, now time.Time) changes {
	r := s.own()
	k := entryKey{kind, key}
	old := r.entries[k]
	switch {
	case value == nil && (old == nil || old.withdrawn),
		value != nil && old != nil && !old.withdrawn && slices.Equal(old.value, value):
		return changes{}
	}
	r.seq++
	r.made = now
	var c changes
	r.store(peer.Entry{Seq: r.seq, Kind: kind, Key: key, Value: value, Withdrawn: value == nil}, &c)
	r.forget()
	return c
}

// refresh raises our sequence if it has rested for the refresh period.
func (s *adverts) refresh(now time.Time) {
	if r := s.own(); now.Sub(r.made) >= advertRefresh {
		r.seq++
		r.made = now
	}
}

// flush returns what the peers have not been told of our own record yet.
func (s *adverts) flush(now time.Time) []peer.Advert {
	r := s.own()
	if r.seq == s.flooded {
		return nil
	}
	parts := r.since(s.self, s.flooded, now)
	s.flooded = r.seq
	return parts
}

// verdict is what became of an advert.
type verdict int

const (
	advertStored verdict = iota // newer than our copy: to be flooded
	advertOld                   // known, expired, or of a former life
	advertGap                   // something before it is missing: ask for it
	advertDouble                // about us, by somebody else who uses our name
)

// apply takes an advert from a peer.
func (s *adverts) apply(a peer.Advert, now time.Time) (verdict, changes) {
	if a.Node == s.self {
		if a.Boot > s.own().boot {
			return advertDouble, changes{}
		}
		return advertOld, changes{}
	}
	age := time.Duration(a.AgeMs) * time.Millisecond
	if age >= advertExpiry {
		return advertOld, changes{}
	}
	var c changes
	r := s.records[a.Node]
	switch {
	case r == nil && len(s.records) >= maxRecords, r != nil && a.Boot < r.boot:
		return advertOld, changes{}
	case (r == nil || a.Boot > r.boot) && a.Base > 0:
		return advertGap, changes{}
	case r == nil || a.Boot > r.boot:
		if r != nil {
			c = s.drop(a.Node) // its former life
		}
		r = newRecord(a.Boot)
		s.records[a.Node] = r
	case a.Base == 0 || r.anew != nil && r.anew.follows(a):
		return s.rebuild(r, a, now.Add(-age))
	case a.Seq <= r.seq:
		return advertOld, changes{}
	case !r.follows(a):
		return advertGap, changes{}
	}
	r.merge(a, now.Add(-age), &c)
	return advertStored, c
}

// follows reports whether a holds all that changed since r.
func (r *record) follows(a peer.Advert) bool {
	return a.Base <= r.seq && (a.Forgotten <= r.seq || a.Forgotten == r.forgotten)
}

func (r *record) merge(a peer.Advert, made time.Time, c *changes) {
	for _, e := range a.Entries {
		if len(r.entries) < maxRecordEntries || r.entries[entryKey{e.Kind, e.Key}] != nil {
			r.store(e, c)
		}
	}
	r.seq, r.made, r.forgotten = max(r.seq, a.Seq), made, max(r.forgotten, a.Forgotten)
	r.forget()
}

// rebuild takes a part of a record that comes from its beginning although we have
// a copy. It is put together aside, so that what stays in it is not disturbed,
// and takes the copy's place when it is whole and newer.
func (s *adverts) rebuild(r *record, a peer.Advert, made time.Time) (verdict, changes) {
	if a.Base == 0 {
		r.anew = newRecord(a.Boot)
	}
	var c changes
	n := r.anew
	n.merge(a, made, &c)
	if n.seq < n.forgotten {
		return advertOld, changes{} // more parts follow
	}
	r.anew = nil
	if n.seq <= r.seq {
		return advertOld, changes{}
	}
	old := s.drop(a.Node)
	s.records[a.Node] = n
	return advertStored, changes{links: true, broadcasts: append(old.broadcasts, slices.Collect(maps.Keys(n.broadcasts))...)}
}

// store puts one entry in its place, and its value where it is looked for.
func (r *record) store(e peer.Entry, c *changes) {
	k := entryKey{e.Kind, e.Key}
	old := r.entries[k]
	if old != nil && old.seq >= e.Seq {
		return
	}
	if old != nil && old.withdrawn {
		r.withdrawn--
	}
	if e.Withdrawn {
		r.withdrawn++
	}
	r.entries[k] = &entry{seq: e.Seq, withdrawn: e.Withdrawn, value: slices.Clone(e.Value)}
	switch e.Kind {
	case peer.EntryNode:
		if v, err := peer.ParseNodeValue(e.Value); err == nil {
			r.about = v
		}
	case peer.EntryLink:
		c.links = true
		delete(r.links, e.Key)
		if v, err := peer.ParseLinkValue(e.Value); err == nil && !e.Withdrawn {
			r.links[e.Key] = v
		}
	case peer.EntryBroadcast:
		name, err := wire.ParseBroadcast(e.Key)
		if err != nil {
			return // kept and forwarded, like any entry that we do not understand
		}
		c.broadcasts = append(c.broadcasts, name)
		delete(r.broadcasts, name)
		if v, err := peer.ParseBroadcastValue(e.Value); err == nil && !e.Withdrawn {
			r.broadcasts[name] = v
		}
	}
}

// forget drops the oldest withdrawn entries when there are too many.
func (r *record) forget() {
	if r.withdrawn <= maxWithdrawn {
		return
	}
	gone := make([]entryKey, 0, r.withdrawn)
	for k, e := range r.entries {
		if e.withdrawn {
			gone = append(gone, k)
		}
	}
	slices.SortFunc(gone, func(a, b entryKey) int { return compareSeq(r.entries[a].seq, r.entries[b].seq) })
	for _, k := range gone[:len(gone)-maxWithdrawn/2] {
		r.forgotten = max(r.forgotten, r.entries[k].seq)
		delete(r.entries, k)
		r.withdrawn--
	}
}

func compareSeq(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// since returns what changed in the record after base, in parts.
func (r *record) since(node string, base uint64, now time.Time) []peer.Advert {
	if base >= r.seq {
		return nil
	}
	if base < r.forgotten {
		base = 0
	}
	var entries []peer.Entry
	for k, e := range r.entries {
		if e.seq > base && (base > 0 || !e.withdrawn) {
			entries = append(entries, peer.Entry{Seq: e.seq, Kind: k.kind, Key: k.key, Withdrawn: e.withdrawn, Value: e.value})
		}
	}
	slices.SortFunc(entries, func(a, b peer.Entry) int { return compareSeq(a.Seq, b.Seq) })

	age := uint64(max(now.Sub(r.made), 0).Milliseconds())
	part := peer.Advert{Node: node, Boot: r.boot, Base: base, AgeMs: age}
	if base == 0 {
		part.Forgotten = r.seq // withdrawn entries are left out
	}
	var parts []peer.Advert
	size := 0
	for _, e := range entries {
		if n := len(part.Entries); n == peer.MaxEntries || size+e.Len() > advertPartBytes {
			part.Seq = part.Entries[n-1].Seq
			parts = append(parts, part)
			part.Base, part.Seq, part.Entries = part.Seq, 0, nil
			size = 0
		}
		part.Entries = append(part.Entries, e)
		size += e.Len()
	}
	part.Seq = r.seq
	return append(parts, part)
}

// known names every copy that we hold.
func (s *adverts) known() peer.Known {
	k := peer.Known{All: true}
	for _, node := range slices.Sorted(maps.Keys(s.records)) {
		r := s.records[node]
		k.Records = append(k.Records, peer.KnownRecord{Node: node, Boot: r.boot, Seq: r.seq})
	}
	return k
}

// ask names one copy, so that the peer tells us what we lack of it.
func (s *adverts) ask(node string, boot uint64) peer.Known {
	rec := peer.KnownRecord{Node: node, Boot: boot}
	if r := s.records[node]; r != nil && r.boot == boot {
		rec.Seq = r.seq
	}
	return peer.Known{Records: []peer.KnownRecord{rec}}
}

// answer returns what a peer lacks that holds k.
func (s *adverts) answer(k peer.Known, now time.Time) []peer.Advert {
	var all []peer.Advert
	listed := map[string]bool{}
	for _, have := range k.Records {
		listed[have.Node] = true
		r := s.records[have.Node]
		switch {
		case r == nil || have.Boot > r.boot:
		case have.Boot < r.boot:
			all = append(all, r.since(have.Node, 0, now)...)
		default:
			all = append(all, r.since(have.Node, have.Seq, now)...)
		}
	}
	if k.All {
		for _, node := range slices.Sorted(maps.Keys(s.records)) {
			if !listed[node] {
				all = append(all, s.records[node].since(node, 0, now)...)
			}
		}
	}
	return all
}

// expire drops the records of nodes that have been silent for too long.
func (s *adverts) expire(now time.Time) (nodes []string, c changes) {
	for node, r := range s.records {
		if node != s.self && now.Sub(r.made) >= advertExpiry {
			d := s.drop(node)
			nodes = append(nodes, node)
			c.links = c.links || d.links
			c.broadcasts = append(c.broadcasts, d.broadcasts...)
		}
	}
	return nodes, c
}

func (s *adverts) drop(node string) changes {
	r := s.records[node]
	delete(s.records, node)
	c := changes{links: len(r.links) > 0}
	for name := range r.broadcasts {
		c.broadcasts = append(c.broadcasts, name)
	}
	return c
}

// claim is a broadcast as one node's record has it.
type claim struct {
	origin string
	peer.BroadcastValue
}

// holder returns who holds a name, of all nodes but us: the largest epoch.
func (s *adverts) holder(name wire.Broadcast) (claim, bool) {
	var best claim
	found := false
	for node, r := range s.records {
		v, ok := r.broadcasts[name]
		if !ok || node == s.self {
			continue
		}
		newer := v.Epoch > best.Epoch || v.Epoch == best.Epoch && v.PublisherID > best.PublisherID
		if !found || newer {
			best, found = claim{origin: node, BroadcastValue: v}, true
		}
	}
	return best, found
}
