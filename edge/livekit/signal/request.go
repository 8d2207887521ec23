package signal

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"trellis/internal/proto3"
)

// RequestKind is the number of the field that is set in livekit.SignalRequest.
type RequestKind protowire.Number

// The requests that are told apart. Others have their number, and no content.
const (
	RequestOffer        RequestKind = 1
	RequestAnswer       RequestKind = 2
	RequestTrickle      RequestKind = 3
	RequestAddTrack     RequestKind = 4
	RequestMute         RequestKind = 5
	RequestSubscription RequestKind = 6
	RequestTrackSetting RequestKind = 7
	RequestLeave        RequestKind = 8
	RequestLayers       RequestKind = 10
	RequestPermission   RequestKind = 11
	RequestSyncState    RequestKind = 12
	RequestSimulate     RequestKind = 13
	RequestPing         RequestKind = 14
	RequestMetadata     RequestKind = 15
	RequestPingReq      RequestKind = 16
	RequestPublishData  RequestKind = 19
)

// Request is what a client says, livekit.SignalRequest.
type Request struct {
	Kind         RequestKind
	Description  *Description  // RequestOffer, RequestAnswer
	Trickle      *Trickle      // RequestTrickle
	Subscription *Subscription // RequestSubscription
	Track        string        // RequestAddTrack: its cid
	Handle       uint64        // RequestPublishData: its pub_handle
	ID           uint64        // RequestMetadata: its request_id
	Timestamp    uint64        // RequestPing, RequestPingReq: ms since 1970
}

// Subscription says which tracks are wanted, livekit.UpdateSubscription.
type Subscription struct {
	Tracks []string // 1, and those of 3
	Wanted bool     // 2
}

// maxSubscription bounds the tracks of one message.
const maxSubscription = 256

// ParseRequest parses a message of a client.
func ParseRequest(b []byte) (r Request, err error) {
	err = proto3.Fields(b, func(n int, f proto3.Field) error {
		r = Request{Kind: RequestKind(n)} //nolint:gosec // the number of a field has 29 bits
		switch r.Kind {
		case RequestOffer, RequestAnswer:
			r.Description = &Description{}
			return r.Description.parse(f.Bytes)
		case RequestTrickle:
			r.Trickle = &Trickle{}
			return r.Trickle.parse(f.Bytes)
		case RequestAddTrack:
			return proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				if n == 1 {
					r.Track = f.Text()
				}
				return nil
			})
		case RequestSubscription:
			r.Subscription = &Subscription{}
			return r.Subscription.parse(f.Bytes)
		case RequestPing:
			r.Timestamp = f.Number
		case RequestPingReq:
			return proto3.Fields(f.Bytes, number(1, &r.Timestamp))
		case RequestMetadata:
			return proto3.Fields(f.Bytes, number(4, &r.ID))
		case RequestPublishData:
			return proto3.Fields(f.Bytes, number(1, &r.Handle))
		case RequestMute, RequestTrackSetting, RequestLeave, RequestLayers, RequestPermission, RequestSyncState, RequestSimulate:
		}
		return nil
	})
	return r, err
}

// number reads one field.
func number(want int, to *uint64) func(int, proto3.Field) error {
	return func(n int, f proto3.Field) error {
		if n == want {
			*to = f.Number
		}
		return nil
	}
}

// Append appends the message to b.
func (r Request) Append(b []byte) []byte {
	n := protowire.Number(r.Kind)
	switch r.Kind {
	case RequestOffer, RequestAnswer:
		return proto3.Message(b, n, r.Description.append(nil))
	case RequestTrickle:
		return proto3.Message(b, n, r.Trickle.append(nil))
	case RequestAddTrack:
		return proto3.Message(b, n, proto3.Text(nil, 1, r.Track))
	case RequestSubscription:
		return proto3.Message(b, n, r.Subscription.append(nil))
	case RequestPing:
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), r.Timestamp)
	case RequestPingReq:
		return proto3.Message(b, n, proto3.Number(nil, 1, r.Timestamp))
	case RequestMetadata:
		return proto3.Message(b, n, proto3.Number(nil, 4, r.ID))
	case RequestPublishData:
		return proto3.Message(b, n, proto3.Number(nil, 1, r.Handle))
	case RequestMute, RequestTrackSetting, RequestLeave, RequestLayers, RequestPermission, RequestSyncState, RequestSimulate:
	}
	if n == 0 {
		return b
	}
	return proto3.Message(b, n, nil)
}

func (s *Subscription) parse(b []byte) error {
	add := func(f proto3.Field) {
		if len(s.Tracks) < maxSubscription {
			s.Tracks = append(s.Tracks, f.Text())
		}
	}
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			add(f)
		case 2:
			s.Wanted = f.Bool()
		case 3: // livekit.ParticipantTracks: 2 track_sids
			return proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				if n == 2 {
					add(f)
				}
				return nil
			})
		}
		return nil
	})
}

func (s *Subscription) append(b []byte) []byte {
	for _, t := range s.Tracks {
		b = proto3.Message(b, 1, []byte(t))
	}
	return proto3.Bool(b, 2, s.Wanted)
}

// Description is a session description, livekit.SessionDescription.
type Description struct {
	Type   string            // 1
	SDP    string            // 2
	ID     uint32            // 3, counts the offers of one side; an answer repeats it
	Tracks map[string]string // 4, of answers: mid_to_track_id
}

func (d *Description) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			d.Type = f.Text()
		case 2:
			d.SDP = f.Text()
		case 3:
			d.ID = uint32(f.Number) //nolint:gosec // as protocol buffers do
		case 4:
			var mid, track string
			err := proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				switch n {
				case 1:
					mid = f.Text()
				case 2:
					track = f.Text()
				}
				return nil
			})
			if d.Tracks == nil {
				d.Tracks = map[string]string{}
			}
			d.Tracks[mid] = track
			return err
		}
		return nil
	})
}

func (d *Description) append(b []byte) []byte {
	b = proto3.Number(proto3.Text(proto3.Text(b, 1, d.Type), 2, d.SDP), 3, uint64(d.ID))
	for _, mid := range slices.Sorted(maps.Keys(d.Tracks)) {
		b = proto3.Message(b, 4, proto3.Text(proto3.Text(nil, 1, mid), 2, d.Tracks[mid]))
	}
	return b
}

// Trickle is an ICE candidate, livekit.TrickleRequest.
type Trickle struct {
	Candidate string // 1, an RTCIceCandidateInit in JSON
	Target    uint64 // 2, 0: of the one connection, or of the publisher's
	Final     bool   // 3
}

func (t *Trickle) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			t.Candidate = f.Text()
		case 2:
			t.Target = f.Number
		case 3:
			t.Final = f.Bool()
		}
		return nil
	})
}

func (t *Trickle) append(b []byte) []byte {
	return proto3.Bool(proto3.Number(proto3.Text(b, 1, t.Candidate), 2, t.Target), 3, t.Final)
}
