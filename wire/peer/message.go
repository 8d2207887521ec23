package peer

import (
	"fmt"

	"github.com/quic-go/quic-go/quicvarint"
)

// Type says which control message follows.
type Type uint64

// Control messages (docs/wire.md, section 3).
const (
	TypeHello          Type = 0x01
	TypeGoAway         Type = 0x02
	TypeLanes          Type = 0x03
	TypeKeep           Type = 0x04
	TypeAdvert         Type = 0x10
	TypeKnown          Type = 0x11
	TypeGraft          Type = 0x12
	TypePrune          Type = 0x13
	TypeFresh          Type = 0x14
	TypeSubscribe      Type = 0x20
	TypeSubscribeOK    Type = 0x21
	TypeSubscribeError Type = 0x22
	TypeUnsubscribe    Type = 0x23
	TypeTrackEnd       Type = 0x24
	TypeDemand         Type = 0x25
	TypePath           Type = 0x26
	TypeResume         Type = 0x27
	TypePause          Type = 0x28
	TypePlan           Type = 0x29
	TypeRefresh        Type = 0x2a
)

// String returns the word used in logs.
func (t Type) String() string {
	switch t {
	case TypeHello:
		return "hello"
	case TypeGoAway:
		return "goaway"
	case TypeLanes:
		return "lanes"
	case TypeAdvert:
		return "advert"
	case TypeKnown:
		return "known"
	case TypeGraft:
		return "graft"
	case TypePrune:
		return "prune"
	case TypeFresh:
		return "fresh"
	case TypeKeep:
		return "keep"
	case TypeSubscribe:
		return "subscribe"
	case TypeSubscribeOK:
		return "subscribe_ok"
	case TypeSubscribeError:
		return "subscribe_error"
	case TypeUnsubscribe:
		return "unsubscribe"
	case TypeTrackEnd:
		return "track_end"
	case TypeDemand:
		return "demand"
	case TypePath:
		return "path"
	case TypeResume:
		return "resume"
	case TypePause:
		return "pause"
	case TypePlan:
		return "plan"
	case TypeRefresh:
		return "refresh"
	default:
		return fmt.Sprintf("type(%#x)", uint64(t))
	}
}

// Message is a control message.
type Message interface {
	// Type says which.
	Type() Type
	// Append appends the body, without type and length.
	Append(b []byte) []byte
}

// AppendMessage appends m as it stands on the control stream.
//
//	Type (i), Length (i), Body
func AppendMessage(b []byte, m Message) []byte {
	b = quicvarint.Append(b, uint64(m.Type()))
	// The length is not known before the body is written. Four bytes hold any
	// allowed one, and this encoding is legal for smaller ones too.
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = m.Append(b)
	quicvarint.AppendWithLen(b[at:at], uint64(len(b)-at-4), 4)
	return b
}

// ParseMessage splits the first message off b. The body aliases b; rest is what
// follows it. ErrShort means that b does not hold it all yet.
func ParseMessage(b []byte) (t Type, body, rest []byte, err error) {
	c := cursor{b: b}
	t = Type(c.varint())
	body = c.bytes(MaxMessageBytes, "message length")
	if c.err != nil {
		return 0, nil, nil, c.err
	}
	return t, body, c.b, nil
}
