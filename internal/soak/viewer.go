package soak

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/transport/v4"
	"github.com/pion/webrtc/v4"
)

// tally is what viewers have seen, all of them together.
type tally struct {
	packets, repeated, holes, signs, backwards, wraps atomic.Uint64
	first                                             atomic.Pointer[hole]
}

// hole is where sequence numbers are missing.
type hole struct {
	codec  string
	packet uint64 // how many the viewer had received
	size   int
	after  time.Duration // since it was connected
}

// viewer is one WHEP client that looks at each packet.
type viewer struct {
	pc      *webrtc.PeerConnection
	node    *node
	url     string
	tally   *tally
	reading sync.WaitGroup
	seen    atomic.Uint64 // packets
	joined  time.Time     // when media could flow
}

// join makes a viewer on a host. It returns once media can flow.
func (n *node) join(ctx context.Context, host transport.Net, t *tally) (*viewer, error) {
	me, ir := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := errors.Join(me.RegisterDefaultCodecs(), webrtc.ConfigureTWCCSender(me, ir)); err != nil {
		return nil, err
	}
	var se webrtc.SettingEngine
	se.SetNet(host)
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithInterceptorRegistry(ir),
		webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	v := &viewer{pc: pc, node: n, tally: t}
	if err := v.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("join: %w", err), pc.GracefulClose())
	}
	return v, nil
}

func (v *viewer) connect(ctx context.Context) error {
	connected, failed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	v.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(connected) })
		case webrtc.PeerConnectionStateFailed:
			once.Do(func() { close(failed) })
		default:
		}
	})
	v.pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.reading.Go(func() { v.read(t) }) })
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		_, err := v.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			return err
		}
	}
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(v.pc)
	if err := v.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	rec := v.request(ctx, http.MethodPost, "/whep/"+broadcast, v.pc.LocalDescription().SDP)
	if rec.Code != http.StatusCreated {
		return fmt.Errorf("WHEP answered %d: %s", rec.Code, rec.Body)
	}
	v.url = rec.Header().Get("Location")
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: rec.Body.String()}
	if err := v.pc.SetRemoteDescription(answer); err != nil {
		return err
	}
	select {
	case <-connected:
		v.joined = time.Now()
		return nil
	case <-failed:
		return errors.New("the connection failed")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (v *viewer) request(ctx context.Context, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/sdp")
	rec := httptest.NewRecorder()
	v.node.handler.ServeHTTP(rec, r)
	return rec
}

// read checks the packets of a track, which SRTP has opened.
func (v *viewer) read(t *webrtc.TrackRemote) {
	buf := make([]byte, 1500)
	var seq uint16
	var ts uint32
	for first := true; ; first = false {
		n, _, err := t.Read(buf)
		if err != nil {
			return
		}
		if n < 12 {
			v.tally.holes.Add(1)
			continue
		}
		v.seen.Add(1)
		v.tally.packets.Add(1)
		s, at := binary.BigEndian.Uint16(buf[2:]), binary.BigEndian.Uint32(buf[4:])
		if first {
			seq, ts = s, at
			continue
		}
		switch d := int16(s - seq); {
		case d <= 0: // sent again, to probe the path
			v.tally.repeated.Add(1)
			continue
		case d == 2: // the node's sign that a frame has no end
			v.tally.signs.Add(1)
		case d > 2:
			v.tally.holes.Add(uint64(d - 1))
			v.tally.first.CompareAndSwap(nil, &hole{codec: t.Codec().MimeType, packet: v.seen.Load(), size: int(d - 1), after: time.Since(v.joined)})
		}
		if s < seq {
			v.tally.wraps.Add(1)
		}
		if int32(at-ts) < 0 {
			v.tally.backwards.Add(1)
		}
		seq, ts = s, at
	}
}

// leave ends the session, as players do.
func (v *viewer) leave(ctx context.Context) error {
	rec := v.request(ctx, http.MethodDelete, v.url, "")
	err := v.pc.GracefulClose()
	v.reading.Wait()
	if rec.Code != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("DELETE answered %d: %s", rec.Code, rec.Body))
	}
	return err
}
