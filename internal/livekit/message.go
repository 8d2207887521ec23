package livekit

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of package livekit (proto3) that a viewer needs, with the numbers of
// their fields. Everything else is passed over.

// Description is a session description, livekit.SessionDescription.
type Description struct {
	Type string // 1
	SDP  string // 2
	ID   uint32 // 3, counts the offers of one side; an answer repeats it
}

// Trickle is an ICE candidate, livekit.TrickleRequest.
type Trickle struct {
	Candidate string // 1, an RTCIceCandidateInit in JSON
	Target    Target // 2
	Final     bool   // 3, the last one
}

// Target is one of the two connections of a client, livekit.SignalTarget.
type Target uint32

// Publisher carries what a client sends, Subscriber what it receives.
const (
	Publisher  Target = 0
	Subscriber Target = 1
)

// Request is what a client says, livekit.SignalRequest: one of its fields is set.
type Request struct {
	Answer  *Description // 2
	Trickle *Trickle     // 3
	Leave   bool         // 8, with livekit.LeaveRequest: 2 reason
	Ping    int64        // 16, with livekit.Ping: 1 timestamp, ms since 1970
}

// leftByClient is livekit.DisconnectReason.CLIENT_INITIATED.
const leftByClient = 1

// Append appends the message to b.
func (r Request) Append(b []byte) []byte {
	switch {
	case r.Answer != nil:
		return message(b, 2, r.Answer.append(nil))
	case r.Trickle != nil:
		return message(b, 3, r.Trickle.append(nil))
	case r.Leave:
		return message(b, 8, number(nil, 2, leftByClient))
	default:
		return message(b, 16, number(nil, 1, uint64(r.Ping))) //nolint:gosec // int64 is sent as it is
	}
}

func (d *Description) append(b []byte) []byte {
	return number(text(text(b, 1, d.Type), 2, d.SDP), 3, uint64(d.ID))
}

func (t *Trickle) append(b []byte) []byte {
	return number(number(text(b, 1, t.Candidate), 2, uint64(t.Target)), 3, protowire.EncodeBool(t.Final))
}

// Response is what the server says, livekit.SignalResponse: at most one of its
// fields is set, none for what a viewer does not need.
type Response struct {
	Join    *Join        // 1
	Offer   *Description // 3
	Trickle *Trickle     // 4
	Leave   *Leave       // 8
}

// Join begins a session, livekit.JoinResponse.
type Join struct {
	SubscriberPrimary bool   // 6
	PingInterval      uint64 // 11, seconds
	Server            string // 12, livekit.ServerInfo: 2 version
}

// Leave ends it, livekit.LeaveRequest.
type Leave struct {
	Reason uint64 // 2, livekit.DisconnectReason
}

// ParseResponse parses a message of the server.
func ParseResponse(b []byte) (r Response, err error) {
	err = fields(b, func(n int, f field) (err error) {
		switch n {
		case 1:
			r = Response{Join: &Join{}}
			err = r.Join.parse(f.bytes)
		case 3:
			r = Response{Offer: &Description{}}
			err = r.Offer.parse(f.bytes)
		case 4:
			r = Response{Trickle: &Trickle{}}
			err = r.Trickle.parse(f.bytes)
		case 8:
			r = Response{Leave: &Leave{}}
			err = r.Leave.parse(f.bytes)
		default:
			r = Response{}
		}
		return err
	})
	return r, err
}

func (j *Join) parse(b []byte) error {
	return fields(b, func(n int, f field) error {
		switch n {
		case 6:
			j.SubscriberPrimary = f.number != 0
		case 11:
			j.PingInterval = f.number
		case 12:
			return fields(f.bytes, func(n int, f field) error {
				if n == 2 {
					j.Server = string(f.bytes)
				}
				return nil
			})
		}
		return nil
	})
}

func (d *Description) parse(b []byte) error {
	return fields(b, func(n int, f field) error {
		switch n {
		case 1:
			d.Type = string(f.bytes)
		case 2:
			d.SDP = string(f.bytes)
		case 3:
			d.ID = uint32(f.number)
		}
		return nil
	})
}

func (t *Trickle) parse(b []byte) error {
	return fields(b, func(n int, f field) error {
		switch n {
		case 1:
			t.Candidate = string(f.bytes)
		case 2:
			t.Target = Target(f.number)
		case 3:
			t.Final = f.number != 0
		}
		return nil
	})
}

func (l *Leave) parse(b []byte) error {
	return fields(b, func(n int, f field) error {
		if n == 2 {
			l.Reason = f.number
		}
		return nil
	})
}

// field is the value of a field: a number, or bytes. One of another wire type than
// expected has the zero value of that.
type field struct {
	number uint64
	bytes  []byte
}

// fields calls yield with the fields of a message, in their order.
func fields(b []byte, yield func(int, field) error) error {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("tag of a field: %w", protowire.ParseError(size))
		}
		b = b[size:]
		var f field
		switch kind {
		case protowire.VarintType:
			f.number, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, size = protowire.ConsumeBytes(b)
		case protowire.Fixed32Type, protowire.Fixed64Type, protowire.StartGroupType:
			size = protowire.ConsumeFieldValue(n, kind, b)
		default:
			return errors.New("the end of a group without its start")
		}
		if size < 0 {
			return fmt.Errorf("field %d: %w", n, protowire.ParseError(size))
		}
		b = b[size:]
		if err := yield(int(n), f); err != nil {
			return fmt.Errorf("field %d: %w", n, err)
		}
	}
	return nil
}

// number appends a field of a number. Proto3 leaves zeros out.
func number(b []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func text(b []byte, n protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
}

// message appends a field of a message, even an empty one: it is the one that is set.
func message(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}
