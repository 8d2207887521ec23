package moqlite

import (
	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// Response is what a publisher sends on a Subscribe stream: one of
// SubscribeOK (02 to 04), SubscribeStart, SubscribeEnd (05) and SubscribeDrop.
//
//	03+: response = type varint, message
//	02:  response = message, of SUBSCRIBE_OK
type Response interface {
	Message
	responseType(v Version) uint64
}

// SubscribeOK must be the first response before 05, and is the only one on 02:
//
//	03, 04: 0 SUBSCRIBE_OK { delivery }
//	02:     SUBSCRIBE_OK { }
//
// Nothing is to be read into its fields: some publishers echo the request,
// some do not.
type SubscribeOK struct{ Delivery }

// SubscribeStart says which group is the first to come (05):
//
//	0 SUBSCRIBE_START { group varint }
type SubscribeStart struct{ Group uint64 }

// SubscribeEnd says where the track ended: Group is the first sequence that
// will never exist, 0 where there was none at all (05):
//
//	1 SUBSCRIBE_END { group varint }
type SubscribeEnd struct{ Group uint64 }

// SubscribeDrop says that the groups First to Last, inclusive, will not come:
//
//	03, 04: 1 SUBSCRIBE_DROP { start varint, end varint, error varint }
//	05:     2 SUBSCRIBE_DROP { start varint, end varint, error varint }
type SubscribeDrop struct {
	First, Last uint64
	Code        wire.Code
}

func (SubscribeOK) responseType(Version) uint64    { return 0 }
func (SubscribeStart) responseType(Version) uint64 { return 0 }
func (SubscribeEnd) responseType(Version) uint64   { return 1 }
func (SubscribeDrop) responseType(v Version) uint64 {
	if v >= Version05 {
		return 2
	}
	return 1
}

// Append writes the body of SUBSCRIBE_OK.
func (m SubscribeOK) Append(b []byte, v Version) []byte {
	if !v.HasDelivery() {
		return b
	}
	return m.append(b, v)
}

// Append writes the body of SUBSCRIBE_START.
func (m SubscribeStart) Append(b []byte, _ Version) []byte { return quicvarint.Append(b, m.Group) }

// Append writes the body of SUBSCRIBE_END.
func (m SubscribeEnd) Append(b []byte, _ Version) []byte { return quicvarint.Append(b, m.Group) }

// Append writes the body of SUBSCRIBE_DROP.
func (m SubscribeDrop) Append(b []byte, _ Version) []byte {
	b = quicvarint.Append(quicvarint.Append(b, m.First), m.Last)
	return quicvarint.Append(b, uint64(m.Code))
}

// AppendResponse appends the type of m, its length and its body.
func AppendResponse(b []byte, m Response, v Version) []byte {
	if v.HasDelivery() {
		b = quicvarint.Append(b, m.responseType(v))
	}
	return AppendMessage(b, m, v)
}

// ParseResponse reads the body of a response of type typ.
func ParseResponse(typ uint64, b []byte, v Version) (Response, error) {
	c := cursor{b: b}
	var m Response
	switch {
	case typ == 0 && !v.HasDelivery():
		m = SubscribeOK{}
	case typ == 0 && v < Version05:
		m = SubscribeOK{c.delivery(v)}
	case typ == 0:
		m = SubscribeStart{Group: c.varint("subscribe start")}
	case typ == 1 && v >= Version05:
		m = SubscribeEnd{Group: c.varint("subscribe end")}
	case typ == SubscribeDrop{}.responseType(v) && v.HasDelivery():
		drop := SubscribeDrop{
			First: c.varint("subscribe drop start"),
			Last:  c.varint("subscribe drop end"),
			Code:  wire.Code(c.varint("subscribe drop code")),
		}
		if c.err == nil && drop.Last < drop.First {
			c.fail(wire.CodeBounds, "subscribe drop: from %d to %d", drop.First, drop.Last)
		}
		m = drop
	default:
		c.fail(wire.CodeUnexpected, "response of type %d", typ)
	}
	if err := c.end("subscribe response"); err != nil {
		return nil, err
	}
	return m, nil
}
