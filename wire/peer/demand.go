package peer

import (
	"fmt"

	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// Demand says who takes the track through the child: itself and the nodes below
// it. It holds what has changed since the last one, or all of it.
type Demand struct {
	ID      uint64
	Full    bool // nodes that are not listed are gone
	Entries []DemandEntry
}

// DemandEntry is one node that wants a track, or relays it.
type DemandEntry struct {
	Node    string
	Gone    bool   // it takes the track no more; nothing else is told
	Viewers uint64 // at this node, not below it
	Parent  string // from which it takes the track; empty: from none now
	// Version of the plan that the node has.
	Version uint64
	// Obstacle is why it is not where that plan wants it, CodeCancel where it is.
	Obstacle wire.Code
	Age      Age
}

// Type says which message it is.
func (Demand) Type() Type { return TypeDemand }

const (
	demandFull = 0x1 // flag of a DEMAND
	demandGone = 0x1 // flag of an entry
)

// Append appends the body.
//
//	ID (i), Flags (i), Count (i), Entry {
//	  Node (s), Flags (i), [Viewers (i), Parent (s), Version (i), Obstacle (i), Age (i), [Err (i)]]
//	}...
func (d Demand) Append(b []byte) []byte {
	b = quicvarint.Append(b, d.ID)
	b = appendBool(b, d.Full)
	b = quicvarint.Append(b, uint64(len(d.Entries)))
	for i := range d.Entries {
		e := &d.Entries[i]
		b = appendText(b, e.Node)
		b = appendBool(b, e.Gone)
		if e.Gone {
			continue
		}
		b = quicvarint.Append(b, e.Viewers)
		b = appendText(b, e.Parent)
		b = quicvarint.Append(b, e.Version)
		b = quicvarint.Append(b, uint64(e.Obstacle))
		b = e.Age.append(b)
	}
	return b
}

// ParseDemand parses a body.
func ParseDemand(b []byte) (Demand, error) {
	c := cursor{b: b}
	d := Demand{ID: c.varint(), Full: c.varint()&demandFull != 0}
	if n := c.count(MaxDemand, 3, "demand entries"); n > 0 {
		d.Entries = make([]DemandEntry, 0, n)
		for range n {
			e := DemandEntry{Node: c.node(), Gone: c.varint()&demandGone != 0}
			if !e.Gone && c.err == nil {
				e.Viewers = c.varint()
				e.Parent = c.nodeOrNone()
				e.Version = c.varint()
				e.Obstacle = wire.Code(c.varint())
				e.Age = c.age()
			}
			d.Entries = append(d.Entries, e)
		}
	}
	if c.err != nil {
		return Demand{}, fmt.Errorf("demand: %w", c.err)
	}
	return d, nil
}
