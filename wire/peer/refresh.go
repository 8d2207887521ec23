package peer

import (
	"fmt"

	"github.com/quic-go/quic-go/quicvarint"
)

// Refresh asks for a new group of a subscription: viewers behind the child want
// to begin, and the group that is cached is too much for their paths. It is
// passed on towards the publisher, from each node at most once a second, and
// ignored by nodes that do not know it.
type Refresh struct{ ID uint64 }

// Type says which message it is.
func (Refresh) Type() Type { return TypeRefresh }

// Append appends the body.
//
//	ID (i)
func (r Refresh) Append(b []byte) []byte { return quicvarint.Append(b, r.ID) }

// ParseRefresh parses a body.
func ParseRefresh(b []byte) (Refresh, error) {
	c := cursor{b: b}
	r := Refresh{ID: c.varint()}
	if c.err != nil {
		return Refresh{}, fmt.Errorf("refresh: %w", c.err)
	}
	return r, nil
}
