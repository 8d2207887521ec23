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
	Joining      State = 0
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

// The actions. A client that is to reconnect joins anew.
const (
	Disconnect Action = 0
	Resume     Action = 1
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

// The reasons of refusals.
const (
	NotAllowed  RefusalReason = 2
	Unsupported RefusalReason = 5
)

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

// Append appends the message to b.
func (r Response) Append(b []byte) []byte {
	n := protowire.Number(r.Kind)
	switch r.Kind {
	case ResponseJoin:
		return proto3.Message(b, n, r.Join.append(nil))
	case ResponseAnswer:
		return proto3.Message(b, n, r.Description.append(nil))
	case ResponseTrickle:
		return proto3.Message(b, n, r.Trickle.append(nil))
	case ResponseUpdate:
		var body []byte
		for i := range r.Participants {
			body = proto3.Message(body, 1, r.Participants[i].append(nil))
		}
		return proto3.Message(b, n, body)
	case ResponseLeave:
		l := proto3.Bool(nil, 1, r.Leave.Action != Disconnect)
		return proto3.Message(b, n, proto3.Number(proto3.Number(l, 2, uint64(r.Leave.Reason)), 3, uint64(r.Leave.Action)))
	case ResponsePong:
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), r.Pong.Now)
	case ResponsePongResp:
		return proto3.Message(b, n, proto3.Number(proto3.Number(nil, 1, r.Pong.Last), 2, r.Pong.Now))
	case ResponseSubscription:
		return proto3.Message(b, n, proto3.Number(proto3.Text(nil, 1, r.Unsubscribed.Track), 2, r.Unsubscribed.Why))
	case ResponseRequest:
		return proto3.Message(b, n, r.Refusal.append(nil))
	case ResponseSections:
		return proto3.Message(b, n, proto3.Number(proto3.Number(nil, 1, r.Sections.Audio), 2, r.Sections.Video))
	}
	return b
}

func (j *Join) append(b []byte) []byte {
	b = proto3.Message(b, 1, j.Room.append(nil))
	b = proto3.Message(b, 2, j.Participant.append(nil))
	for i := range j.Others {
		b = proto3.Message(b, 3, j.Others[i].append(nil))
	}
	b = proto3.Text(b, 4, j.Version)
	b = proto3.Text(b, 9, j.Region)
	b = proto3.Number(proto3.Number(b, 10, j.PingTimeout), 11, j.PingInterval)
	info := proto3.Number(proto3.Text(nil, 2, j.Version), 3, j.Protocol)
	return proto3.Message(b, 12, proto3.Text(proto3.Text(info, 4, j.Region), 5, j.NodeID))
}

func (r *Room) append(b []byte) []byte {
	b = proto3.Number(proto3.Text(proto3.Text(b, 1, r.SID), 2, r.Name), 5, r.Created)
	return proto3.Number(proto3.Number(b, 9, r.Participants), 11, r.Publishers)
}

func (p *Participant) append(b []byte) []byte {
	b = proto3.Number(proto3.Text(proto3.Text(b, 1, p.SID), 2, p.Identity), 3, uint64(p.State))
	for i := range p.Tracks {
		b = proto3.Message(b, 4, p.Tracks[i].append(nil))
	}
	b = proto3.Number(proto3.Text(b, 5, p.Metadata), 6, p.Joined)
	b = proto3.Number(proto3.Text(b, 9, p.Name), 10, p.Version)
	b = proto3.Message(b, 11, proto3.Bool(proto3.Bool(nil, 1, p.Permission.Subscribe), 7, p.Permission.Hidden))
	return proto3.Bool(proto3.Text(b, 12, p.Region), 13, p.Publisher)
}

func (t *Track) append(b []byte) []byte {
	b = proto3.Text(proto3.Bool(proto3.Text(b, 1, t.SID), 2, t.Video), 3, t.Name)
	b = proto3.Bool(proto3.Number(proto3.Number(b, 5, t.Width), 6, t.Height), 7, t.Simulcast)
	b = proto3.Number(b, 9, t.Source)
	codec := proto3.Text(nil, 1, t.MimeType)
	for _, l := range t.Layers {
		body := proto3.Number(proto3.Number(nil, 1, uint64(l.Quality)), 2, l.Width)
		body = proto3.Number(proto3.Number(body, 3, l.Height), 4, l.Bitrate)
		b = proto3.Message(b, 10, body)
		codec = proto3.Message(codec, 4, body)
	}
	b = proto3.Message(proto3.Text(b, 11, t.MimeType), 13, codec)
	return proto3.Text(proto3.Bool(b, 14, t.Stereo), 17, t.Stream)
}

func (r *Refusal) append(b []byte) []byte {
	b = proto3.Text(proto3.Number(proto3.Number(b, 1, r.ID), 2, uint64(r.Reason)), 3, r.Message)
	switch {
	case r.AddTrack != "":
		return proto3.Message(b, 5, proto3.Text(nil, 1, r.AddTrack))
	case r.PublishData != 0:
		return proto3.Message(b, 10, proto3.Number(nil, 1, r.PublishData))
	}
	return b
}
