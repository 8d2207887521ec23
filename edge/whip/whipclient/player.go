package whipclient

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
)

// PlayConfig says what to play and from where.
type PlayConfig struct {
	Config
	// Codecs are those to offer. Default: all.
	Codecs []framing.Codec
	// NoAudio and NoVideo leave out the media section.
	NoAudio, NoVideo bool
	// Queue is how many frames wait for Next before the oldest are dropped.
	// Default 1024.
	Queue int
	// Patience is how long a missing packet holds up those behind it. Default: 250 ms
	// where it can be asked for again, else 50 ms.
	Patience time.Duration
}

const defaultPlayQueue = 1024

// Received is one whole frame as it came out of the network.
type Received struct {
	Codec framing.Codec
	// PTS is the presentation time. All tracks of a session share a timeline,
	// whose zero is arbitrary, once sender reports have arrived.
	PTS time.Duration
	Key bool
	// Data belongs to the receiver.
	Data []byte
	// FirstArrival and Arrival are when the frame's first and last packet came.
	FirstArrival, Arrival time.Time
	// Captured is what the capture time extension says, zero if it is not there: on the
	// capturer's clock, or, from a Trellis edge that does not know that, when the frame
	// entered the backbone, on the clock of the edge.
	Captured time.Time
	// Age is the time from capture until Arrival, whatever clocks say, if Aged: from an edge
	// that knows how the capturer's clock goes.
	Age  time.Duration
	Aged bool
	// Gap says that frames right before this one were lost for good. Video then
	// goes on with a key frame, which is asked for: every frame can be decoded.
	Gap bool
}

// PlayStats counts what became of one kind of track.
type PlayStats struct {
	stream.InboundStats
	// Skipped frames were received, but could not be decoded after a loss.
	Skipped uint64
	// Dropped frames were complete, but nobody called Next in time.
	Dropped uint64
}

// Player is a connected WHEP session.
type Player struct {
	session *session
	frames  chan Received
	tracks  sync.WaitGroup
	wait    time.Duration // PlayConfig.Patience

	// By kind: audio, video.
	dropped, skipped [2]atomic.Uint64

	mu       sync.Mutex
	inbounds [2]*stream.Remote
	ended    bool
}

// Play connects and returns once media can flow, or why it cannot.
func Play(ctx context.Context, cfg PlayConfig) (*Player, error) {
	cfg.Config = cfg.withDefaults()
	if cfg.Queue <= 0 {
		cfg.Queue = defaultPlayQueue
	}
	if len(cfg.Codecs) == 0 {
		cfg.Codecs = []framing.Codec{framing.Opus, framing.H264, framing.VP8, framing.VP9, framing.AV1}
	}
	engine := stream.EngineConfig{AudioNACK: true, TransportCC: true}
	for _, o := range stream.AllOffers() {
		for _, c := range cfg.Codecs {
			if o.Codec == c {
				engine.Offers = append(engine.Offers, o)
			}
		}
	}
	me, err := stream.NewMediaEngine(engine)
	if err != nil {
		return nil, fmt.Errorf("play: %w", err)
	}
	ir := &interceptor.Registry{}
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, fmt.Errorf("play: %w", err)
	}
	ir.Add(reports)
	arrivals, err := twcc.NewSenderInterceptor()
	if err != nil {
		return nil, fmt.Errorf("play: %w", err)
	}
	ir.Add(arrivals)
	s, err := newSession(cfg.Config, me, ir)
	if err != nil {
		return nil, fmt.Errorf("play: %w", err)
	}
	p := &Player{session: s, frames: make(chan Received, cfg.Queue), wait: cfg.Patience}
	if err := p.connect(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("play %s: %w", cfg.URL, err), p.Close(context.WithoutCancel(ctx)))
	}
	return p, nil
}

func (p *Player) connect(ctx context.Context, cfg PlayConfig) error {
	var audio, video bool
	for _, c := range cfg.Codecs {
		audio, video = audio || c.Audio(), video || !c.Audio()
	}
	recvOnly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	if audio && !cfg.NoAudio {
		if _, err := p.session.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, recvOnly); err != nil {
			return fmt.Errorf("add audio: %w", err)
		}
	}
	if video && !cfg.NoVideo {
		if _, err := p.session.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, recvOnly); err != nil {
			return fmt.Errorf("add video: %w", err)
		}
	}
	clock := stream.NewTimeline()
	p.session.pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ended {
			return
		}
		p.tracks.Go(func() { p.receive(t, r, clock) })
	})
	return p.session.negotiate(ctx)
}

// receive runs one track until it ends.
func (p *Player) receive(t *webrtc.TrackRemote, r *webrtc.RTPReceiver, clock *stream.Timeline) {
	in, err := stream.NewRemote(stream.RemoteConfig{
		Track: t, Receiver: r, Timeline: clock, Log: p.session.cfg.Log,
		WriteRTCP: p.session.pc.WriteRTCP, MaxWait: p.wait, RoundTrip: p.session.roundTrip,
	})
	if err != nil {
		p.session.end(fmt.Errorf("play: %w", err))
		return
	}
	k := kindIndex(in.Codec())
	p.mu.Lock()
	p.inbounds[k] = in
	p.mu.Unlock()
	in.Run(&assembler{player: p, codec: in.Codec(), kind: k, wait: k == kindVideo})
}

const (
	kindAudio = iota
	kindVideo
)

func kindIndex(c framing.Codec) int {
	if c.Audio() {
		return kindAudio
	}
	return kindVideo
}

// Next waits for the next whole frame of any track. The error is io.EOF when
// the session has ended in order, ErrLost when the connection broke, or the
// cause of ctx.
func (p *Player) Next(ctx context.Context) (Received, error) {
	select {
	case f := <-p.frames:
		return f, nil
	default:
	}
	select {
	case f := <-p.frames:
		return f, nil
	case <-p.session.ctx.Done():
		return Received{}, p.session.cause()
	case <-ctx.Done():
		return Received{}, context.Cause(ctx)
	}
}

// RequestKeyframe asks the server for a key frame.
func (p *Player) RequestKeyframe() error {
	p.mu.Lock()
	in := p.inbounds[kindVideo]
	p.mu.Unlock()
	if in == nil {
		return errors.New("request key frame: no video yet")
	}
	return p.session.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: in.SSRC()}})
}

// AudioStats and VideoStats return the counters of the session's tracks.
func (p *Player) AudioStats() PlayStats { return p.stats(kindAudio) }

// VideoStats returns the counters of the video track.
func (p *Player) VideoStats() PlayStats { return p.stats(kindVideo) }

func (p *Player) stats(kind int) PlayStats {
	p.mu.Lock()
	in := p.inbounds[kind]
	p.mu.Unlock()
	s := PlayStats{Skipped: p.skipped[kind].Load(), Dropped: p.dropped[kind].Load()}
	if in != nil {
		s.InboundStats = in.Stats()
	}
	return s
}

// RestartICE begins a new ICE session over which media goes on, as after a change
// of network.
func (p *Player) RestartICE(ctx context.Context) error {
	if err := p.session.restart(ctx); err != nil {
		return fmt.Errorf("restart ICE: %w", err)
	}
	return nil
}

// Done is closed when the session is over.
func (p *Player) Done() <-chan struct{} { return p.session.ctx.Done() }

// Err returns why the session ended; nil while it lasts and after an orderly end.
func (p *Player) Err() error { return p.session.err() }

// Close ends the session at the server and closes the connection. It returns
// when all goroutines have ended.
func (p *Player) Close(ctx context.Context) error {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	err := p.session.hangUp(ctx)
	p.tracks.Wait()
	return err
}

// push hands a frame to Next, and drops the oldest one when nobody takes them.
func (p *Player) push(kind int, f Received) {
	for {
		select {
		case p.frames <- f:
			return
		default:
		}
		select {
		case <-p.frames:
			p.dropped[kind].Add(1)
		default:
		}
	}
}
