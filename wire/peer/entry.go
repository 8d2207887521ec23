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

// NodeValue is what a node says of itself. Its key is empty.
type NodeValue struct {
	Region       string
	Provider     string
	Capabilities uint64
}

// Append appends the value.
//
//	Region (s), Provider (s), Capabilities (i)
func (v NodeValue) Append(b []byte) []byte {
	b = appendText(b, v.Region)
	b = appendText(b, v.Provider)
	return quicvarint.Append(b, v.Capabilities)
}

// ParseNodeValue parses a value.
func ParseNodeValue(b []byte) (NodeValue, error) {
	c := cursor{b: b}
	v := NodeValue{
		Region:       c.text(MaxNodeIDBytes, "region"),
		Provider:     c.text(MaxNodeIDBytes, "provider"),
		Capabilities: c.varint(),
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
func appendMicros(b []byte, d time.Duration) []byte {
	d = min(max(d, 0), maxDuration)
	return quicvarint.Append(b, uint64(d/time.Microsecond))
}
