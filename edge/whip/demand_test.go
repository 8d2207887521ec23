package whip_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	rtcstream "trellis/edge/rtc/stream"
	"trellis/internal/relay"
	"trellis/wire"
)

// browser publishes three layers of VP8 as browsers do: the smallest first, as many
// as the receiver's estimate lets it, each again with a key frame.
type browser struct {
	w      *world
	pc     *webrtc.PeerConnection
	layers []*browserLayer
	wg     sync.WaitGroup
	// onDemand is told what is wanted, instead of the limit; nil for that.
	onDemand func([]rtc.LayerDemand)

	mu    sync.Mutex
	limit float32 // bit/s, zero for none
	pli   map[uint32]bool
}

type browserLayer struct {
	rid            string
	height         int
	least, target  float32
	track          *webrtc.TrackLocalStaticRTP
	ssrc           uint32
	sent           bool
	seq            uint16
	frames, begins int
}

func newBrowser(w *world, onDemand func([]rtc.LayerDemand)) *browser {
	w.t.Helper()
	b := offerBrowser(w, onDemand)
	b.connect()
	return b
}

// offerBrowser returns one that is not connected. It has these SRTP profiles, all of pion's
// without any.
func offerBrowser(w *world, onDemand func([]rtc.LayerDemand), profiles ...dtls.SRTPProtectionProfile) *browser {
	w.t.Helper()
	b := &browser{w: w, onDemand: onDemand, pli: map[uint32]bool{}, layers: []*browserLayer{
		{rid: "q", height: 180, least: 30_000, target: 110_000},
		{rid: "h", height: 360, least: 150_000, target: 380_000},
		{rid: "f", height: 720, least: 350_000, target: 1_300_000},
	}}
	me, err := rtcstream.NewMediaEngine(rtcstream.EngineConfig{Offers: []rtcstream.Offer{{Codec: framing.VP8}}, TransportCC: true, Simulcast: true})
	w.must(err)
	se := webrtc.SettingEngine{LoggerFactory: rtcstream.LoggerFactory{Log: testLog(w.t)}}
	se.SetNet(w.host())
	se.SetSRTPProtectionProfiles(profiles...)
	b.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithInterceptorRegistry(&interceptor.Registry{}),
		webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	w.must(err)
	capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90_000}
	var sender *webrtc.RTPSender
	for _, l := range b.layers {
		l.track, err = webrtc.NewTrackLocalStaticRTP(capability, "picture", "camera", webrtc.WithRTPStreamID(l.rid))
		w.must(err)
		if sender != nil {
			w.must(sender.AddEncoding(l.track))
			continue
		}
		tr, err := b.pc.AddTransceiverFromTrack(l.track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		w.must(err)
		sender = tr.Sender()
	}
	return b
}

// connect exchanges descriptions and waits for the transport. Feedback is then listened to.
func (b *browser) connect() {
	w := b.w
	offer, err := b.pc.CreateOffer(nil)
	w.must(err)
	gathered := webrtc.GatheringCompletePromise(b.pc)
	w.must(b.pc.SetLocalDescription(offer))
	<-gathered
	answer := b.publish(b.pc.LocalDescription().SDP)
	connected := make(chan struct{})
	b.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(connected)
		}
	})
	w.must(b.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	<-connected
	sender := b.pc.GetSenders()[0]
	encodings := sender.GetParameters().Encodings
	for i, l := range b.layers {
		l.ssrc = uint32(encodings[i].SSRC)
		b.wg.Go(func() { b.listen(sender, l.rid) })
	}
}

// publish returns the node's answer.
func (b *browser) publish(offer string) string {
	if b.onDemand != nil {
		s, err := b.w.edge.Publish(b.w.t.Context(), rtc.Request{Broadcast: "room/alice", Identity: "alice", Offer: offer, OnDemand: b.onDemand})
		b.w.must(err)
		return s.Answer()
	}
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "http://10.0.0.1/whip/room/alice", strings.NewReader(offer))
	r.Header.Set("Content-Type", "application/sdp")
	b.w.handler.ServeHTTP(rec, r)
	if rec.Code != http.StatusCreated {
		b.w.t.Fatalf("publish: %d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// listen takes feedback for one layer.
func (b *browser) listen(sender *webrtc.RTPSender, rid string) {
	for {
		packets, _, err := sender.ReadSimulcastRTCP(rid)
		if err != nil {
			return
		}
		b.mu.Lock()
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.ReceiverEstimatedMaximumBitrate:
				b.limit = p.Bitrate
			case *rtcp.PictureLossIndication:
				b.pli[p.MediaSSRC] = true
			}
		}
		b.mu.Unlock()
	}
}

// run sends pictures until ctx ends.
func (b *browser) run(ctx context.Context) {
	ids := map[string]uint8{}
	for _, e := range b.pc.GetSenders()[0].GetParameters().HeaderExtensions {
		ids[e.URI] = uint8(e.ID)
	}
	tick := time.NewTicker(time.Second / layerRate)
	defer tick.Stop()
	for n := uint32(0); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.mu.Lock()
		left := b.limit
		if left == 0 {
			left = 10_000_000
		}
		for i, l := range b.layers {
			was := l.sent
			l.sent = i == 0 || left >= l.least
			if !l.sent {
				left = 0
				continue
			}
			rate := min(left, l.target)
			left -= rate
			key := !was || b.pli[l.ssrc] || n%(10*layerRate) == 0
			delete(b.pli, l.ssrc)
			if key {
				l.begins++
			}
			l.frames++
			b.write(l, ids, n*90_000/layerRate, key, int(rate/8/layerRate))
		}
		b.mu.Unlock()
	}
}

// write sends one picture of a layer.
func (b *browser) write(l *browserLayer, ids map[string]uint8, ts uint32, key bool, size int) {
	frame := bytes.Repeat([]byte{0x55}, max(size, 20))
	frame[0] |= 1
	if key {
		width := l.height * 16 / 9
		copy(frame, []byte{0x10, 2, 0, 0x9d, 1, 0x2a, byte(width), byte(width >> 8), byte(l.height), byte(l.height >> 8)})
	}
	p, err := framing.NewPacketizer(framing.VP8, framing.PacketizerConfig{})
	b.w.must(err)
	var payloads framing.Payloads
	b.w.must(p.Packetize(frame, key, &payloads))
	for i := range payloads.Len() {
		packet := &rtp.Packet{
			Header:  rtp.Header{Version: 2, Timestamp: ts, SequenceNumber: l.seq, Marker: i == payloads.Len()-1},
			Payload: payloads.At(i),
		}
		l.seq++
		b.w.must(packet.SetExtension(ids[sdp.SDESMidURI], []byte("0")))
		b.w.must(packet.SetExtension(ids[sdp.SDESRTPStreamIDURI], []byte(l.rid)))
		_ = l.track.WriteRTP(packet) // until the connection is there, and after it
	}
}

// encodes returns which layers are encoded just now.
func (b *browser) encodes() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := ""
	for _, l := range b.layers {
		if l.sent {
			s += l.rid
		}
	}
	return s
}

// stalled lists the tracks that the catalog says deliver nothing, and how many it has.
func (w *world) stalled() (stalled []string, all int) {
	w.t.Helper()
	catalog := w.catalog()
	for _, v := range catalog.VideoTracks() {
		all++
		if v.Stalled {
			stalled = append(stalled, v.Track)
		}
	}
	return stalled, all
}

// TestPublisherSendsWhatIsWanted has a simulcast publisher without viewers, which
// stops the layers that nobody wants; then somebody asks for the largest, leaves,
// and comes back by WHEP.
func TestPublisherSendsWhatIsWanted(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		t := w.t
		b := newBrowser(w, nil)
		ctx, cancel := context.WithCancel(t.Context())
		b.wg.Go(func() { b.run(ctx) })
		time.Sleep(5 * time.Second)
		if got := b.encodes(); got != "qhf" {
			t.Errorf("at first %q is encoded", got)
		}
		time.Sleep(10 * time.Second)
		if got := b.encodes(); got != "q" {
			t.Errorf("without viewers %q is encoded", got)
		}
		if stalled, all := w.stalled(); len(stalled) != 0 || all != 3 {
			t.Errorf("%v of %d tracks count as stalled", stalled, all)
		}

		began := time.Now()
		sub, err := w.table.Subscribe(wire.TrackName{Broadcast: "room/alice", Track: "video/f"}, relay.SubscribeOptions{Viewers: 1})
		w.must(err)
		sub.Track().RequestKeyframe()
		g, err := sub.NextGroup(t.Context())
		w.must(err)
		c, err := g.Next(t.Context())
		w.must(err)
		// One round trip, up to one picture until the encoder looks, and the key frame's
		// first packet.
		if d := time.Since(began); d > 2*oneWay+time.Second/layerRate+20*time.Millisecond {
			t.Errorf("the largest layer came back after %v", d)
		}
		if at := time.UnixMicro(c.Ingress); at.Before(began) {
			t.Errorf("it began with a picture of %v ago", began.Sub(at))
		}
		time.Sleep(10 * time.Second)
		if got := b.encodes(); got != "qhf" {
			t.Errorf("with the largest wanted %q is encoded", got)
		}
		g.Close()
		sub.Close()
		time.Sleep(12 * time.Second)
		if got := b.encodes(); got != "q" {
			t.Errorf("after it was left %q is encoded", got)
		}

		player := w.play(framing.VP8)
		read := make(chan int)
		go func() {
			n := 0
			for {
				if _, err := player.Next(context.Background()); err != nil {
					read <- n
					return
				}
				n++
			}
		}()
		time.Sleep(20 * time.Second)
		if got := b.encodes(); got != "qhf" {
			t.Errorf("with a viewer on a wide path %q is encoded", got)
		}
		w.must(player.Close(t.Context()))
		if n := <-read; n < 19*layerRate*9/10 {
			t.Errorf("%d pictures in 20 s", n)
		}
		time.Sleep(15 * time.Second)
		if got := b.encodes(); got != "q" {
			t.Errorf("after the viewer has left %q is encoded", got)
		}
		if stalled, _ := w.stalled(); len(stalled) != 0 {
			t.Errorf("%v count as stalled", stalled)
		}
		cancel()
		w.must(b.pc.GracefulClose())
		b.wg.Wait()
	})
}

// TestDemandIsSaid has a protocol that can tell its client which layers are wanted:
// it hears of each change, and the client is not limited.
func TestDemandIsSaid(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		t := w.t
		var mu sync.Mutex
		var said []string
		b := newBrowser(w, func(all []rtc.LayerDemand) {
			mu.Lock()
			defer mu.Unlock()
			s := ""
			for _, l := range all {
				if l.Wanted {
					s += l.RID
				}
			}
			said = append(said, s)
		})
		ctx, cancel := context.WithCancel(t.Context())
		b.wg.Go(func() { b.run(ctx) })
		time.Sleep(15 * time.Second)
		sub, err := w.table.Subscribe(wire.TrackName{Broadcast: "room/alice", Track: "video/h"}, relay.SubscribeOptions{Viewers: 1})
		w.must(err)
		time.Sleep(5 * time.Second)
		sub.Close()
		time.Sleep(5 * time.Second)
		mu.Lock()
		got := strings.Join(said, " ")
		mu.Unlock()
		if want := "qhf q qh q"; got != want {
			t.Errorf("%q was said, want %q", got, want)
		}
		b.mu.Lock()
		if b.limit != 0 {
			t.Errorf("limited to %v", b.limit)
		}
		b.mu.Unlock()
		cancel()
		w.must(b.pc.GracefulClose())
		b.wg.Wait()
	})
}
