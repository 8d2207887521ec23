package rtc

import (
	"context"
	"fmt"
	"sync"

	"github.com/pion/webrtc/v4"
)

// peerConn is a publisher's connection: a whole peer connection of pion.
type peerConn struct {
	*webrtc.PeerConnection
	session *Session
	offer   string // the last one that was applied; guarded by Session.negotiation
}

// newPeerConn makes a peer connection out of the offer, after prepare has set up
// what receives, and returns the answer.
func (s *Session) newPeerConn(
	ctx context.Context, api *webrtc.API, offer string, prepare func(*webrtc.PeerConnection) error,
) (connection, string, error) {
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{s.edge.pcCert},
		BundlePolicy: webrtc.BundlePolicyMaxBundle,
	})
	if err != nil {
		return nil, "", fmt.Errorf("peer connection: %w", err)
	}
	p := &peerConn{PeerConnection: pc, session: s, offer: offer}
	var once sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(s.isUp)
		case webrtc.PeerConnectionStateFailed:
			s.end(ErrSilent)
		case webrtc.PeerConnectionStateClosed: // the client's DTLS close, unless we did
			s.end(ErrHungUp)
		case webrtc.PeerConnectionStateUnknown, webrtc.PeerConnectionStateNew,
			webrtc.PeerConnectionStateConnecting, webrtc.PeerConnectionStateDisconnected:
		}
	})
	if err := p.apply(offer); err != nil {
		return p, "", err
	}
	if err := prepare(pc); err != nil {
		return p, "", err
	}
	answer, err := p.answer(ctx)
	return p, answer, err
}

func (p *peerConn) apply(offer string) error {
	if err := p.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return fmt.Errorf("%w: %w", ErrBadOffer, err)
	}
	return nil
}

// answer answers the offer that was set, with all our candidates in it: on a
// multiplexed port they are known at once.
func (p *peerConn) answer(ctx context.Context) (string, error) {
	answer, err := p.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("create answer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(p.PeerConnection)
	if err := p.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("set answer: %w", err)
	}
	select {
	case <-gathered:
		return p.LocalDescription().SDP, nil
	case <-p.session.ctx.Done():
		return "", p.session.cause()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (p *peerConn) addCandidate(c webrtc.ICECandidateInit) error { return p.AddICECandidate(c) }

func (p *peerConn) restart(ctx context.Context, ufrag, pwd string) (string, error) {
	offer, err := withCredentials(p.offer, ufrag, pwd)
	if err != nil {
		return "", err
	}
	if err := p.apply(offer); err != nil {
		return "", err
	}
	answer, err := p.answer(ctx)
	if err == nil {
		p.offer = offer
	}
	return answer, err
}

func (p *peerConn) close() error { return p.GracefulClose() }
