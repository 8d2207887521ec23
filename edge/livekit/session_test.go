package livekit_test

import (
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"github.com/pion/webrtc/v4"

	"trellis/edge/livekit/signal"
	"trellis/edge/rtc"
)

// TestAnswers: each request has the answer that the protocol knows for it.
func TestAnswers(t *testing.T) {
	inNode(t, nil, func(n *node) {
		c := n.enter(token(n.t, nil), signal.Settings{AutoSubscribe: true})
		now := uint64(time.Now().UnixMilli())
		c.say(signal.Request{Kind: signal.RequestPing, Timestamp: now})
		if r := c.await(signal.ResponsePong, nil); r.Pong.Now < now {
			n.t.Errorf("pong %d of ping %d", r.Pong.Now, now)
		}
		c.say(signal.Request{Kind: signal.RequestPingReq, Timestamp: now})
		if r := c.await(signal.ResponsePongResp, nil); r.Pong.Last != now || r.Pong.Now < now {
			n.t.Errorf("pong %+v of ping %d", r.Pong, now)
		}
		for _, ask := range []struct {
			r    signal.Request
			want signal.Refusal
		}{
			{signal.Request{Kind: signal.RequestAddTrack, Track: "camera-1"}, signal.Refusal{AddTrack: "camera-1"}},
			{signal.Request{Kind: signal.RequestPublishData, Handle: 7}, signal.Refusal{PublishData: 7}},
			{signal.Request{Kind: signal.RequestMetadata, ID: 9}, signal.Refusal{ID: 9}},
		} {
			c.say(ask.r)
			got := *c.await(signal.ResponseRequest, nil).Refusal
			if got.Message == "" || got.Reason != signal.NotAllowed {
				n.t.Errorf("%+v was answered with %+v", ask.r, got)
			}
			if got.Message, got.Reason = "", 0; got != ask.want {
				n.t.Errorf("%+v was answered with %+v", ask.r, got)
			}
		}
		// What has no meaning here is passed over: so is what nobody knows.
		for _, kind := range []signal.RequestKind{
			signal.RequestMute, signal.RequestSyncState, signal.RequestPermission, signal.RequestSimulate, 99,
		} {
			c.say(signal.Request{Kind: kind})
		}
		c.say(signal.Request{Kind: signal.RequestTrickle, Trickle: &signal.Trickle{Candidate: `{"candidate":""}`}})
		before := c.pc.LocalDescription().SDP
		c.negotiate()
		if c.pc.LocalDescription().SDP == before {
			n.t.Error("there was no other offer")
		}
		c.say(signal.Request{Kind: signal.RequestLeave})
		if leave, code := c.over(); leave != (signal.Leave{Reason: signal.ClientInitiated}) || code != websocket.StatusNormalClosure {
			n.t.Errorf("left with %+v, %v", leave, code)
		}
	})
}

// TestResume: a session that is over cannot be gone on with. The client begins anew.
func TestResume(t *testing.T) {
	inNode(t, nil, func(n *node) {
		ws, _, err := n.dial(token(n.t, nil), signal.JoinRequest{Reconnect: true}.Pack())
		n.must(err)
		c := &client{node: n, ws: ws}
		first := c.read()
		if first.Kind != signal.ResponseLeave || *first.Leave != (signal.Leave{Reason: signal.StateMismatch, Action: signal.Reconnect}) {
			n.t.Errorf("the first message is %+v", first)
		}
		c.over()
	})
}

// TestDuplicate: an identity that joins again takes the place of the first.
func TestDuplicate(t *testing.T) {
	inNode(t, nil, func(n *node) {
		first := n.enter(token(n.t, nil), signal.Settings{})
		second := n.enter(token(n.t, nil), signal.Settings{})
		if leave, _ := first.over(); leave != (signal.Leave{Reason: signal.DuplicateIdentity}) {
			n.t.Errorf("the first was told %+v", leave)
		}
		second.say(signal.Request{Kind: signal.RequestPing})
		second.await(signal.ResponsePong, nil)
	})
}

// TestFarewells: what clients are told when it is not they who end it.
func TestFarewells(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*node, *client)
		want signal.Leave
	}{
		"the node stops":      {func(n *node, _ *client) { go n.stop() }, signal.Leave{Reason: signal.ServerShutdown, Action: signal.Reconnect}},
		"the edge is drained": {func(n *node, _ *client) { n.edge.EndAll(rtc.ErrDrained) }, signal.Leave{Reason: signal.ServerShutdown, Action: signal.Reconnect}},
		"the token ends":      {func(*node, *client) {}, signal.Leave{Reason: signal.ParticipantRemoved}},
		"media is lost":       {func(n *node, _ *client) { n.blackout() }, signal.Leave{Reason: signal.ConnectionTimeout, Action: signal.Reconnect}},
	} {
		t.Run(name, func(t *testing.T) {
			inNode(t, nil, func(n *node) {
				lifetime := time.Hour
				if name == "the token ends" {
					lifetime = 5 * time.Second
				}
				client := n.enter(token(n.t, func(claims, _ jwt.MapClaims) { claims["exp"] = time.Now().Add(lifetime).Unix() }), signal.Settings{})
				client.await(signal.ResponseUpdate, nil) // media can flow
				c.do(n, client)
				if leave, _ := client.over(); leave != c.want {
					n.t.Errorf("told %+v, want %+v", leave, c.want)
				}
			})
		})
	}
}

// TestNoOffer: who joins and offers nothing does not stay.
func TestNoOffer(t *testing.T) {
	inNode(t, nil, func(n *node) {
		ws, _, err := n.dial(token(n.t, nil), signal.JoinRequest{}.Pack())
		n.must(err)
		c := &client{node: n, ws: ws}
		began := time.Now()
		if leave, _ := c.over(); leave.Reason != signal.JoinFailure || time.Since(began) > 16*time.Second {
			n.t.Errorf("told %+v after %v", leave, time.Since(began))
		}
	})
}

// TestLateOffer: an offer may also come after the join.
func TestLateOffer(t *testing.T) {
	inNode(t, nil, func(n *node) {
		defer n.film("demo/alice")()
		ws, _, err := n.dial(token(n.t, nil), signal.JoinRequest{Settings: signal.Settings{AutoSubscribe: true}}.Pack())
		n.must(err)
		c := &client{node: n, ws: ws}
		c.connect()
		c.await(signal.ResponseUpdate, func(r signal.Response) bool { return len(r.Participants[0].Tracks) == 2 })
		c.negotiate()
		for len(c.seats) < 2 {
			c.await(signal.ResponseSections, nil)
			c.negotiate()
		}
		c.wantMedia(c.seats["0"], c.seats["3"])
	})
}

// TestData: the channels that a client opens are open, and it knows that nothing can
// be sent on them.
func TestData(t *testing.T) {
	inNode(t, nil, func(n *node) {
		n.channels = true
		c := n.enter(token(n.t, nil), signal.Settings{})
		open := make(chan struct{})
		c.data.OnOpen(func() { close(open) })
		c.await(signal.ResponseUpdate, nil) // media can flow
		time.Sleep(time.Second)
		select {
		case <-open:
		default:
			n.t.Fatal("the channel does not open")
		}
		if err := c.data.Send(make([]byte, 100)); err == nil {
			n.t.Error("a message was taken")
		}
		c.negotiate() // the section stays
		time.Sleep(time.Second)
		if state := c.data.ReadyState(); state != webrtc.DataChannelStateOpen {
			n.t.Errorf("after another offer the channel is %v", state)
		}
	})
}
