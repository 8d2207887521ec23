package peer

import (
	"fmt"

	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// Start says where a subscription begins.
type Start struct {
	// Resume: from Object of Group, and all later groups from their first
	// objects. Otherwise from the first object of the newest group.
	Resume bool
	Group  uint64
	Object uint64
}

func (s Start) append(b []byte) []byte {
	b = appendBool(b, s.Resume)
	if s.Resume {
		b = quicvarint.Append(b, s.Group)
		b = quicvarint.Append(b, s.Object)
	}
	return b
}

func (c *cursor) start() Start {
	var s Start
	if s.Resume = c.upTo(1, "start") == 1; s.Resume {
		s.Group, s.Object = c.varint(), c.varint()
	}
	return s
}

// Subscribe asks the parent for a track.
type Subscribe struct {
	ID    uint64
	Track wire.TrackName
	Epoch uint64
	Start Start
	Hops  []string // node ids from the first asker to this child
	Mode  Mode
	// Route is the path from the origin to this parent that the child has in
	// mind; empty: any. A parent that carries the track serves it as it is, one
	// that does not takes it from the node before itself.
	Route []string
}

// Mode says whether a subscription delivers.
type Mode uint8

// Modes of a subscription.
const (
	ModeLive    Mode = iota // groups are sent as they come
	ModeStandby             // the parent takes the track, and sends nothing before RESUME
)

// Type says which message it is.
func (Subscribe) Type() Type { return TypeSubscribe }

// Append appends the body.
//
//	ID (i), Broadcast (s), Track (s), Epoch (i), Start (i), [Group (i), Object (i)],
//	Count (i), Hop (s)..., Mode (i), Count (i), Hop (s)...
func (s Subscribe) Append(b []byte) []byte {
	b = quicvarint.Append(b, s.ID)
	b = appendText(b, string(s.Track.Broadcast))
	b = appendText(b, s.Track.Track)
	b = quicvarint.Append(b, s.Epoch)
	b = s.Start.append(b)
	b = appendHops(b, s.Hops)
	b = quicvarint.Append(b, uint64(s.Mode))
	return appendHops(b, s.Route)
}

// ParseSubscribe parses a body.
func ParseSubscribe(b []byte) (Subscribe, error) {
	c := cursor{b: b}
	s := Subscribe{ID: c.varint()}
	broadcast := c.text(MaxKeyBytes, "broadcast name")
	track := c.text(MaxKeyBytes, "track name")
	s.Epoch = c.upTo(maxTime, "epoch")
	s.Start = c.start()
	s.Hops = c.hops()
	s.Mode = Mode(c.upTo(uint64(ModeStandby), "mode"))
	s.Route = c.hops()
	if c.err == nil {
		name, err := wire.ParseTrackName(broadcast, track)
		if err != nil {
			c.fail(fmt.Errorf("%w: %w", ErrMalformed, err))
		}
		s.Track = name
	}
	if c.err != nil {
		return Subscribe{}, fmt.Errorf("subscribe: %w", c.err)
	}
	return s, nil
}

// SubscribeOK is the parent's consent: what the track is like, and the path by
// which its media comes, from the origin to this parent.
type SubscribeOK struct {
	ID   uint64
	Info wire.TrackInfo
	Path []string
}

// Type says which message it is.
func (SubscribeOK) Type() Type { return TypeSubscribeOK }

// Append appends the body.
//
//	ID (i), Kind (i), Priority (i), Ordered (i), MaxLatency (i), Timescale (i), Count (i), Hop (s)...
func (s SubscribeOK) Append(b []byte) []byte {
	b = quicvarint.Append(b, s.ID)
	b = quicvarint.Append(b, uint64(s.Info.Kind))
	b = quicvarint.Append(b, uint64(s.Info.Priority))
	b = appendBool(b, s.Info.Ordered)
	b = appendMicros(b, s.Info.MaxLatency)
	b = quicvarint.Append(b, s.Info.Timescale)
	return appendHops(b, s.Path)
}

// ParseSubscribeOK parses a body. A kind from a later revision is KindData.
func ParseSubscribeOK(b []byte) (SubscribeOK, error) {
	c := cursor{b: b}
	s := SubscribeOK{ID: c.varint()}
	s.Info.Kind = wire.Kind(c.upTo(255, "kind"))
	s.Info.Priority = uint8(c.upTo(255, "priority"))
	s.Info.Ordered = c.upTo(1, "ordered") == 1
	s.Info.MaxLatency = c.micros("latency")
	s.Info.Timescale = c.varint()
	s.Path = c.hops()
	if c.err == nil && s.Info.Timescale == 0 {
		c.fail(fmt.Errorf("%w: timescale 0", ErrMalformed))
	}
	if c.err != nil {
		return SubscribeOK{}, fmt.Errorf("subscribe ok: %w", c.err)
	}
	if !s.Info.Kind.Valid() {
		s.Info.Kind = wire.KindData
	}
	return s, nil
}

// SubscribeError is the parent's refusal.
type SubscribeError struct {
	ID     uint64
	Code   wire.Code
	Reason string // at most MaxReasonBytes
	// Alternatives are nodes that carry the track and may take the child.
	Alternatives []string // at most MaxAlternatives
}

// Type says which message it is.
func (SubscribeError) Type() Type { return TypeSubscribeError }

// Append appends the body.
//
//	ID (i), Code (i), Reason (s), Count (i), Node (s)...
func (s SubscribeError) Append(b []byte) []byte {
	b = quicvarint.Append(b, s.ID)
	b = quicvarint.Append(b, uint64(s.Code))
	b = appendText(b, s.Reason)
	return appendHops(b, s.Alternatives)
}

// ParseSubscribeError parses a body.
func ParseSubscribeError(b []byte) (SubscribeError, error) {
	c := cursor{b: b}
	s := SubscribeError{ID: c.varint(), Code: wire.Code(c.varint()), Reason: c.text(MaxReasonBytes, "reason")}
	s.Alternatives = c.nodes(MaxAlternatives, "alternatives")
	if c.err != nil {
		return SubscribeError{}, fmt.Errorf("subscribe error: %w", c.err)
	}
	return s, nil
}

// Unsubscribe is the child leaving.
type Unsubscribe struct {
	ID   uint64
	Code wire.Code
}

// Type says which message it is.
func (Unsubscribe) Type() Type { return TypeUnsubscribe }

// Append appends the body.
//
//	ID (i), Code (i)
func (u Unsubscribe) Append(b []byte) []byte {
	b = quicvarint.Append(b, u.ID)
	return quicvarint.Append(b, uint64(u.Code))
}

// ParseUnsubscribe parses a body.
func ParseUnsubscribe(b []byte) (Unsubscribe, error) {
	c := cursor{b: b}
	u := Unsubscribe{ID: c.varint(), Code: wire.Code(c.varint())}
	if c.err != nil {
		return Unsubscribe{}, fmt.Errorf("unsubscribe: %w", c.err)
	}
	return u, nil
}

// TrackEnd is the parent saying that no further groups come. Streams is how
// many group streams there were in all.
type TrackEnd struct {
	ID      uint64
	Code    wire.Code
	Streams uint64
}

// Type says which message it is.
func (TrackEnd) Type() Type { return TypeTrackEnd }

// Append appends the body.
//
//	ID (i), Code (i), Streams (i)
func (t TrackEnd) Append(b []byte) []byte {
	b = quicvarint.Append(b, t.ID)
	b = quicvarint.Append(b, uint64(t.Code))
	return quicvarint.Append(b, t.Streams)
}

// ParseTrackEnd parses a body.
func ParseTrackEnd(b []byte) (TrackEnd, error) {
	c := cursor{b: b}
	t := TrackEnd{ID: c.varint(), Code: wire.Code(c.varint()), Streams: c.varint()}
	if c.err != nil {
		return TrackEnd{}, fmt.Errorf("track end: %w", c.err)
	}
	return t, nil
}
