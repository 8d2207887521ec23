package signal

import (
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
	Setting      *TrackSetting // RequestTrackSetting
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

// TrackSetting says how tracks are wanted, livekit.UpdateTrackSettings.
type TrackSetting struct {
	Tracks   []string // 1
	Disabled bool     // 3, the track is not wanted
	Quality  Quality  // 4, where there is no size
	Width    uint64   // 5, of the element that shows it
	Height   uint64   // 6
}

// maxTracks bounds the tracks of one message.
const maxTracks = 256

// contentOfRequest is what a request of its kind says, nil if that is not read.
func contentOfRequest(r *Request) any {
	switch r.Kind {
	case RequestOffer, RequestAnswer:
		return made(&r.Description)
	case RequestTrickle:
		return made(&r.Trickle)
	case RequestAddTrack:
		return body{{1, &r.Track}}
	case RequestSubscription:
		return made(&r.Subscription)
	case RequestTrackSetting:
		return made(&r.Setting)
	case RequestPing:
		return &r.Timestamp
	case RequestPingReq:
		return body{{1, &r.Timestamp}}
	case RequestMetadata:
		return body{{4, &r.ID}}
	case RequestPublishData:
		return body{{1, &r.Handle}}
	case RequestMute, RequestLeave, RequestLayers, RequestPermission, RequestSyncState, RequestSimulate:
	}
	return nil
}

// Append appends the message to b.
func (r Request) Append(b []byte) []byte {
	return appendOne(b, protowire.Number(r.Kind), contentOfRequest(&r))
}

// ParseRequest parses a message of a client.
func ParseRequest(b []byte) (r Request, err error) {
	err = proto3.Fields(b, func(n int, f proto3.Field) error {
		r = Request{Kind: RequestKind(n)} //nolint:gosec // the number of a field has 29 bits
		return read(contentOfRequest(&r), f)
	})
	return r, err
}

func (s *Subscription) fields() []field {
	all := trackSIDs{&s.Tracks}
	return []field{{1, all}, {2, &s.Wanted}, {3, ofParticipant(all)}}
}

func (s *TrackSetting) fields() []field {
	return []field{{1, trackSIDs{&s.Tracks}}, {3, &s.Disabled}, {4, (*uint64)(&s.Quality)}, {5, &s.Width}, {6, &s.Height}}
}

// trackSIDs are the tracks of one message, up to a limit.
type trackSIDs struct{ to *[]string }

func (t trackSIDs) read(f proto3.Field) error { //nolint:unparam // value wants it
	if len(*t.to) < maxTracks {
		*t.to = append(*t.to, f.Text())
	}
	return nil
}

func (t trackSIDs) append(b []byte, n protowire.Number) []byte {
	for _, sid := range *t.to {
		b = proto3.Message(b, n, []byte(sid))
	}
	return b
}

// ofParticipant is livekit.ParticipantTracks, which names them in another way. We
// do not say it.
type ofParticipant trackSIDs

func (t ofParticipant) read(f proto3.Field) error { return parse(body{{2, trackSIDs(t)}}, f.Bytes) }

func (ofParticipant) append(b []byte, _ protowire.Number) []byte { return b }

// Description is a session description, livekit.SessionDescription.
type Description struct {
	Type   string            // 1
	SDP    string            // 2
	ID     uint32            // 3, counts the offers of one side; an answer repeats it
	Tracks map[string]string // 4, of answers: mid_to_track_id
}

func (d *Description) fields() []field {
	return []field{{1, &d.Type}, {2, &d.SDP}, {3, &d.ID}, {4, entries{&d.Tracks}}}
}

// Trickle is an ICE candidate, livekit.TrickleRequest.
type Trickle struct {
	Candidate string // 1, an RTCIceCandidateInit in JSON
	Target    uint64 // 2, 0: of the one connection, or of the publisher's
	Final     bool   // 3
}

func (t *Trickle) fields() []field { return []field{{1, &t.Candidate}, {2, &t.Target}, {3, &t.Final}} }
