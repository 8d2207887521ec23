package livekit_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/livekit"
	"trellis/edge/livekit/signal"
	"trellis/edge/whip/whipclient"
	"trellis/internal/clip"
)

// film publishes a broadcast in real time until stop is called.
func (n *node) film(name string) (stop func()) {
	n.t.Helper()
	pub := n.publish(name, whipclient.Source{Codec: framing.H264}, whipclient.Source{Codec: framing.Opus})
	ctx, cancel := context.WithCancel(n.ctx)
	var wg sync.WaitGroup
	for i, codec := range []framing.Codec{framing.H264, framing.Opus} {
		loop, err := clip.Load(codec)
		n.must(err)
		wg.Go(func() {
			start := time.Now()
			timer := time.NewTimer(0)
			defer timer.Stop()
			for {
				f, err := loop.Next()
				if err != nil {
					return
				}
				timer.Reset(time.Until(start.Add(f.PTS)))
				select {
				case <-ctx.Done():
					return
				case <-timer.C:
				}
				if pub.Write(i, whipclient.Frame{PTS: f.PTS, Key: f.Key, Data: f.Data}) != nil {
					return
				}
			}
		})
	}
	return sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		n.must(pub.Close(context.Background()))
	})
}

// wantMedia waits for tracks with those ids and reads packets of each.
func (c *client) wantMedia(ids ...string) {
	c.t.Helper()
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	for range ids {
		var t *webrtc.TrackRemote
		select {
		case t = <-c.tracks:
		case <-c.ctx.Done():
			c.t.Fatalf("no media of %v", want)
		}
		if !want[t.ID()] {
			c.t.Errorf("track %q of stream %q, want one of %v", t.ID(), t.StreamID(), want)
		}
		delete(want, t.ID())
		var last uint16
		for i := range 30 {
			p, _, err := t.ReadRTP()
			c.must(err)
			if i > 0 && p.SequenceNumber != last+1 && t.Kind() == webrtc.RTPCodecTypeAudio {
				c.t.Errorf("%s: packet %d after %d", t.ID(), p.SequenceNumber, last)
			}
			last = p.SequenceNumber
		}
	}
}

// TestReceive: what is there when a client joins is in its first answer.
func TestReceive(t *testing.T) {
	inNode(t, nil, func(n *node) {
		t := n.t
		defer n.film("demo/alice")()
		early := n.enter(token(t, identity("early")), signal.Settings{AutoSubscribe: true})
		early.await(signal.ResponseUpdate, func(r signal.Response) bool { return len(r.Participants[0].Tracks) == 2 })

		c := n.enter(token(t, nil), signal.Settings{AutoSubscribe: true})
		j := c.join
		if j.PingInterval == 0 || j.PingTimeout == 0 || j.Version == "" || j.Room.Name != "demo" || j.NodeID != "us-east-1-a" || j.Protocol != 17 {
			t.Errorf("join %+v", j)
		}
		if p := j.Participant; p.Identity != "viewer" || !p.Permission.Subscribe || p.SID == early.join.Participant.SID {
			t.Errorf("the client itself: %+v", p)
		}
		if len(j.Others) != 1 {
			t.Fatalf("others: %+v", j.Others)
		}
		alice := j.Others[0]
		if alice.Identity != "alice" || alice.State != signal.Active || len(alice.Tracks) != 2 {
			t.Errorf("alice is %+v", alice)
		}
		video, audio := alice.Tracks[0], alice.Tracks[1]
		if !video.Video || video.MimeType != "video/H264" || video.Width == 0 || len(video.Layers) != 1 || video.Layers[0].Quality != signal.High || video.Simulcast {
			t.Errorf("the picture: %+v", video)
		}
		if audio.Video || audio.MimeType != "audio/opus" || audio.Source != signal.Microphone {
			t.Errorf("the sound: %+v", audio)
		}
		if c.seats["0"] != audio.SID || c.seats["3"] != video.SID || len(c.seats) != 2 {
			t.Errorf("tracks by section: %v", c.seats)
		}
		c.await(signal.ResponseUpdate, func(r signal.Response) bool {
			return r.Participants[0].Identity == "viewer" && r.Participants[0].State == signal.Active
		})
		c.wantMedia(video.SID, audio.SID)
		if got := n.counted("trellis_livekit_sessions", ""); got != 2 {
			t.Errorf("%v sessions", got)
		}
	})
}

// TestComeAndGo: who comes later is announced, an offer asked for, and sent; when it
// has left its sections are free for others.
func TestComeAndGo(t *testing.T) {
	inNode(t, nil, func(n *node) {
		t := n.t
		c := n.enter(token(t, nil), signal.Settings{AutoSubscribe: true})
		if len(c.join.Others) != 0 || len(c.seats) != 0 {
			t.Fatalf("an empty room has %+v", c.join.Others)
		}
		for _, name := range []string{"bob", "carol"} {
			stop := n.film("demo/" + name)
			var tracks []string
			for len(tracks) < 2 {
				u := c.await(signal.ResponseUpdate, func(r signal.Response) bool { return r.Participants[0].Identity == name })
				tracks = nil
				for _, track := range u.Participants[0].Tracks {
					tracks = append(tracks, track.SID)
				}
			}
			for len(c.seats) < 2 {
				if s := c.await(signal.ResponseSections, nil); s.Sections != (signal.Sections{}) {
					t.Errorf("%+v more sections wanted, there are free ones", s.Sections)
				}
				c.negotiate()
			}
			if c.seats["0"] == "" || c.seats["3"] == "" {
				t.Errorf("tracks by section: %v", c.seats)
			}
			if name == "bob" {
				c.wantMedia(tracks...)
			}
			stop()
			c.await(signal.ResponseUpdate, func(r signal.Response) bool {
				return r.Participants[0].Identity == name && r.Participants[0].State == signal.Disconnected
			})
			c.await(signal.ResponseSections, nil)
			c.negotiate()
			if len(c.seats) != 0 {
				t.Errorf("nobody is there, and %v is sent", c.seats)
			}
		}
	})
}

// TestChoose: who does not subscribe to all is sent what it asks for.
func TestChoose(t *testing.T) {
	inNode(t, nil, func(n *node) {
		t := n.t
		defer n.film("demo/alice")()
		c := n.enter(token(t, nil), signal.Settings{})
		var video, audio string
		for video == "" || audio == "" {
			for _, track := range c.await(signal.ResponseUpdate, nil).Participants[0].Tracks {
				if track.Video {
					video = track.SID
				} else {
					audio = track.SID
				}
			}
		}
		c.say(signal.Request{Kind: signal.RequestSubscription, Subscription: &signal.Subscription{Tracks: []string{audio, "TR_none"}, Wanted: true}})
		if r := c.await(signal.ResponseSubscription, nil); r.Unsubscribed.Track != "TR_none" || r.Unsubscribed.Why != signal.TrackNotFound {
			t.Errorf("of an unknown track is said %+v", r.Unsubscribed)
		}
		c.await(signal.ResponseSections, nil)
		c.negotiate()
		if c.seats["0"] != audio || len(c.seats) != 1 {
			t.Errorf("only the sound was wanted: %v", c.seats)
		}
		c.wantMedia(audio)
		c.say(signal.Request{Kind: signal.RequestSubscription, Subscription: &signal.Subscription{Tracks: []string{video}, Wanted: true}})
		c.say(signal.Request{Kind: signal.RequestSubscription, Subscription: &signal.Subscription{Tracks: []string{audio}}})
		for len(c.seats) != 1 || c.seats["3"] != video {
			c.await(signal.ResponseSections, nil)
			c.negotiate()
		}
		c.wantMedia(video)
	})
}

// TestHidden: a room shows so many, and the next when one of them has left.
func TestHidden(t *testing.T) {
	inNode(t, func(c *livekit.Config) { c.MaxParticipants = 1 }, func(n *node) {
		stop := n.film("demo/alice")
		defer stop()
		c := n.enter(token(n.t, nil), signal.Settings{})
		c.await(signal.ResponseUpdate, func(r signal.Response) bool { return len(r.Participants[0].Tracks) == 2 })
		defer n.film("demo/bob")()
		time.Sleep(5 * time.Second)
		if got := n.counted("trellis_livekit_hidden_broadcasts_total", ""); got != 1 {
			n.t.Errorf("%v broadcasts are hidden", got)
		}
		c.say(signal.Request{Kind: signal.RequestPing})
		for r := c.read(); r.Kind != signal.ResponsePong; r = c.read() {
			for _, p := range r.Participants {
				if p.Identity == "bob" {
					n.t.Error("bob is shown, too")
				}
			}
		}
		stop()
		c.await(signal.ResponseUpdate, func(r signal.Response) bool {
			return r.Participants[len(r.Participants)-1].Identity == "bob" && len(r.Participants[len(r.Participants)-1].Tracks) == 2
		})
	})
}

// TestMore: where an offer has too few sections, more are asked for.
func TestMore(t *testing.T) {
	inNode(t, nil, func(n *node) {
		t := n.t
		for _, name := range []string{"a", "b", "c", "d"} {
			defer n.film("demo/" + name)()
		}
		c := n.enter(token(t, nil), signal.Settings{AutoSubscribe: true})
		for len(c.seats) < 8 {
			s := c.await(signal.ResponseSections, nil).Sections
			for kind, more := range map[webrtc.RTPCodecType]uint64{webrtc.RTPCodecTypeAudio: s.Audio, webrtc.RTPCodecTypeVideo: s.Video} {
				for range more {
					_, err := c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
					n.must(err)
				}
			}
			c.negotiate()
		}
		if n := len(c.pc.GetTransceivers()); n != 8 {
			t.Errorf("%d sections for 8 tracks", n)
		}
	})
}

// TestRestartICE: an offer with new credentials restarts ICE, as an SDK's does whose
// network has changed. The streams go on over the new path.
func TestRestartICE(t *testing.T) {
	inNode(t, nil, func(n *node) {
		t := n.t
		stop := n.film("demo/alice")
		defer stop()
		early := n.enter(token(t, identity("early")), signal.Settings{})
		early.await(signal.ResponseUpdate, func(r signal.Response) bool { return len(r.Participants[0].Tracks) == 2 })
		c := n.enter(token(t, nil), signal.Settings{AutoSubscribe: true})
		var all []*arrivals
		for range c.seats {
			all = append(all, record(c.track()))
		}
		time.Sleep(2 * time.Second)
		old, seats := c.address(), c.seats
		n.lost.Store(&old)
		time.Sleep(time.Second)
		began := time.Now()
		c.renegotiate(&webrtc.OfferOptions{ICERestart: true})
		if d := cmp.Diff(seats, c.seats); d != "" {
			t.Errorf("other tracks than before: %s", d)
		}
		time.Sleep(5 * time.Second)
		for _, a := range all {
			gap := a.longest(began)
			t.Logf("%s: nothing for %v after the offer", a.kind, gap)
			if gap > 500*time.Millisecond {
				t.Errorf("%s: nothing for %v after the offer", a.kind, gap)
			}
		}
		if c.address() == old {
			t.Error("the address is the old one")
		}
	})
}

// TestRestartsAreLimited: who restarts ICE again and again is ended.
func TestRestartsAreLimited(t *testing.T) {
	inNode(t, nil, func(n *node) {
		c := n.enter(token(n.t, nil), signal.Settings{})
		c.await(signal.ResponseUpdate, nil) // media can flow
		for range 20 {
			c.say(signal.Request{Kind: signal.RequestOffer, Description: c.offer(&webrtc.OfferOptions{ICERestart: true})})
			r := c.read()
			if r.Kind == signal.ResponseLeave {
				break
			}
			c.answered(r)
		}
		c.over()
		time.Sleep(time.Second)
		if got := n.counted("trellis_livekit_sessions_ended_total", "limit"); got != 1 {
			n.t.Errorf("%v sessions ended at a limit", got)
		}
	})
}

// TestSettings: a picture that is turned off is not sent, and is back as soon as it is
// turned on.
func TestSettings(t *testing.T) {
	inNode(t, nil, func(n *node) {
		t := n.t
		defer n.film("demo/alice")()
		early := n.enter(token(t, identity("early")), signal.Settings{})
		early.await(signal.ResponseUpdate, func(r signal.Response) bool { return len(r.Participants[0].Tracks) == 2 })
		c := n.enter(token(t, nil), signal.Settings{AutoSubscribe: true})
		tracks := map[webrtc.RTPCodecType]*arrivals{}
		for range c.seats {
			a := record(c.track())
			tracks[a.kind] = a
		}
		set := func(setting signal.TrackSetting) time.Time {
			setting.Tracks = []string{c.seats["3"]}
			c.say(signal.Request{Kind: signal.RequestTrackSetting, Setting: &setting})
			time.Sleep(200 * time.Millisecond)
			began := time.Now()
			time.Sleep(3 * time.Second)
			return began
		}
		for _, step := range []struct {
			setting signal.TrackSetting
			sent    bool
		}{
			{signal.TrackSetting{Width: 160, Height: 90}, true}, // the only layer is larger
			{signal.TrackSetting{Disabled: true, Quality: signal.High}, false},
			{signal.TrackSetting{Quality: signal.Low}, true},
		} {
			began := set(step.setting)
			if sent := tracks[webrtc.RTPCodecTypeVideo].longest(began) < time.Second; sent != step.sent {
				t.Errorf("with %+v the picture is sent: %v", step.setting, sent)
			}
			if gap := tracks[webrtc.RTPCodecTypeAudio].longest(began); gap > 100*time.Millisecond {
				t.Errorf("with %+v there is no sound for %v", step.setting, gap)
			}
		}
	})
}

// track waits for the next track.
func (c *client) track() *webrtc.TrackRemote {
	c.t.Helper()
	select {
	case t := <-c.tracks:
		return t
	case <-c.ctx.Done():
		c.t.Fatal("no track")
		return nil
	}
}

// address is where the client sends from.
func (c *client) address() string {
	c.t.Helper()
	pair, err := c.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	c.must(err)
	if pair == nil {
		c.t.Fatal("there is no path")
	}
	return net.JoinHostPort(pair.Local.Address, strconv.Itoa(int(pair.Local.Port)))
}

// arrivals is when the packets of a track came.
type arrivals struct {
	kind  webrtc.RTPCodecType
	mu    sync.Mutex
	times []time.Time
}

// record notes a track's packets until its connection is closed.
func record(track *webrtc.TrackRemote) *arrivals {
	a := &arrivals{kind: track.Kind()}
	go func() {
		for {
			if _, _, err := track.ReadRTP(); err != nil {
				return
			}
			a.mu.Lock()
			a.times = append(a.times, time.Now())
			a.mu.Unlock()
		}
	}()
	return a
}

// longest returns the longest time from some point to now in which nothing came.
func (a *arrivals) longest(from time.Time) (gap time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range append(a.times, time.Now()) {
		if at.After(from) {
			gap, from = max(gap, at.Sub(from)), at
		}
	}
	return gap
}
