package livekit

import (
	"google.golang.org/protobuf/encoding/protowire"

	"trellis/internal/proto3"
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
		return proto3.Message(b, 2, r.Answer.append(nil))
	case r.Trickle != nil:
		return proto3.Message(b, 3, r.Trickle.append(nil))
	case r.Leave:
		return proto3.Message(b, 8, proto3.Number(nil, 2, leftByClient))
	default:
		return proto3.Message(b, 16, proto3.Number(nil, 1, uint64(r.Ping))) //nolint:gosec // int64 is sent as it is
	}
}

func (d *Description) append(b []byte) []byte {
	return proto3.Number(proto3.Text(proto3.Text(b, 1, d.Type), 2, d.SDP), 3, uint64(d.ID))
}

func (t *Trickle) append(b []byte) []byte {
	return proto3.Number(proto3.Number(proto3.Text(b, 1, t.Candidate), 2, uint64(t.Target)), 3, protowire.EncodeBool(t.Final))
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
	err = proto3.Fields(b, func(n int, f proto3.Field) (err error) {
		switch n {
		case 1:
			r = Response{Join: &Join{}}
			err = r.Join.parse(f.Bytes)
		case 3:
			r = Response{Offer: &Description{}}
			err = r.Offer.parse(f.Bytes)
		case 4:
			r = Response{Trickle: &Trickle{}}
			err = r.Trickle.parse(f.Bytes)
		case 8:
			r = Response{Leave: &Leave{}}
			err = r.Leave.parse(f.Bytes)
		default:
			r = Response{}
		}
		return err
	})
	return r, err
}

func (j *Join) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 6:
			j.SubscriberPrimary = f.Number != 0
		case 11:
			j.PingInterval = f.Number
		case 12:
			return proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				if n == 2 {
					j.Server = string(f.Bytes)
				}
				return nil
			})
		}
		return nil
	})
}

func (d *Description) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			d.Type = string(f.Bytes)
		case 2:
			d.SDP = string(f.Bytes)
		case 3:
			d.ID = uint32(f.Number)
		}
		return nil
	})
}

func (t *Trickle) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			t.Candidate = string(f.Bytes)
		case 2:
			t.Target = Target(f.Number)
		case 3:
			t.Final = f.Number != 0
		}
		return nil
	})
}

func (l *Leave) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		if n == 2 {
			l.Reason = f.Number
		}
		return nil
	})
}
