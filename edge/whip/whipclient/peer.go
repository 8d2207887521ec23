package whipclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"trellis/edge/rtc/stream"
	"trellis/edge/whip/sdpfrag"
)

// ErrLost means that the connection to the server was lost.
var ErrLost = errors.New("connection lost")

// Times after which silence means that the peer is gone: 3 s until a connection
// counts as disconnected, and 4 s more until it counts as failed.
const (
	iceDisconnected = 3 * time.Second
	iceFailed       = 4 * time.Second
	iceKeepalive    = time.Second
)

// session is one PeerConnection with the resource that belongs to it.
type session struct {
	cfg Config
	pc  *webrtc.PeerConnection
	res resource

	connected chan struct{} // closed once media can flow
	ctx       context.Context
	end       context.CancelCauseFunc
	close     func() error // GracefulClose, once
}

func newSession(cfg Config, me *webrtc.MediaEngine, ir *interceptor.Registry) (*session, error) {
	se := webrtc.SettingEngine{LoggerFactory: stream.LoggerFactory{Log: cfg.Log}}
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetICETimeouts(iceDisconnected, iceFailed, iceKeepalive)
	se.SetIncludeLoopbackCandidate(true) // nodes on this machine
	if cfg.Net != nil {
		se.SetNet(cfg.Net)
	}
	var networks []webrtc.NetworkType
	if !cfg.TCPOnly {
		networks = append(networks, webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6)
	}
	if cfg.Net == nil { // TCP is dialled beside it
		networks = append(networks, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	se.SetNetworkTypes(networks)
	api := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithInterceptorRegistry(ir), webrtc.WithSettingEngine(se))
	pc, err := api.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	if err != nil {
		return nil, fmt.Errorf("peer connection: %w", err)
	}
	s := &session{cfg: cfg, pc: pc, connected: make(chan struct{})}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	s.close = sync.OnceValue(pc.GracefulClose)
	var once sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(s.connected) })
		case webrtc.PeerConnectionStateFailed:
			s.end(ErrLost)
		case webrtc.PeerConnectionStateClosed: // by us, or by the server's DTLS close
			s.end(io.EOF)
		case webrtc.PeerConnectionStateUnknown, webrtc.PeerConnectionStateNew,
			webrtc.PeerConnectionStateConnecting, webrtc.PeerConnectionStateDisconnected:
		}
	})
	return s, nil
}

// negotiate offers, applies the answer and waits until media can flow.
func (s *session) negotiate(ctx context.Context) error {
	offer, err := s.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("create offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("set offer: %w", err)
	}
	// Without STUN servers all candidates are local: this takes no time.
	select {
	case <-gathered:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.res, err = s.cfg.post(ctx, s.pc.LocalDescription().SDP); err != nil {
		return err
	}
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.res.answer}
	if err := s.pc.SetRemoteDescription(answer); err != nil {
		return fmt.Errorf("set answer: %w", err)
	}
	timeout := time.NewTimer(s.cfg.ConnectTimeout)
	defer timeout.Stop()
	select {
	case <-s.connected:
		return nil
	case <-s.ctx.Done():
		return fmt.Errorf("connect: %w", s.cause())
	case <-timeout.C:
		return fmt.Errorf("connect: no media path within %v", s.cfg.ConnectTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// roundTrip returns the last round trip of a connectivity check.
func (s *session) roundTrip() (time.Duration, bool) {
	pair, ok := s.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	return time.Duration(pair.CurrentRoundTripTime * float64(time.Second)), ok && pair.ResponsesReceived > 0
}

// restart begins a new ICE session, as after a change of network. Media goes on.
func (s *session) restart(ctx context.Context) error {
	offer, err := s.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		return fmt.Errorf("create offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("set offer: %w", err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ours, err := sdpfrag.FromDescription(s.pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	theirs, err := s.cfg.restart(ctx, &s.res, ours)
	if err != nil {
		return err
	}
	if s.res.answer, err = theirs.Apply(s.res.answer); err != nil {
		return err
	}
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.res.answer}
	if err := s.pc.SetRemoteDescription(answer); err != nil {
		return fmt.Errorf("set answer: %w", err)
	}
	return nil
}

// hangUp deletes the resource, if there is one, and closes the connection.
func (s *session) hangUp(ctx context.Context) error {
	var err error
	if s.res.url != "" && s.ctx.Err() == nil {
		err = s.cfg.delete(ctx, s.res)
	}
	s.end(io.EOF)
	return errors.Join(err, s.close())
}

// cause returns why the session is over, io.EOF after an orderly end.
func (s *session) cause() error { return context.Cause(s.ctx) }

func (s *session) err() error {
	if err := s.cause(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
