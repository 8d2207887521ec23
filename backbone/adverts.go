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
	maxRecords       = 4096
	maxRecordEntries = 1 << 17
	maxWithdrawn     = 4096     // withdrawn entries remembered per record
	advertPartBytes  = 32 << 10 // entries' bytes in one message
)

type entryKey struct {
	kind peer.EntryKind
	key  string
}

// entry is not changed once it is stored.
type entry struct {
	seq       uint64
	withdrawn bool
	value     []byte
	link      *peer.LinkValue // the value of a LINK entry, parsed
}

// record is a copy of what one node says about itself.
type record struct {
	node      string
	boot      uint64
	ref       peer.Ref
	seq       uint64
	changed   uint64    // seq at which an entry last changed, or more
	made      time.Time // when the owner made seq, as far as we know
	entries   map[entryKey]*entry
	withdrawn int    // how many of the entries are
	forgotten uint64 // entries withdrawn up to here may be missing

	anew *record // the same record, while it comes from its beginning; see rebuild

	// The values, parsed; those of links are in the entries.
	about      peer.NodeValue
	broadcasts map[wire.Broadcast]peer.BroadcastValue

	tree tree // by which it comes, and goes on
}

func newRecord(node string, boot uint64) *record {
	return &record{
		node: node, boot: boot, ref: peer.RefOf(node, boot), entries: map[entryKey]*entry{},
		broadcasts: map[wire.Broadcast]peer.BroadcastValue{}, tree: newTree(),
	}
}

// link returns what the record says of the link to a peer.
func (r *record) link(to string) (peer.LinkValue, bool) {
	if e := r.entries[entryKey{peer.EntryLink, to}]; e != nil && e.link != nil {
		return *e.link, true
	}
	return peer.LinkValue{}, false
}

// links reports whether the record names a link to another node.
func (r *record) links(to string) bool {
	_, ok := r.link(to)
	return ok
}

// eachLink calls f for each of the links that the record names, in no order.
func (r *record) eachLink(f func(to string, v peer.LinkValue)) {
	for k, e := range r.entries {
		if e.link != nil {
			f(k.key, *e.link)
		}
	}
}

// Changes say what has become different in what a node knows.
type Changes struct {
	Links      bool // something about links
	Linked     bool // which links there are
	Broadcasts []wire.Broadcast
}

func (c *Changes) add(d Changes) {
	c.Links, c.Linked = c.Links || d.Links, c.Linked || d.Linked
	c.Broadcasts = append(c.Broadcasts, d.Broadcasts...)
}

// adverts holds a copy of every node's record, our own among them. It has no
// lock and no timer: the mesh's loop owns it.
type adverts struct {
	self    string
	records map[string]*record
	byRef   map[peer.Ref]*record
	told    uint64 // our own record's sequence that has been told
	urgent  bool   // what has not been told is not only what links are like
	// entries are shared by the nodes of a simulation: a million records in one
	// process. Nil otherwise.
	entries map[sharedKey]*entry
}

type sharedKey struct {
	ref peer.Ref
	seq uint64
}

func newAdverts(self string, boot uint64) *adverts {
	s := &adverts{self: self, records: map[string]*record{}, byRef: map[peer.Ref]*record{}}
	s.put(newRecord(self, boot))
	return s
}

func (s *adverts) put(r *record) { s.records[r.node], s.byRef[r.ref] = r, r }

func (s *adverts) own() *record { return s.records[s.self] }

// set changes our own record. A nil value withdraws the entry.
func (s *adverts) set(kind peer.EntryKind, key string, value []byte, now time.Time) Changes {
	r := s.own()
	k := entryKey{kind, key}
	old := r.entries[k]
	switch {
	case value == nil && (old == nil || old.withdrawn),
		value != nil && old != nil && !old.withdrawn && slices.Equal(old.value, value):
		return Changes{}
	}
	r.seq++
	r.made = now
	s.urgent = s.urgent || kind != peer.EntryLink || value == nil
	var c Changes
	s.store(r, &peer.Entry{Seq: r.seq, Kind: kind, Key: key, Value: value, Withdrawn: value == nil}, &c)
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

// news returns what has not been told of our own record yet. Without entries, it
// is only that we live.
func (s *adverts) news(now time.Time) []peer.Advert {
	r := s.own()
	if r.seq == s.told {
		return nil
	}
	parts := r.since(s.told, now)
	s.told, s.urgent = r.seq, false
	return parts
}

// verdict is what became of an advert.
type verdict int

const (
	advertStored verdict = iota // newer than our copy: to be passed on
	advertKnown                 // not newer than our copy
	advertPart                  // of a record that is being put together
	advertOld                   // expired, or of a former life
	advertGap                   // something before it is missing: ask for it
	advertDouble                // about us, by somebody else who uses our name
)

// apply takes an advert from a peer.
func (s *adverts) apply(a peer.Advert, now time.Time) (verdict, Changes) {
	if a.Node == s.self {
		if a.Boot > s.own().boot {
			return advertDouble, Changes{}
		}
		return advertOld, Changes{}
	}
	age := time.Duration(a.AgeMs) * time.Millisecond
	if age >= advertExpiry {
		return advertOld, Changes{}
	}
	var c Changes
	r := s.records[a.Node]
	switch {
	case r == nil && len(s.records) >= maxRecords, r != nil && a.Boot < r.boot:
		return advertOld, Changes{}
	case (r == nil || a.Boot > r.boot) && a.Base > 0:
		return advertGap, Changes{}
	case r == nil || a.Boot > r.boot:
		if r != nil {
			c = s.drop(a.Node) // its former life
		}
		r = newRecord(a.Node, a.Boot)
		s.put(r)
	case a.Base == 0 || r.anew != nil && r.anew.follows(a):
		return s.rebuild(r, a, now.Add(-age))
	case a.Seq <= r.seq:
		return advertKnown, Changes{}
	case !r.follows(a):
		return advertGap, Changes{}
	}
	s.merge(r, a, now.Add(-age), &c)
	return advertStored, c
}

// follows reports whether a holds all that changed since r.
func (r *record) follows(a peer.Advert) bool {
	return a.Base <= r.seq && (a.Forgotten <= r.seq || a.Forgotten == r.forgotten)
}

func (s *adverts) merge(r *record, a peer.Advert, made time.Time, c *Changes) {
	for i := range a.Entries {
		e := &a.Entries[i]
		if len(r.entries) < maxRecordEntries || r.entries[entryKey{e.Kind, e.Key}] != nil {
			s.store(r, e, c)
		}
	}
	r.changed = max(r.changed, a.Forgotten)
	r.seq, r.made, r.forgotten = max(r.seq, a.Seq), made, max(r.forgotten, a.Forgotten)
	r.forget()
}

// rebuild takes a part of a record that comes from its beginning although we have
// a copy. It is put together aside, so that what stays in it is not disturbed,
// and takes the copy's place when it is whole and newer.
func (s *adverts) rebuild(r *record, a peer.Advert, made time.Time) (verdict, Changes) {
	if a.Base == 0 {
		r.anew = newRecord(a.Node, a.Boot)
	}
	var c Changes
	n := r.anew
	s.merge(n, a, made, &c)
	if n.seq < n.forgotten {
		return advertPart, Changes{} // more parts follow
	}
	r.anew = nil
	if n.seq <= r.seq {
		return advertKnown, Changes{}
	}
	n.tree = r.tree
	old := s.drop(a.Node)
	s.put(n)
	return advertStored, Changes{Links: true, Linked: true, Broadcasts: append(old.Broadcasts, slices.Collect(maps.Keys(n.broadcasts))...)}
}

// store puts one entry in its place, and its value where it is looked for.
func (s *adverts) store(r *record, e *peer.Entry, c *Changes) {
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
	r.changed = max(r.changed, e.Seq)
	n := s.entry(r.ref, e)
	r.entries[k] = n
	switch e.Kind {
	case peer.EntryNode:
		if v, err := peer.ParseNodeValue(e.Value); err == nil {
			r.about = v
		}
	case peer.EntryLink:
		c.Links = true
		c.Linked = c.Linked || (n.link != nil) != (old != nil && old.link != nil)
	case peer.EntryBroadcast:
		name, err := wire.ParseBroadcast(e.Key)
		if err != nil {
			return // kept and forwarded, like any entry that we do not understand
		}
		c.Broadcasts = append(c.Broadcasts, name)
		delete(r.broadcasts, name)
		if v, err := peer.ParseBroadcastValue(e.Value); err == nil && !e.Withdrawn {
			r.broadcasts[name] = v
		}
	}
}

// entry makes e ours.
func (s *adverts) entry(ref peer.Ref, e *peer.Entry) *entry {
	if n := s.entries[sharedKey{ref, e.Seq}]; n != nil {
		return n
	}
	n := &entry{seq: e.Seq, withdrawn: e.Withdrawn, value: slices.Clone(e.Value)}
	if e.Kind == peer.EntryLink && !e.Withdrawn {
		if v, err := peer.ParseLinkValue(e.Value); err == nil {
			n.link = &v
		}
	}
	if s.entries != nil {
		s.entries[sharedKey{ref, e.Seq}] = n
	}
	return n
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
func (r *record) since(base uint64, now time.Time) []peer.Advert {
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

	part := peer.Advert{Node: r.node, Boot: r.boot, Base: base, AgeMs: r.age(now), Delay: r.tree.delay}
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

// age is how old the record is, for the wire.
func (r *record) age(now time.Time) uint64 { return uint64(max(now.Sub(r.made), 0).Milliseconds()) }

// expire drops the records of nodes that have been silent for too long.
func (s *adverts) expire(now time.Time) (nodes []string, c Changes) {
	for node, r := range s.records {
		if node != s.self && now.Sub(r.made) >= advertExpiry {
			d := s.drop(node)
			nodes = append(nodes, node)
			c.add(d)
		}
	}
	return nodes, c
}

func (s *adverts) drop(node string) Changes {
	r := s.records[node]
	delete(s.records, node)
	delete(s.byRef, r.ref)
	c := Changes{Links: true, Linked: true}
	for name := range r.broadcasts {
		c.Broadcasts = append(c.Broadcasts, name)
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
