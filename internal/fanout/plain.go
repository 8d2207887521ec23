package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// plain is the server to compare with that anybody would write first: pion's peer
// connections, one UDP port, each packet of the publisher written to a track that
// all viewers share, and no interceptors.
type plain struct {
	api *webrtc.API

	mu      sync.Mutex
	tracks  []*webrtc.TrackLocalStaticRTP
	waiting []chan struct{}
	conns   []*webrtc.PeerConnection
}

// servePlain runs the baseline until ctx ends.
func servePlain(ctx context.Context, ready func(Served)) error {
	var listen net.ListenConfig
	udp, err := listen.ListenPacket(ctx, "udp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	listener, err := listen.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, udp.Close())
	}
	p := &plain{}
	var media webrtc.MediaEngine
	if err := media.RegisterDefaultCodecs(); err != nil {
		return err
	}
	var settings webrtc.SettingEngine
	settings.SetICEUDPMux(ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: udp}))
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	// Without a registry of its own the API would register pion's default interceptors.
	none := &interceptor.Registry{}
	p.api = webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(none))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /whip/", p.answering(p.publisher))
	mux.HandleFunc("POST /whep/", p.answering(p.viewer))
	server := &http.Server{Handler: mux} //nolint:gosec // on loopback, for a benchmark
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	at, err := netip.ParseAddrPort(udp.LocalAddr().String())
	if err != nil {
		return errors.Join(err, listener.Close(), udp.Close())
	}
	ready(Served{URL: "http://" + listener.Addr().String(), PID: os.Getpid(), Media: at})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, pc := range p.conns {
		errs = append(errs, pc.Close())
	}
	return errors.Join(errs...)
}

// answering handles an offer: prepare adds what the session is for.
func (p *plain) answering(prepare func(*webrtc.PeerConnection) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err == nil {
			var answer string
			if answer, err = p.answer(r.Context(), string(body), prepare); err == nil {
				w.Header().Set("Content-Type", "application/sdp")
				w.Header().Set("Location", r.URL.Path+"/session")
				w.WriteHeader(http.StatusCreated)
				_, err = io.WriteString(w, answer)
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}

func (p *plain) answer(ctx context.Context, offer string, prepare func(*webrtc.PeerConnection) error) (string, error) {
	pc, err := p.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	p.conns = append(p.conns, pc)
	p.mu.Unlock()
	if err := prepare(pc); err != nil {
		return "", err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("offer: %w", err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("answer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("answer: %w", err)
	}
	select {
	case <-gathered:
		return pc.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// publisher forwards what comes, packet by packet.
func (p *plain) publisher(pc *webrtc.PeerConnection) error {
	pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		track, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, remote.Kind().String(), "plain")
		if err != nil {
			return
		}
		p.mu.Lock()
		p.tracks = append(p.tracks, track)
		for _, w := range p.waiting {
			close(w)
		}
		p.waiting = nil
		p.mu.Unlock()
		for {
			packet, _, err := remote.ReadRTP()
			if err != nil {
				return
			}
			packet.Extension, packet.Extensions = false, nil // of another session
			_ = track.WriteRTP(packet)                       // a viewer that is gone
		}
	})
	return nil
}

// viewer sends both tracks, once they are there.
func (p *plain) viewer(pc *webrtc.PeerConnection) error {
	for {
		p.mu.Lock()
		tracks := p.tracks
		wait := make(chan struct{})
		p.waiting = append(p.waiting, wait)
		p.mu.Unlock()
		if len(tracks) == 2 {
			for _, t := range tracks {
				sender, err := pc.AddTrack(t)
				if err != nil {
					return err
				}
				go func() { // reports must be read
					for buf := make([]byte, mtu); ; {
						if _, _, err := sender.Read(buf); err != nil {
							return
						}
					}
				}()
			}
			return nil
		}
		<-wait
	}
}
