package moqlite

import (
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// Bound is the first or the last group of a range, or unset (zero). On the wire
// it is the sequence plus one.
type Bound uint64

// BoundAt returns the bound at group.
func BoundAt(group uint64) Bound { return Bound(group + 1) }

// Group returns the sequence and whether the bound is set.
func (g Bound) Group() (uint64, bool) {
	if g == 0 {
		return 0, false
	}
	return uint64(g) - 1, true
}

// Delivery says how a subscriber wants groups delivered:
//
//	03+: { priority u8, ordered bool, max_latency_ms varint, start varint, end varint }
//	02:  { priority u8 }
//
// Of 02 it is read with latency02, newest first.
type Delivery struct {
	// Priority among the tracks of the session, higher is more important.
	Priority uint8
	// Ordered asks for oldest group first, otherwise newest first.
	Ordered bool
	// MaxLatency is how much older than the newest group a group may get
	// before it is given up. Zero: only the newest matters.
	MaxLatency time.Duration
	// Start is the first group; unset: the newest that exists.
	Start Bound
	// End is the last group, inclusive; unset: no end.
	End Bound
}

// latency02 is what subscribers of 02 are taken to want, who cannot say it: they buffer
// half a second.
const latency02 = 500 * time.Millisecond

func (m Delivery) append(b []byte, v Version) []byte {
	if !v.HasDelivery() {
		return append(b, m.Priority)
	}
	b = appendBool(append(b, m.Priority), m.Ordered)
	b = quicvarint.Append(appendMillis(b, m.MaxLatency), uint64(m.Start))
	return quicvarint.Append(b, uint64(m.End))
}

func (c *cursor) delivery(v Version) Delivery {
	if !v.HasDelivery() {
		return Delivery{Priority: c.u8("delivery priority"), MaxLatency: latency02}
	}
	return Delivery{
		Priority:   c.u8("delivery priority"),
		Ordered:    c.bool("delivery ordered"),
		MaxLatency: c.millis("delivery max_latency"),
		Start:      Bound(c.varint("delivery start")),
		End:        Bound(c.varint("delivery end")),
	}
}

// Subscribe asks for the groups of a track:
//
//	SUBSCRIBE { id varint, broadcast str, track str, delivery }
type Subscribe struct {
	// ID names the subscription on group streams; chosen by the subscriber,
	// never reused.
	ID        uint64
	Broadcast string
	Track     string
	Delivery
}

// Append writes the body of SUBSCRIBE.
func (m Subscribe) Append(b []byte, v Version) []byte {
	b = quicvarint.Append(b, m.ID)
	b = appendString(appendString(b, m.Broadcast), m.Track)
	return m.append(b, v)
}

// ParseSubscribe reads the body of SUBSCRIBE.
func ParseSubscribe(b []byte, v Version) (Subscribe, error) {
	c := cursor{b: b}
	m := Subscribe{
		ID:        c.varint("subscribe id"),
		Broadcast: c.path("subscribe broadcast"),
		Track:     c.string("subscribe track"),
		Delivery:  c.delivery(v),
	}
	if err := c.end("subscribe"); err != nil {
		return Subscribe{}, err
	}
	return m, nil
}

// SubscribeUpdate changes the delivery of a subscription:
//
//	SUBSCRIBE_UPDATE { delivery }
type SubscribeUpdate struct{ Delivery }

// Append writes the body of SUBSCRIBE_UPDATE.
func (m SubscribeUpdate) Append(b []byte, v Version) []byte { return m.append(b, v) }

// ParseSubscribeUpdate reads the body of SUBSCRIBE_UPDATE.
func ParseSubscribeUpdate(b []byte, v Version) (SubscribeUpdate, error) {
	c := cursor{b: b}
	m := SubscribeUpdate{c.delivery(v)}
	if err := c.end("subscribe update"); err != nil {
		return SubscribeUpdate{}, err
	}
	return m, nil
}
