package peer

import (
	"fmt"

	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// CapRelay says that a node carries tracks of other nodes.
const CapRelay uint64 = 0x1

// Hello is the first message on every lane, from both sides.
type Hello struct {
	Revision     uint64
	Node         string
	Cluster      string
	Region       string
	Provider     string // may be empty
	Boot         uint64 // µs since 1970, when the process started; never zero
	Capabilities uint64
	Lane         uint64
}

// Type says which message it is.
func (Hello) Type() Type { return TypeHello }

// Append appends the body.
//
//	Revision (i), Node (s), Cluster (s), Region (s), Provider (s), Boot (i), Capabilities (i), Lane (i)
func (h Hello) Append(b []byte) []byte {
	b = quicvarint.Append(b, h.Revision)
	b = appendText(b, h.Node)
	b = appendText(b, h.Cluster)
	b = appendText(b, h.Region)
	b = appendText(b, h.Provider)
	b = quicvarint.Append(b, h.Boot)
	b = quicvarint.Append(b, h.Capabilities)
	return quicvarint.Append(b, h.Lane)
}

// ParseHello parses a body.
func ParseHello(b []byte) (Hello, error) {
	c := cursor{b: b}
	h := Hello{
		Revision:     c.varint(),
		Node:         c.node(),
		Cluster:      c.text(MaxNodeIDBytes, "cluster"),
		Region:       c.text(MaxNodeIDBytes, "region"),
		Provider:     c.text(MaxNodeIDBytes, "provider"),
		Boot:         c.upTo(maxTime, "boot"),
		Capabilities: c.varint(),
		Lane:         c.varint(),
	}
	if c.err == nil && (h.Revision == 0 || h.Boot == 0) {
		c.fail(fmt.Errorf("%w: revision %d, boot %d", ErrMalformed, h.Revision, h.Boot))
	}
	if c.err != nil {
		return Hello{}, fmt.Errorf("hello: %w", c.err)
	}
	return h, nil
}

// GoAway says that the sender will close the link.
type GoAway struct {
	Code       wire.Code
	DeadlineMs uint64
	Reason     string // at most MaxReasonBytes
}

// Type says which message it is.
func (GoAway) Type() Type { return TypeGoAway }

// Append appends the body.
//
//	Code (i), DeadlineMs (i), Reason (s)
func (g GoAway) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(g.Code))
	b = quicvarint.Append(b, g.DeadlineMs)
	return appendText(b, g.Reason)
}

// ParseGoAway parses a body.
func ParseGoAway(b []byte) (GoAway, error) {
	c := cursor{b: b}
	g := GoAway{
		Code:       wire.Code(c.varint()),
		DeadlineMs: c.upTo(1<<32, "deadline"),
		Reason:     c.text(MaxReasonBytes, "reason"),
	}
	if c.err != nil {
		return GoAway{}, fmt.Errorf("goaway: %w", c.err)
	}
	return g, nil
}
