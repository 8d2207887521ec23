package peer

import (
	"fmt"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// Path replaces the path of SubscribeOK when the parent has moved, and says how
// old objects are at each node of it. Without hops: the parent has no way to the
// origin now, or may have none.
type Path struct {
	ID   uint64
	Hops []Hop // from the origin to this parent
}

// Hop is a node on the path of a track.
type Hop struct {
	Node string
	Age  Age
}

// Age is how old a track's objects are when their first byte reaches a node.
type Age struct {
	State AgeState
	P50   time.Duration // where measured
	Err   time.Duration // bound of its error
}

// AgeState says whether an age is known.
type AgeState uint8

// States of an age.
const (
	AgeUnknown        AgeState = iota // nothing came lately
	AgeUnsynchronised                 // the clocks between here and the origin are not known well enough
	AgeMeasured
)

// Nodes returns the hops' nodes.
func (p Path) Nodes() []string {
	if len(p.Hops) == 0 {
		return nil
	}
	nodes := make([]string, len(p.Hops))
	for i, h := range p.Hops {
		nodes[i] = h.Node
	}
	return nodes
}

// Type says which message it is.
func (Path) Type() Type { return TypePath }

// Append appends the body.
//
//	ID (i), Count (i), Hop { Node (s), Age (i), [Err (i)] }...
func (p Path) Append(b []byte) []byte {
	b = quicvarint.Append(b, p.ID)
	b = quicvarint.Append(b, uint64(len(p.Hops)))
	for _, h := range p.Hops {
		b = appendText(b, h.Node)
		b = h.Age.append(b)
	}
	return b
}

// ParsePath parses a body.
func ParsePath(b []byte) (Path, error) {
	c := cursor{b: b}
	p := Path{ID: c.varint()}
	if n := c.count(MaxHops, 3, "hops"); n > 0 {
		p.Hops = make([]Hop, 0, n)
		for range n {
			p.Hops = append(p.Hops, Hop{Node: c.node(), Age: c.age()})
		}
	}
	if c.err != nil {
		return Path{}, fmt.Errorf("path: %w", c.err)
	}
	return p, nil
}

// append appends an age.
//
//	Age (i): 0 unknown, 1 unsynchronised, else 2 + µs; [Err (i)] µs if measured
func (a Age) append(b []byte) []byte {
	if a.State != AgeMeasured {
		return quicvarint.Append(b, uint64(min(a.State, AgeUnsynchronised)))
	}
	b = quicvarint.Append(b, uint64(AgeMeasured)+clampMicros(a.P50))
	return appendMicros(b, a.Err)
}

func (c *cursor) age() Age {
	switch v := c.upTo(uint64(AgeMeasured)+uint64(maxDuration/time.Microsecond), "age"); v {
	case uint64(AgeUnknown):
		return Age{}
	case uint64(AgeUnsynchronised):
		return Age{State: AgeUnsynchronised}
	default:
		p50 := time.Duration(v-uint64(AgeMeasured)) * time.Microsecond
		return Age{State: AgeMeasured, P50: p50, Err: c.micros("error of an age")}
	}
}
