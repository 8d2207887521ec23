package signal_test

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/edge/livekit/signal"
	"trellis/internal/proto3"
)

func requests() []signal.Request {
	return []signal.Request{
		{Kind: signal.RequestOffer, Description: &signal.Description{Type: "offer", SDP: "v=0\r\n", ID: 2}},
		{Kind: signal.RequestAnswer, Description: &signal.Description{Type: "answer", SDP: "v=0\r\n", Tracks: map[string]string{"0": "TR_a", "3": "TR_b"}}},
		{Kind: signal.RequestTrickle, Trickle: &signal.Trickle{Candidate: `{"candidate":""}`, Target: 1, Final: true}},
		{Kind: signal.RequestAddTrack, Track: "cid"},
		{Kind: signal.RequestMute},
		{Kind: signal.RequestSubscription, Subscription: &signal.Subscription{Tracks: []string{"TR_a", "TR_b"}, Wanted: true}},
		{Kind: signal.RequestTrackSetting, Setting: &signal.TrackSetting{Tracks: []string{"TR_a"}, Disabled: true, Quality: signal.High, Width: 320, Height: 180}},
		{Kind: signal.RequestLeave},
		{Kind: signal.RequestPing, Timestamp: 1795348292779},
		{Kind: signal.RequestMetadata, ID: 3},
		{Kind: signal.RequestPingReq, Timestamp: 1795348292779},
		{Kind: signal.RequestPublishData, Handle: 5},
		{Kind: 99},
	}
}

func responses() []signal.Response {
	participant := signal.Participant{
		SID: "PA_a", Identity: "alice", State: signal.Active, Metadata: "m", Joined: 1795348155, Name: "Alice", Version: 3,
		Permission: signal.Permission{Subscribe: true, Hidden: true}, Region: "us-east-1", Publisher: true,
		Tracks: []signal.Track{
			{SID: "TR_VCa", Video: true, Name: "video", Width: 1280, Height: 720, Simulcast: true, Source: signal.Camera, MimeType: "video/VP8", Stream: "camera", Layers: []signal.Layer{
				{Width: 640, Height: 360, Bitrate: 400_000}, {Quality: signal.Medium, Width: 1280, Height: 720, Bitrate: 1_700_000},
			}},
			{SID: "TR_AMa", Name: "audio", Source: signal.Microphone, MimeType: "audio/opus", Stereo: true, Stream: "camera"},
		},
	}
	return []signal.Response{
		{Kind: signal.ResponseJoin, Join: &signal.Join{
			Room: signal.Room{SID: "RM_a", Name: "demo", Created: 1795348155, Participants: 2, Publishers: 1}, Participant: participant,
			Others: []signal.Participant{participant, participant}, Version: "1.13.5", Region: "us-east-1", NodeID: "a", Protocol: 17, PingTimeout: 15, PingInterval: 5,
		}},
		{Kind: signal.ResponseAnswer, Description: &signal.Description{Type: "answer", SDP: "v=0\r\n", ID: 7, Tracks: map[string]string{"0": "TR_a", "3": "TR_b"}}},
		{Kind: signal.ResponseTrickle, Trickle: &signal.Trickle{Candidate: "{}"}},
		{Kind: signal.ResponseUpdate, Participants: []signal.Participant{participant}},
		{Kind: signal.ResponseLeave, Leave: &signal.Leave{Reason: signal.StateMismatch, Action: signal.Reconnect}},
		{Kind: signal.ResponsePong, Pong: signal.Pong{Now: 1795348292779}},
		{Kind: signal.ResponsePongResp, Pong: signal.Pong{Last: 1795348155407, Now: 1795348155412}},
		{Kind: signal.ResponseSubscription, Unsubscribed: signal.Unsubscribed{Track: "TR_a", Why: signal.CodecUnsupported}},
		{Kind: signal.ResponseRequest, Refusal: &signal.Refusal{ID: 3, Reason: signal.NotAllowed, Message: "no", AddTrack: "cid"}},
		{Kind: signal.ResponseRequest, Refusal: &signal.Refusal{Reason: signal.NotAllowed, PublishData: 5}},
		{Kind: signal.ResponseSections, Sections: signal.Sections{Audio: 1, Video: 2}},
	}
}

// TestBytes: short messages are written down. They are as long as those that the
// SDKs and their own server exchanged in recordings: a pong_resp has 17 bytes, a
// ping_req 10, a leave 4, a media_sections_requirement of zeros 3.
func TestBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"pong_resp", signal.Response{Kind: signal.ResponsePongResp, Pong: signal.Pong{Last: 1795348155407, Now: 1795348155412}}.Append(nil), "a2010e088f98db98a034109498db98a034"},
		{"ping_req", signal.Request{Kind: signal.RequestPingReq, Timestamp: 1795348292779}.Append(nil), "82010708abc9e398a034"},
		{"leave", signal.Response{Kind: signal.ResponseLeave, Leave: &signal.Leave{Reason: signal.ClientInitiated}}.Append(nil), "42021001"},
		{"sections", signal.Response{Kind: signal.ResponseSections}.Append(nil), "ca0100"},
		{"subscription", signal.Request{Kind: signal.RequestSubscription, Subscription: &signal.Subscription{Tracks: []string{"TR"}, Wanted: true}}.Append(nil), "32060a0254521001"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, want := range requests() {
		b := want.Append(nil)
		got, err := signal.ParseRequest(b)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%x: %v: %s", b, err, d)
		}
		for n := 1; n < len(b); n++ {
			if _, err := signal.ParseRequest(b[:n]); err == nil {
				t.Errorf("%x: %d of %d bytes were taken", b, n, len(b))
			}
		}
	}
	for _, want := range responses() {
		b := want.Append(nil)
		got, err := signal.ParseResponse(b)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%x: %v: %s", b, err, d)
		}
		for n := 1; n < len(b); n++ {
			if _, err := signal.ParseResponse(b[:n]); err == nil {
				t.Errorf("%x: %d of %d bytes were taken", b, n, len(b))
			}
		}
	}
	join := signal.JoinRequest{
		Client: signal.ClientInfo{SDK: 12, Version: "1.1.0", Protocol: 17}, Settings: signal.Settings{AutoSubscribe: true},
		Offer: &signal.Description{Type: "offer", SDP: "v=0\r\n", ID: 1}, Reconnect: true,
	}
	got, err := signal.UnpackJoin(join.Pack())
	if d := cmp.Diff(join, got); err != nil || d != "" {
		t.Errorf("%v: %s", err, d)
	}
}

// TestParticipantTracks: a subscription may name tracks by participant.
func TestParticipantTracks(t *testing.T) {
	tracks := proto3.Text(proto3.Text(nil, 1, "PA_a"), 2, "TR_a")
	got, err := signal.ParseRequest(proto3.Message(nil, 6, proto3.Message(nil, 3, tracks)))
	if err != nil || len(got.Subscription.Tracks) != 1 || got.Subscription.Tracks[0] != "TR_a" {
		t.Errorf("%+v, %v", got.Subscription, err)
	}
	many := []byte{}
	for range 10_000 {
		many = proto3.Text(many, 1, "TR_a")
	}
	if got, err = signal.ParseRequest(proto3.Message(nil, 6, many)); err != nil || len(got.Subscription.Tracks) > 256 {
		t.Errorf("%d tracks, %v", len(got.Subscription.Tracks), err)
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, r := range requests() {
		f.Add(r.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := signal.ParseRequest(b)
		if err != nil {
			return
		}
		again, err := signal.ParseRequest(r.Append(nil))
		if d := cmp.Diff(r, again); err != nil || d != "" {
			t.Errorf("%v: %s", err, d)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	for _, r := range responses() {
		f.Add(r.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := signal.ParseResponse(b)
		if err != nil {
			return
		}
		if _, err := signal.ParseResponse(r.Append(nil)); err != nil {
			t.Error(err)
		}
	})
}

func FuzzUnpackJoin(f *testing.F) {
	f.Add(signal.JoinRequest{Offer: &signal.Description{Type: "offer", SDP: "v=0\r\n"}}.Pack())
	f.Add("CAESAA==")
	f.Fuzz(func(t *testing.T, param string) {
		j, err := signal.UnpackJoin(param)
		if err != nil {
			return
		}
		again, err := signal.UnpackJoin(j.Pack())
		if d := cmp.Diff(j, again); err != nil || d != "" {
			t.Errorf("%v: %s", err, d)
		}
	})
}

func BenchmarkParseRequest(b *testing.B) {
	raw := signal.Request{Kind: signal.RequestOffer, Description: &signal.Description{Type: "offer", SDP: string(make([]byte, 16<<10)), ID: 3}}.Append(nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := signal.ParseRequest(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	update := responses()[3]
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = update.Append(out[:0])
	}
	b.SetBytes(int64(len(out)))
}
