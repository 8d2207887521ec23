package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// WatchConfig says what to watch, and what to do with it.
type WatchConfig struct {
	Connection
	// For ends watching so long after the connection is there. Zero: at the end of
	// the broadcast.
	For time.Duration
	// NoAudio and NoVideo leave a kind out.
	NoAudio, NoVideo bool
	// OutputDir is the directory into which tracks are written, a file each. Empty:
	// nothing is written.
	OutputDir string
	// OnReport is called about twice a second with how things stand. May be nil.
	OnReport func(WatchReport)
}

// kinds says which kinds are not wanted.
type kinds struct{ noAudio, noVideo bool }

// ErrNoMedia is returned when nothing arrived in the time that there was.
var ErrNoMedia = errors.New("no media received")

// Watch receives until the broadcast ends, For is over, or ctx ends, of which none
// is an error. The report is valid in any case.
func Watch(ctx context.Context, cfg WatchConfig) (WatchReport, error) {
	cfg.Connection = cfg.withDefaults()
	stats := newWatchStats(cfg.Target, time.Now())
	first, err := dialFeed(ctx, cfg)
	if err != nil {
		return stats.report(nil), fmt.Errorf("watch %s: %w", cfg.Target.Broadcast, err)
	}
	stats.connected(time.Now())
	nodes := &doors{cfg: cfg, learned: learned{conn: cfg.Connection}}
	learning := make(chan struct{})
	go func() {
		defer close(learning)
		nodes.learn(ctx)
	}()
	defer func() { <-learning }()
	in := newRoaming(ctx, first, nodes, cfg.Timeout, cfg.Log)
	files := newFiles(cfg.OutputDir)
	err = watching{cfg: cfg, feed: in, stats: stats, files: files}.run(ctx)
	report := stats.report(in)
	report.Files = files.names()
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	cerr := in.Close(bye)
	if ferr := files.close(); err == nil {
		err = ferr
	}
	switch {
	case err != nil:
		return report, fmt.Errorf("watch %s: %w", cfg.Target.Broadcast, err)
	case len(report.Tracks) == 0:
		return report, fmt.Errorf("watch %s: %w", cfg.Target.Broadcast, ErrNoMedia)
	case cerr != nil:
		return report, fmt.Errorf("end watching %s: %w", cfg.Target.Broadcast, cerr)
	}
	return report, nil
}

// dialFeed connects, and waits for a broadcast that is not live yet.
func dialFeed(ctx context.Context, cfg WatchConfig) (in feed, err error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("nothing there within %v: %w", cfg.Timeout, err)
		}
	}()
	return connect(ctx, cfg, true)
}

// connect opens a session. With wait, it waits for a broadcast that is not live yet.
func connect(ctx context.Context, cfg WatchConfig, wait bool) (feed, error) {
	only := kinds{noAudio: cfg.NoAudio, noVideo: cfg.NoVideo}
	switch cfg.Target.Protocol {
	case WHEP:
		return dialWHEP(ctx, cfg.Connection, only, wait)
	case MoQ:
		return dialMoQFeed(ctx, cfg.Connection, only)
	default:
		return nil, fmt.Errorf("%w: %s is not for watching", ErrTarget, cfg.Target.Protocol)
	}
}

// watching is one run of Watch.
type watching struct {
	cfg   WatchConfig
	feed  feed
	stats *watchStats
	files *files
}

var errTimeUp = errors.New("time is up")

// run takes frames until there are no more, or enough.
func (w watching) run(ctx context.Context) error {
	if w.cfg.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.cfg.For, errTimeUp)
		defer cancel()
	}
	var nextReport time.Time
	for {
		r, err := w.feed.Next(ctx)
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if err := w.files.write(r); err != nil {
			return err
		}
		w.stats.got(r)
		if roam, ok := w.feed.(*roaming); ok {
			w.stats.reconnects = roam.Reconnects()
		}
		if w.cfg.OnReport != nil && !r.arrived.Before(nextReport) {
			nextReport = r.arrived.Add(reportInterval)
			w.cfg.OnReport(w.stats.report(w.feed))
		}
	}
}
