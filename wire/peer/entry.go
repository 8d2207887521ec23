package peer

import (
	"fmt"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// EntryKind says what an entry of a record is about.
type EntryKind uint64

// Kinds of entries (docs/wire.md, section 4). Unknown ones are kept and
// forwarded.
const (
	EntryNode      EntryKind = 1
	EntryLink      EntryKind = 2
	EntryBroadcast EntryKind = 3
)

// NodeValue is what a node says of itself. Its key is empty. Load is coarse: it
// is told again when it has moved by a tenth of the limit.
type NodeValue struct {
	Region       string
	Provider     string
	Capabilities uint64
	State        NodeState
	Version      string
	// URL is the base at which clients reach the node; empty: not told.
	URL string
	// Latitude and Longitude in hundredths of a degree; both 0: not told.
	Latitude, Longitude int64
	// EgressMbps that the node may send, and what of it is used; 0: no limit.
	EgressMbps, UsedMbps uint64
	// MaxChildren of one track, 0: it does not relay.
	MaxChildren uint64
	// MaxViewers, 0: no limit, and how many there are.
	MaxViewers, Viewers uint64
	// PriceMicroUSD for a GB sent to clients.
	PriceMicroUSD uint64
	// Coordinate places the node among the others (internal to its owner's
	// estimator): milliseconds times 100. Empty: not known.
	Coordinate []int64
}

// NodeState are bits that say what a node takes on.
type NodeState uint64

// States of a node.
const (
	NodeDraining   NodeState = 1 << iota // leaves: no new work, move away
	NodeOverloaded                       // no new work for now
	NodeDegraded                         // its discovery cannot be reached
)

// MaxCoordinate is the largest number of components of a coordinate.
const MaxCoordinate = 16

// Append appends the value.
//
//	Region (s), Provider (s), Capabilities (i), State (i), Version (s), URL (s),
//	Latitude (z), Longitude (z), EgressMbps (i), UsedMbps (i), MaxChildren (i),
//	MaxViewers (i), Viewers (i), PriceMicroUSD (i), Count (i), Coordinate (z)...
func (v NodeValue) Append(b []byte) []byte {
	b = appendText(b, v.Region)
	b = appendText(b, v.Provider)
	b = quicvarint.Append(b, v.Capabilities)
	b = quicvarint.Append(b, uint64(v.State))
	b = appendText(b, v.Version)
	b = appendText(b, v.URL)
	b = appendZigzag(b, v.Latitude)
	b = appendZigzag(b, v.Longitude)
	for _, n := range [...]uint64{v.EgressMbps, v.UsedMbps, v.MaxChildren, v.MaxViewers, v.Viewers, v.PriceMicroUSD} {
		b = quicvarint.Append(b, n)
	}
	b = quicvarint.Append(b, uint64(len(v.Coordinate)))
	for _, x := range v.Coordinate {
		b = appendZigzag(b, x)
	}
	return b
}

// ParseNodeValue parses a value.
func ParseNodeValue(b []byte) (NodeValue, error) {
	c := cursor{b: b}
	v := NodeValue{
		Region:       c.text(MaxNodeIDBytes, "region"),
		Provider:     c.text(MaxNodeIDBytes, "provider"),
		Capabilities: c.varint(),
		State:        NodeState(c.varint()),
		Version:      c.text(MaxNodeIDBytes, "version"),
		URL:          c.text(MaxKeyBytes, "URL"),
		Latitude:     c.zigzag(),
		Longitude:    c.zigzag(),
	}
	for _, n := range [...]*uint64{&v.EgressMbps, &v.UsedMbps, &v.MaxChildren, &v.MaxViewers, &v.Viewers, &v.PriceMicroUSD} {
		*n = c.varint()
	}
	for range c.count(MaxCoordinate, 1, "coordinate") {
		v.Coordinate = append(v.Coordinate, c.zigzag())
	}
	if c.err != nil {
		return NodeValue{}, fmt.Errorf("node entry: %w", c.err)
	}
	return v, nil
}

// LinkValue is what a node measures on one of its links. Its key is the peer.
// Delays are one way: half of a round trip.
type LinkValue struct {
	DelayMin time.Duration
	DelayP50 time.Duration
	DelayP95 time.Duration
	Jitter   time.Duration
	LossPpm  uint64
}

// Append appends the value.
//
//	DelayMin (i), DelayP50 (i), DelayP95 (i), Jitter (i), LossPpm (i)
func (v LinkValue) Append(b []byte) []byte {
	b = appendMicros(b, v.DelayMin)
	b = appendMicros(b, v.DelayP50)
	b = appendMicros(b, v.DelayP95)
	b = appendMicros(b, v.Jitter)
	return quicvarint.Append(b, v.LossPpm)
}

// ParseLinkValue parses a value.
func ParseLinkValue(b []byte) (LinkValue, error) {
	c := cursor{b: b}
	v := LinkValue{
		DelayMin: c.micros("delay"),
		DelayP50: c.micros("delay"),
		DelayP95: c.micros("delay"),
		Jitter:   c.micros("jitter"),
		LossPpm:  c.upTo(1_000_000, "loss"),
	}
	if c.err != nil {
		return LinkValue{}, fmt.Errorf("link entry: %w", c.err)
	}
	return v, nil
}

// BroadcastValue is a broadcast that entered at the node. Its key is the name.
type BroadcastValue struct {
	Epoch       uint64
	PublisherID uint64
}

// Append appends the value.
//
//	Epoch (i), PublisherID (i)
func (v BroadcastValue) Append(b []byte) []byte {
	b = quicvarint.Append(b, v.Epoch)
	return quicvarint.Append(b, v.PublisherID)
}

// ParseBroadcastValue parses a value.
func ParseBroadcastValue(b []byte) (BroadcastValue, error) {
	c := cursor{b: b}
	v := BroadcastValue{Epoch: c.upTo(maxTime, "epoch"), PublisherID: c.upTo(1<<53-1, "publisher id")}
	if c.err == nil && (v.Epoch == 0 || v.PublisherID == 0) {
		c.fail(fmt.Errorf("%w: epoch %d, publisher %d", ErrMalformed, v.Epoch, v.PublisherID))
	}
	if c.err != nil {
		return BroadcastValue{}, fmt.Errorf("broadcast entry: %w", c.err)
	}
	return v, nil
}

// maxDuration keeps durations on the wire within a day: more is a mistake.
const maxDuration = 24 * time.Hour

func (c *cursor) micros(what string) time.Duration {
	return time.Duration(c.upTo(uint64(maxDuration/time.Microsecond), what)) * time.Microsecond
}

// appendMicros rounds d to what the wire can say: never negative, at most a day.
func appendMicros(b []byte, d time.Duration) []byte { return quicvarint.Append(b, clampMicros(d)) }

func clampMicros(d time.Duration) uint64 {
	return uint64(min(max(d, 0), maxDuration) / time.Microsecond)
}
