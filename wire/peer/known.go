package peer

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// Ref stands for the record of one process: its node's id and boot, in short.
type Ref uint64

// RefOf returns the ref of a node's record: FNV-1a over the id and, in eight
// bytes, the boot.
func RefOf(node string, boot uint64) Ref {
	h := fnv.New64a()
	_, _ = h.Write([]byte(node)) // a hash's Write never fails
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, boot))
	return Ref(h.Sum64())
}

func appendRef(b []byte, r Ref) []byte { return binary.BigEndian.AppendUint64(b, uint64(r)) }

// ref reads a (64).
func (c *cursor) ref() Ref {
	if c.err == nil && len(c.b) < 8 {
		c.fail(ErrShort)
	}
	if c.err != nil {
		return 0
	}
	v := binary.BigEndian.Uint64(c.b)
	c.b = c.b[8:]
	return Ref(v)
}

// Known offers copies of records.
type Known struct{ Records []KnownRecord }

// KnownRecord is a copy that the sender holds.
type KnownRecord struct {
	Ref Ref
	// Seq at which an entry last changed.
	Seq uint64
	// Delay from the owner to the sender.
	Delay time.Duration
}

// Type says which message it is.
func (Known) Type() Type { return TypeKnown }

// Append appends the body.
//
//	Count (i), { Ref (64), Seq (i), Delay (i) }...
func (k Known) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(len(k.Records)))
	for _, r := range k.Records {
		b = appendRef(b, r.Ref)
		b = quicvarint.Append(b, r.Seq)
		b = appendMicros(b, r.Delay)
	}
	return b
}

// ParseKnown parses a body.
func ParseKnown(b []byte) (Known, error) {
	c := cursor{b: b}
	var k Known
	if n := c.count(MaxKnown, 10, "known records"); n > 0 {
		k.Records = make([]KnownRecord, n)
		for i := range k.Records {
			k.Records[i] = KnownRecord{Ref: c.ref(), Seq: c.varint(), Delay: c.micros("delay")}
		}
	}
	if c.err != nil {
		return Known{}, fmt.Errorf("known: %w", c.err)
	}
	return k, nil
}

// Graft asks for records: what changed in them, and what will.
type Graft struct{ Records []GraftRecord }

// GraftRecord is a copy as the sender has it. Seq 0 means none of it.
type GraftRecord struct {
	Ref Ref
	Seq uint64
}

// Type says which message it is.
func (Graft) Type() Type { return TypeGraft }

// Append appends the body.
//
//	Count (i), { Ref (64), Seq (i) }...
func (g Graft) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(len(g.Records)))
	for _, r := range g.Records {
		b = quicvarint.Append(appendRef(b, r.Ref), r.Seq)
	}
	return b
}

// ParseGraft parses a body.
func ParseGraft(b []byte) (Graft, error) {
	c := cursor{b: b}
	var g Graft
	if n := c.count(MaxKnown, 9, "grafted records"); n > 0 {
		g.Records = make([]GraftRecord, n)
		for i := range g.Records {
			g.Records[i] = GraftRecord{Ref: c.ref(), Seq: c.varint()}
		}
	}
	if c.err != nil {
		return Graft{}, fmt.Errorf("graft: %w", c.err)
	}
	return g, nil
}

// Prune takes grafts back: the sender has the records from somebody else.
type Prune struct{ Refs []Ref }

// Type says which message it is.
func (Prune) Type() Type { return TypePrune }

// Append appends the body.
//
//	Count (i), Ref (64)...
func (p Prune) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(len(p.Refs)))
	for _, r := range p.Refs {
		b = appendRef(b, r)
	}
	return b
}

// ParsePrune parses a body.
func ParsePrune(b []byte) (Prune, error) {
	c := cursor{b: b}
	var p Prune
	if n := c.count(MaxKnown, 8, "pruned records"); n > 0 {
		p.Refs = make([]Ref, n)
		for i := range p.Refs {
			p.Refs[i] = c.ref()
		}
	}
	if c.err != nil {
		return Prune{}, fmt.Errorf("prune: %w", c.err)
	}
	return p, nil
}

// Fresh says of records that their owners live, and that nothing changed.
type Fresh struct{ Records []FreshRecord }

// FreshRecord is a record as of Seq.
type FreshRecord struct {
	Ref Ref
	Seq uint64
	// Quiet is by how much Seq has risen since an entry last changed.
	Quiet uint64
	AgeMs uint64
	Delay time.Duration // from the owner to the sender
}

// Type says which message it is.
func (Fresh) Type() Type { return TypeFresh }

// Append appends the body.
//
//	Count (i), { Ref (64), Seq (i), Quiet (i), AgeMs (i), Delay (i) }...
func (f Fresh) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(len(f.Records)))
	for _, r := range f.Records {
		b = quicvarint.Append(appendRef(b, r.Ref), r.Seq)
		b = quicvarint.Append(b, r.Quiet)
		b = quicvarint.Append(b, r.AgeMs)
		b = appendMicros(b, r.Delay)
	}
	return b
}

// ParseFresh parses a body.
func ParseFresh(b []byte) (Fresh, error) {
	c := cursor{b: b}
	var f Fresh
	if n := c.count(MaxKnown, 12, "fresh records"); n > 0 {
		f.Records = make([]FreshRecord, n)
		for i := range f.Records {
			r := FreshRecord{Ref: c.ref(), Seq: c.varint(), Quiet: c.varint(), AgeMs: c.upTo(maxAgeMs, "age"), Delay: c.micros("delay")}
			if c.err == nil && r.Quiet > r.Seq {
				c.fail(fmt.Errorf("%w: quiet for %d, at sequence %d", ErrMalformed, r.Quiet, r.Seq))
			}
			f.Records[i] = r
		}
	}
	if c.err != nil {
		return Fresh{}, fmt.Errorf("fresh: %w", c.err)
	}
	return f, nil
}

// Keep says whether the sender wants the link for itself.
type Keep struct{ Wanted bool }

// Type says which message it is.
func (Keep) Type() Type { return TypeKeep }

// Append appends the body.
//
//	Flags (i)
func (k Keep) Append(b []byte) []byte { return appendBool(b, k.Wanted) }

// ParseKeep parses a body.
func ParseKeep(b []byte) (Keep, error) {
	c := cursor{b: b}
	k := Keep{Wanted: c.varint()&flagWanted != 0}
	if c.err != nil {
		return Keep{}, fmt.Errorf("keep: %w", c.err)
	}
	return k, nil
}

const flagWanted = 0x1 // KEEP: the sender has a use for the link
