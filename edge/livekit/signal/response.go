package signal

import (
	"google.golang.org/protobuf/encoding/protowire"

	"trellis/internal/proto3"
)

// ResponseKind is the number of the field that is set in livekit.SignalResponse.
type ResponseKind protowire.Number

// The responses.
const (
	ResponseJoin         ResponseKind = 1
	ResponseAnswer       ResponseKind = 2
	ResponseTrickle      ResponseKind = 4
	ResponseUpdate       ResponseKind = 5
	ResponseLeave        ResponseKind = 8
	ResponsePong         ResponseKind = 18
	ResponsePongResp     ResponseKind = 20
	ResponseSubscription ResponseKind = 21
	ResponseRequest      ResponseKind = 22
	ResponseSections     ResponseKind = 25
)

// Response is what a node says, livekit.SignalResponse.
type Response struct {
	Kind         ResponseKind
	Join         *Join         // ResponseJoin
	Description  *Description  // ResponseAnswer
	Trickle      *Trickle      // ResponseTrickle
	Participants []Participant // ResponseUpdate: livekit.ParticipantUpdate, 1
	Leave        *Leave        // ResponseLeave
	Pong         Pong          // ResponsePong, ResponsePongResp
	Unsubscribed Unsubscribed  // ResponseSubscription
	Refusal      *Refusal      // ResponseRequest
	Sections     Sections      // ResponseSections
}

// Join begins a session, livekit.JoinResponse.
type Join struct {
	Room         Room          // 1
	Participant  Participant   // 2, the client itself
	Others       []Participant // 3
	Version      string        // 4 and 12.2, that of LiveKit's server that we are like
	Region       string        // 9 and 12.4
	NodeID       string        // 12.5
	Protocol     uint64        // 12.3
	PingTimeout  uint64        // 10, seconds; without it some clients end their process
	PingInterval uint64        // 11
}

// Room is livekit.Room.
type Room struct {
	SID          string // 1
	Name         string // 2
	Created      uint64 // 5, seconds
	Participants uint64 // 9
	Publishers   uint64 // 11
}

// State is livekit.ParticipantInfo.State.
type State uint64

// The states of a participant.
const (
	Joined       State = 1
	Active       State = 2
	Disconnected State = 3
)

// Participant is livekit.ParticipantInfo.
type Participant struct {
	SID        string     // 1
	Identity   string     // 2
	State      State      // 3
	Tracks     []Track    // 4
	Metadata   string     // 5
	Joined     uint64     // 6, seconds
	Name       string     // 9
	Version    uint64     // 10
	Permission Permission // 11
	Region     string     // 12
	Publisher  bool       // 13
}

// Permission is livekit.ParticipantPermission. Who views may not publish.
type Permission struct {
	Subscribe bool // 1
	Hidden    bool // 7
}

// Track is livekit.TrackInfo.
type Track struct {
	SID       string  // 1
	Video     bool    // 2, type
	Name      string  // 3
	Width     uint64  // 5
	Height    uint64  // 6
	Simulcast bool    // 7
	Source    uint64  // 9
	Layers    []Layer // 10
	MimeType  string  // 11, and 13.1
	Stereo    bool    // 14
	Stream    string  // 17
}

// Sources of tracks, livekit.TrackSource.
const (
	Camera     = 1
	Microphone = 2
)

// Quality is livekit.VideoQuality.
type Quality uint64

// The qualities of a layer.
const (
	Low    Quality = 0
	Medium Quality = 1
	High   Quality = 2
)

// Layer is livekit.VideoLayer.
type Layer struct {
	Quality Quality // 1
	Width   uint64  // 2
	Height  uint64  // 3
	Bitrate uint64  // 4
}

// Action is livekit.LeaveRequest.Action: what a client is to do now.
type Action uint64

// The actions. A client that is to reconnect joins anew; to resume is 1.
const (
	Disconnect Action = 0
	Reconnect  Action = 2
)

// Reason is livekit.DisconnectReason.
type Reason uint64

// The reasons that a node gives.
const (
	ClientInitiated    Reason = 1
	DuplicateIdentity  Reason = 2
	ServerShutdown     Reason = 3
	ParticipantRemoved Reason = 4
	StateMismatch      Reason = 6
	JoinFailure        Reason = 7
	ConnectionTimeout  Reason = 14
)

// Leave ends a session, livekit.LeaveRequest.
type Leave struct {
	Reason Reason // 2
	Action Action // 3; 1, can_reconnect, says the same to old clients
}

// Pong is livekit.Pong.
type Pong struct {
	Last uint64 // 1, the client's time, of ResponsePongResp
	Now  uint64 // 2, ours, ms since 1970
}

// Unsubscribed says why a track is not sent, livekit.SubscriptionResponse.
type Unsubscribed struct {
	Track string // 1
	Why   uint64 // 2, livekit.SubscriptionError
}

// The errors of a subscription.
const (
	CodecUnsupported = 1
	TrackNotFound    = 2
)

// RefusalReason is livekit.RequestResponse.Reason.
type RefusalReason uint64

// NotAllowed is the reason of all refusals.
const NotAllowed RefusalReason = 2

// Refusal says that a request is not met, livekit.RequestResponse.
type Refusal struct {
	ID          uint64        // 1
	Reason      RefusalReason // 2
	Message     string        // 3
	AddTrack    string        // 5.1, the cid that the request had
	PublishData uint64        // 10.1, the handle that it had
}

// Sections asks for an offer with more sections, livekit.MediaSectionsRequirement;
// zeros ask for another offer with as many.
type Sections struct {
	Audio, Video uint64 // 1, 2
}

// contentOfResponse is what a response of its kind says, nil if it is not known here.
func contentOfResponse(r *Response) any {
	switch r.Kind {
	case ResponseJoin:
		return made(&r.Join)
	case ResponseAnswer:
		return made(&r.Description)
	case ResponseTrickle:
		return made(&r.Trickle)
	case ResponseUpdate:
		return body{{1, list[Participant, *Participant]{&r.Participants}}}
	case ResponseLeave:
		return made(&r.Leave)
	case ResponsePong:
		return &r.Pong.Now
	case ResponsePongResp:
		return &r.Pong
	case ResponseSubscription:
		return &r.Unsubscribed
	case ResponseRequest:
		return made(&r.Refusal)
	case ResponseSections:
		return &r.Sections
	}
	return nil
}

// Append appends the message to b.
func (r Response) Append(b []byte) []byte {
	return appendOne(b, protowire.Number(r.Kind), contentOfResponse(&r))
}

// ParseResponse parses a message of a node, as a client does.
func ParseResponse(b []byte) (r Response, err error) {
	err = proto3.Fields(b, func(n int, f proto3.Field) error {
		r = Response{Kind: ResponseKind(n)} //nolint:gosec // the number of a field has 29 bits
		return read(contentOfResponse(&r), f)
	})
	return r, err
}

func (j *Join) fields() []field {
	return []field{
		{1, &j.Room},
		{2, &j.Participant},
		{3, list[Participant, *Participant]{&j.Others}},
		{4, &j.Version},
		{9, &j.Region},
		{10, &j.PingTimeout},
		{11, &j.PingInterval},
		{12, body{{2, &j.Version}, {3, &j.Protocol}, {4, &j.Region}, {5, &j.NodeID}}},
	}
}

func (r *Room) fields() []field {
	return []field{{1, &r.SID}, {2, &r.Name}, {5, &r.Created}, {9, &r.Participants}, {11, &r.Publishers}}
}

func (p *Participant) fields() []field {
	return []field{
		{1, &p.SID},
		{2, &p.Identity},
		{3, (*uint64)(&p.State)},
		{4, list[Track, *Track]{&p.Tracks}},
		{5, &p.Metadata},
		{6, &p.Joined},
		{9, &p.Name},
		{10, &p.Version},
		{11, body{{1, &p.Permission.Subscribe}, {7, &p.Permission.Hidden}}},
		{12, &p.Region},
		{13, &p.Publisher},
	}
}

func (t *Track) fields() []field {
	codec := Track{MimeType: t.MimeType, Layers: t.Layers} // says it once more; what it has when parsed is not needed
	return []field{
		{1, &t.SID},
		{2, &t.Video},
		{3, &t.Name},
		{5, &t.Width},
		{6, &t.Height},
		{7, &t.Simulcast},
		{9, &t.Source},
		{10, list[Layer, *Layer]{&t.Layers}},
		{11, &t.MimeType},
		{13, body{{1, &codec.MimeType}, {4, list[Layer, *Layer]{&codec.Layers}}}},
		{14, &t.Stereo},
		{17, &t.Stream},
	}
}

func (l *Layer) fields() []field {
	return []field{{1, (*uint64)(&l.Quality)}, {2, &l.Width}, {3, &l.Height}, {4, &l.Bitrate}}
}

func (l *Leave) fields() []field {
	again := l.Action != Disconnect
	return []field{{1, &again}, {2, (*uint64)(&l.Reason)}, {3, (*uint64)(&l.Action)}}
}

func (p *Pong) fields() []field { return []field{{1, &p.Last}, {2, &p.Now}} }

func (u *Unsubscribed) fields() []field { return []field{{1, &u.Track}, {2, &u.Why}} }

func (r *Refusal) fields() []field {
	return []field{
		{1, &r.ID},
		{2, (*uint64)(&r.Reason)},
		{3, &r.Message},
		{5, nonEmpty{{1, &r.AddTrack}}},
		{10, nonEmpty{{1, &r.PublishData}}},
	}
}

func (s *Sections) fields() []field { return []field{{1, &s.Audio}, {2, &s.Video}} }
