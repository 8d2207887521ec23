package peer

import (
	"fmt"

	"github.com/quic-go/quic-go/quicvarint"
)

// Resume makes a subscription on standby deliver, from Start on. For one that
// delivers it says nothing new.
type Resume struct {
	ID    uint64
	Start Start
}

// Type says which message it is.
func (Resume) Type() Type { return TypeResume }

// Append appends the body.
//
//	ID (i), Start (i), [Group (i), Object (i)]
func (r Resume) Append(b []byte) []byte {
	b = quicvarint.Append(b, r.ID)
	return r.Start.append(b)
}

// ParseResume parses a body.
func ParseResume(b []byte) (Resume, error) {
	c := cursor{b: b}
	r := Resume{ID: c.varint(), Start: c.start()}
	if c.err != nil {
		return Resume{}, fmt.Errorf("resume: %w", c.err)
	}
	return r, nil
}

// Pause puts a subscription on standby: what is being sent of it is reset.
type Pause struct{ ID uint64 }

// Type says which message it is.
func (Pause) Type() Type { return TypePause }

// Append appends the body.
//
//	ID (i)
func (p Pause) Append(b []byte) []byte { return quicvarint.Append(b, p.ID) }

// ParsePause parses a body.
func ParsePause(b []byte) (Pause, error) {
	c := cursor{b: b}
	p := Pause{ID: c.varint()}
	if c.err != nil {
		return Pause{}, fmt.Errorf("pause: %w", c.err)
	}
	return p, nil
}
