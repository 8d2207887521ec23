package peer

import (
	"fmt"

	"github.com/quic-go/quic-go/quicvarint"
)

// MaxLanes bounds the lanes of a link, lane 0 included.
const MaxLanes = 16

// Lanes says how many lanes a link should have, lane 0 included: from the
// accepting end a wish, from the dialling end what holds.
type Lanes struct {
	Count uint64
}

// Type says which message it is.
func (Lanes) Type() Type { return TypeLanes }

// Append appends the body.
//
//	Count (i)
func (l Lanes) Append(b []byte) []byte { return quicvarint.Append(b, l.Count) }

// ParseLanes parses a body.
func ParseLanes(b []byte) (Lanes, error) {
	c := cursor{b: b}
	l := Lanes{Count: c.upTo(MaxLanes, "lanes")}
	if c.err == nil && l.Count == 0 {
		c.fail(fmt.Errorf("%w: no lanes", ErrMalformed))
	}
	if c.err != nil {
		return Lanes{}, fmt.Errorf("lanes: %w", c.err)
	}
	return l, nil
}
