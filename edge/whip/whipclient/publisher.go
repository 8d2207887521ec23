package whipclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
)

// Source is a track to publish.
type Source struct {
	Codec framing.Codec
	// H264Profile is the profile-level-id of an H.264 track, six hexadecimal
	// digits. Default 42e01f, constrained baseline.
	H264Profile string
	// RID tells the layers of one picture apart (RFC 8853): several video tracks, each
	// with a name of its own. Empty: there is one.
	RID string
	// Sequence is the number of the first packet. Zero: a random one.
	Sequence uint16
}

// PublishConfig says what to publish and where.
type PublishConfig struct {
	Config
	// Tracks has at most one audio and one video track, or several layers of that.
	Tracks []Source
}

// Frame is one encoded frame to publish.
type Frame struct {
	// PTS is the presentation time, on a timeline that all tracks share.
	PTS time.Duration
	// Key marks a frame from which decoding can begin. Ignored for audio.
	Key bool
	// Data is not kept.
	Data []byte
}

// PublishStats counts what became of one track.
type PublishStats struct {
	Frames, Packets, Bytes uint64
	// KeyframeRequests is how often the server asked for a key frame.
	KeyframeRequests uint64
	// NACKs is how many packets the server asked for again.
	NACKs uint64
}

// Publisher is a connected WHIP session.
type Publisher struct {
	session  *session
	tracks   []*outbound
	keyframe chan struct{}
	readers  sync.WaitGroup
}

// Publish connects and returns once media can flow, or why it cannot.
func Publish(ctx context.Context, cfg PublishConfig) (*Publisher, error) {
	cfg.Config = cfg.withDefaults()
	if len(cfg.Tracks) == 0 {
		return nil, errors.New("publish: no tracks")
	}
	engine := stream.EngineConfig{TransportCC: false}
	for _, t := range cfg.Tracks {
		o := stream.Offer{Codec: t.Codec}
		if t.Codec == framing.H264 && t.H264Profile != "" {
			o = stream.H264Offer(t.H264Profile)
		}
		engine.Simulcast = engine.Simulcast || t.RID != ""
		if !slices.Contains(engine.Offers, o) {
			engine.Offers = append(engine.Offers, o)
		}
	}
	me, err := stream.NewMediaEngine(engine)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	ir := &interceptor.Registry{}
	responder, err := nack.NewResponderInterceptor()
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	ir.Add(responder)
	asked := &references{}
	ir.Add(asked)
	s, err := newSession(cfg.Config, me, ir)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	p := &Publisher{session: s, keyframe: make(chan struct{}, 1)}
	if err := p.connect(ctx, cfg.Tracks, asked); err != nil {
		return nil, errors.Join(fmt.Errorf("publish %s: %w", cfg.URL, err), p.Close(context.WithoutCancel(ctx)))
	}
	return p, nil
}

func (p *Publisher) connect(ctx context.Context, sources []Source, asked *references) error {
	var layered *webrtc.RTPTransceiver
	for _, src := range sources {
		t, err := newOutbound(src, p.session, asked)
		if err != nil {
			return err
		}
		tr := layered
		if src.RID != "" && layered != nil {
			err = layered.Sender().AddEncoding(t)
		} else {
			tr, err = p.session.pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{
				Direction: webrtc.RTPTransceiverDirectionSendonly,
			})
		}
		if err != nil {
			return fmt.Errorf("add %s %s: %w", src.Codec, src.RID, err)
		}
		if src.RID != "" {
			layered = tr
		}
		p.tracks = append(p.tracks, t)
		p.readers.Go(func() { t.readFeedback(tr.Sender(), p.keyframe) })
	}
	if err := p.session.negotiate(ctx); err != nil {
		return err
	}
	for _, t := range p.tracks {
		if !t.bound.Load() {
			return fmt.Errorf("the server did not accept %s %s", t.codec, t.rid)
		}
		if t.rid != "" {
			t.mid = layered.Mid()
		}
	}
	return nil
}

// Write sends a frame of track i (an index into PublishConfig.Tracks). Frames of
// one track are written by one goroutine at a time, when they are due: packets
// leave at once.
func (p *Publisher) Write(i int, f Frame) error {
	if err := p.session.ctx.Err(); err != nil {
		return fmt.Errorf("publish: %w", p.session.cause())
	}
	return p.tracks[i].write(f)
}

// KeyframeRequests yields a token after the server asked for a key frame. An
// encoder then makes one; who plays from a file may ignore it.
func (p *Publisher) KeyframeRequests() <-chan struct{} { return p.keyframe }

// Stats returns the counters of track i.
func (p *Publisher) Stats(i int) PublishStats { return p.tracks[i].stats() }

// RestartICE begins a new ICE session over which media goes on, as after a change
// of network.
func (p *Publisher) RestartICE(ctx context.Context) error {
	if err := p.session.restart(ctx); err != nil {
		return fmt.Errorf("restart ICE: %w", err)
	}
	return nil
}

// Done is closed when the session is over.
func (p *Publisher) Done() <-chan struct{} { return p.session.ctx.Done() }

// Err returns why the session ended; nil while it lasts and after Close.
func (p *Publisher) Err() error { return p.session.err() }

// Close ends the session at the server and closes the connection. It returns
// when all goroutines have ended.
func (p *Publisher) Close(ctx context.Context) error {
	err := p.session.hangUp(ctx)
	p.readers.Wait()
	return err
}

// counters are written by one track's writer and its feedback reader.
type counters struct {
	frames, packets, bytes, keyframes, nacks atomic.Uint64
}
