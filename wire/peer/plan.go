package peer

import (
	"fmt"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// Plan carries routes of one track from its origin downwards. A node keeps its
// own, and sends on those of the nodes that its children have told it of.
type Plan struct {
	ID      uint64
	Version uint64
	Routes  []Route
}

// Route is where one node is to take the track from.
type Route struct {
	Node   string
	Path   []string // from the origin to the parent; empty: the plan has no place for the node
	Backup []string // from the origin to the backup parent; empty: none
	// Delay and BackupDelay that the origin expects at the node, and the bound
	// that it holds them against.
	Delay, BackupDelay, Bound time.Duration
	Protect                   uint8 // grade of protection, as the planner counts them
	PriceMicroUSD             uint64
	Since                     uint64 // µs since 1970, when the path last changed
	Reason                    string // at most MaxReasonBytes
	Note                      string // at most MaxReasonBytes
}

// MaxProtect is the highest grade of protection.
const MaxProtect = 3

// Type says which message it is.
func (Plan) Type() Type { return TypePlan }

// Append appends the body.
//
//	ID (i), Version (i), Count (i), Route {
//	  Node (s), Count (i), Hop (s)..., Count (i), Hop (s)..., Delay (i), BackupDelay (i), Bound (i),
//	  Protect (i), PriceMicroUSD (i), Since (i), Reason (s), Note (s)
//	}...
func (p Plan) Append(b []byte) []byte {
	b = quicvarint.Append(b, p.ID)
	b = quicvarint.Append(b, p.Version)
	b = quicvarint.Append(b, uint64(len(p.Routes)))
	for i := range p.Routes {
		b = p.Routes[i].append(b)
	}
	return b
}

func (r *Route) append(b []byte) []byte {
	b = appendText(b, r.Node)
	b = appendHops(b, r.Path)
	b = appendHops(b, r.Backup)
	b = appendMicros(b, r.Delay)
	b = appendMicros(b, r.BackupDelay)
	b = appendMicros(b, r.Bound)
	b = quicvarint.Append(b, uint64(r.Protect))
	b = quicvarint.Append(b, r.PriceMicroUSD)
	b = quicvarint.Append(b, r.Since)
	b = appendText(b, r.Reason)
	return appendText(b, r.Note)
}

// Len returns how many bytes the route takes in a Plan.
func (r *Route) Len() int { return len(r.append(nil)) }

// minRouteBytes is a route of a node with a name of one byte and nothing else.
const minRouteBytes = 12

// ParsePlan parses a body.
func ParsePlan(b []byte) (Plan, error) {
	c := cursor{b: b}
	p := Plan{ID: c.varint(), Version: c.varint()}
	if n := c.count(MaxRoutes, minRouteBytes, "routes"); n > 0 {
		p.Routes = make([]Route, 0, n)
		for range n {
			p.Routes = append(p.Routes, c.route())
		}
	}
	if c.err != nil {
		return Plan{}, fmt.Errorf("plan: %w", c.err)
	}
	return p, nil
}

func (c *cursor) route() Route {
	return Route{
		Node: c.node(), Path: c.hops(), Backup: c.hops(),
		Delay: c.micros("delay"), BackupDelay: c.micros("delay"), Bound: c.micros("bound"),
		Protect: uint8(c.upTo(MaxProtect, "protection")), PriceMicroUSD: c.varint(), Since: c.upTo(maxTime, "time"),
		Reason: c.text(MaxReasonBytes, "reason"), Note: c.text(MaxReasonBytes, "note"),
	}
}
