package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"trellis/internal/media"
)

// PublishConfig says what to publish, and where.
type PublishConfig struct {
	Connection
	// Sources have at most one video and one audio track between them.
	Sources []Source
	// Loop begins again when all sources have ended.
	Loop bool
	// For ends publishing after so much media. Zero: at the end of the sources.
	For time.Duration
	// OnReport is called about twice a second with how things stand. May be nil.
	OnReport func(PublishReport)
}

// sink is where frames are published to.
type sink interface {
	// Begin announces the broadcast, whose PTS zero is start. Frames come after it.
	Begin(start time.Time) error
	// Write sends a frame of track i, which is due now. The data is not changed.
	Write(i int, f media.Frame) error
	// Done is closed when the connection is over, and Err says why.
	Done() <-chan struct{}
	Err() error
	Close(ctx context.Context) error
}

// closeTimeout bounds the farewell to the server.
const closeTimeout = 3 * time.Second

// errDisconnected is wrapped by the error of a connection that ended before the media did.
var errDisconnected = errors.New("disconnected")

// Publish sends the sources in real time until they end, For is over, or ctx
// ends, of which none is an error. It follows a node's wish that it leave, and looks
// for a node if the connection ends. The report is valid in any case.
func Publish(ctx context.Context, cfg PublishConfig) (PublishReport, error) {
	cfg.Connection = cfg.withDefaults()
	started := time.Now()
	list, err := newPlaylist(cfg.Sources, cfg.Loop)
	if err != nil {
		return PublishReport{}, err
	}
	defer list.close() //nolint:errcheck // files that were only read
	out, err := dialSink(ctx, cfg.Connection, list.tracks)
	if err != nil {
		return PublishReport{}, fmt.Errorf("publish %s: %w", cfg.Target.Broadcast, err)
	}
	nodes := &learned{conn: cfg.Connection}
	learning := make(chan struct{})
	go func() {
		defer close(learning)
		nodes.learn(ctx)
	}()
	defer func() { <-learning }()
	dial := func(ctx context.Context, where string) (sink, error) {
		c, err := cfg.at(where)
		if err != nil {
			return nil, err
		}
		return dialSink(ctx, c, list.tracks)
	}
	p := &publishing{
		cfg: cfg, list: list, sink: out, stats: newPublishStats(cfg.Target, list.tracks),
		moving: newMoving(ctx, cfg.Connection, dial, nodes.others),
	}
	p.stats.connected(time.Since(started))
	err = p.run(ctx)
	p.moving.close() //nolint:contextcheck // whoever is told to stop still says goodbye
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if p.sink != nil {
		if cerr := p.sink.Close(bye); err == nil && cerr != nil {
			err = fmt.Errorf("end publishing: %w", cerr)
		}
	}
	return p.stats.report(), err
}

func dialSink(ctx context.Context, c Connection, tracks []*playTrack) (sink, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	switch c.Target.Protocol {
	case WHIP:
		return dialWHIP(ctx, c, tracks)
	case MoQ:
		return dialMoQSink(ctx, c, tracks)
	default:
		return nil, fmt.Errorf("%w: %s is not for publishing", ErrTarget, c.Target.Protocol)
	}
}

// publishing is one run of Publish.
type publishing struct {
	cfg    PublishConfig
	list   *playlist
	sink   sink // nil while there is none
	stats  *publishStats
	moving *moving
}

// run writes each frame when it is due. A frame's lateness is measured from then,
// so that a stalled connection or machine shows.
func (p *publishing) run(ctx context.Context) error {
	start := time.Now()
	if err := p.sink.Begin(start); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	nextReport := start
	for {
		i, f, err := p.list.next()
		switch {
		case errors.Is(err, io.EOF), err == nil && p.cfg.For > 0 && f.PTS >= p.cfg.For:
			return nil
		case err != nil:
			return err
		}
		due := start.Add(f.PTS)
		if ok, err := p.wait(ctx, timer, due); err != nil || !ok {
			return err
		}
		p.turn(i, f, start)           //nolint:contextcheck // a node that is left is told so, whatever ends publishing
		written, err := p.write(i, f) //nolint:contextcheck // likewise
		if err != nil {
			return err
		}
		now := time.Now()
		if written {
			p.stats.wrote(i, f, now.Sub(due), now)
		}
		if p.cfg.OnReport != nil && !now.Before(nextReport) {
			nextReport = now.Add(reportInterval)
			p.cfg.OnReport(p.stats.report())
		}
	}
}

// cause is why the connection ended.
func (p *publishing) cause() error {
	if err := p.sink.Err(); err != nil {
		return err
	}
	return io.EOF
}

// reportInterval is how often a person wants to see new numbers.
const reportInterval = 500 * time.Millisecond
