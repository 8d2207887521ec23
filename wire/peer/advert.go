package peer

import (
	"fmt"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

const flagWithdrawn = 0x1 // Entry: there is no value

// Advert is what changed in one node's record between Base and Seq.
type Advert struct {
	Node  string
	Boot  uint64
	Base  uint64
	Seq   uint64
	AgeMs uint64
	// Delay from the owner to the sender, along the links by which it came.
	Delay time.Duration
	// Forgotten says that entries withdrawn up to this sequence may be missing.
	Forgotten uint64
	Entries   []Entry
}

// Entry is one item of a record. Key names it within its kind.
type Entry struct {
	Seq       uint64
	Kind      EntryKind
	Withdrawn bool
	Key       string
	Value     []byte // empty if withdrawn
}

// Type says which message it is.
func (Advert) Type() Type { return TypeAdvert }

// Append appends the body.
//
//	Node (s), Boot (i), Base (i), Seq (i), AgeMs (i), Delay (i), Forgotten (i),
//	Count (i), Entry...
func (a Advert) Append(b []byte) []byte {
	b = appendText(b, a.Node)
	b = quicvarint.Append(b, a.Boot)
	b = quicvarint.Append(b, a.Base)
	b = quicvarint.Append(b, a.Seq)
	b = quicvarint.Append(b, a.AgeMs)
	b = appendMicros(b, a.Delay)
	b = quicvarint.Append(b, a.Forgotten)
	b = quicvarint.Append(b, uint64(len(a.Entries)))
	for i := range a.Entries {
		b = a.Entries[i].append(b)
	}
	return b
}

// Seq (i), Kind (i), Flags (i), Key (s), Value (b) unless withdrawn
func (e *Entry) append(b []byte) []byte {
	b = quicvarint.Append(b, e.Seq)
	b = quicvarint.Append(b, uint64(e.Kind))
	b = appendBool(b, e.Withdrawn)
	b = appendText(b, e.Key)
	if e.Withdrawn {
		return b
	}
	return appendText(b, e.Value)
}

// Len returns how many bytes the entry takes, for those who fill a message.
func (e *Entry) Len() int {
	n := quicvarint.Len(e.Seq) + quicvarint.Len(uint64(e.Kind)) + 1 + quicvarint.Len(uint64(len(e.Key))) + len(e.Key)
	if e.Withdrawn {
		return n
	}
	return n + quicvarint.Len(uint64(len(e.Value))) + len(e.Value)
}

// maxAgeMs keeps ages within what is reasonable.
const maxAgeMs = 1 << 32

// minEntryBytes: sequence, kind, flags and an empty key.
const minEntryBytes = 4

// ParseAdvert parses a body. The entries' values alias b.
func ParseAdvert(b []byte) (Advert, error) {
	c := cursor{b: b}
	a := Advert{
		Node:  c.node(),
		Boot:  c.upTo(maxTime, "boot"),
		Base:  c.varint(),
		Seq:   c.varint(),
		AgeMs: c.upTo(maxAgeMs, "age"),
		Delay: c.micros("delay"),
	}
	a.Forgotten = c.varint()
	n := c.count(MaxEntries, minEntryBytes, "entries")
	if c.err == nil && (a.Boot == 0 || a.Base >= a.Seq) {
		c.fail(fmt.Errorf("%w: boot %d, sequence %d from %d", ErrMalformed, a.Boot, a.Seq, a.Base))
	}
	if c.err == nil && n > 0 {
		a.Entries = make([]Entry, n)
		last := a.Base
		for i := range a.Entries {
			e := &a.Entries[i]
			c.entry(e)
			if c.err == nil && (e.Seq <= last || e.Seq > a.Seq) {
				c.fail(fmt.Errorf("%w: entry %d behind %d, in an advert to %d", ErrMalformed, e.Seq, last, a.Seq))
			}
			last = e.Seq
		}
	}
	if c.err != nil {
		return Advert{}, fmt.Errorf("advert: %w", c.err)
	}
	return a, nil
}

func (c *cursor) entry(e *Entry) {
	e.Seq = c.varint()
	e.Kind = EntryKind(c.varint())
	e.Withdrawn = c.varint()&flagWithdrawn != 0
	e.Key = c.text(MaxKeyBytes, "entry key")
	if !e.Withdrawn {
		e.Value = c.bytes(MaxValueBytes, "entry value")
	}
}
