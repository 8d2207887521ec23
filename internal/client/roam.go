package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/edge/moq/moqclient"
	"trellis/edge/whip/whipclient"
	"trellis/wire"
)

// roaming is a feed that stays with its broadcast when nodes do not. Where a node
// asks us to leave (MoQ), we take the broadcast from another one before we do, and
// hand on each frame once. Where a session just ends (WebRTC, or a node that is
// gone), we come back, to another node if need be.
type roaming struct {
	dialer dialer
	log    *slog.Logger
	// patience is how long to look for a node after one is gone.
	patience time.Duration

	frames chan received
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned
	err    error         // why it did; set before done is closed

	mu         sync.Mutex // guards what follows
	merge      *merger
	now        *leg
	past       [2]transportLosses // of legs that are over
	reconnects int
}

// dialer finds nodes. *doors is one.
type dialer interface {
	// dial connects once. where is empty for the node that was meant from the
	// beginning, or the base URL of another.
	dial(ctx context.Context, where string) (feed, error)
	// others returns base URLs of other nodes.
	others() []string
}

// leg is the time with one node.
type leg struct {
	feed   feed
	number int
	cancel context.CancelFunc
	ended  chan error    // receives why, once
	idle   chan struct{} // closed when nothing is handed on any more

	// Guarded by roaming.mu.
	first  map[string]uint64 // group, by track
	newest map[string]uint64
}

const (
	// overlapLimit is how long two nodes may deliver side by side.
	overlapLimit = 3 * time.Second
	// overlapLinger is how long the old node may finish the groups that it began.
	overlapLinger = 250 * time.Millisecond
	// redialLimit bounds one attempt to connect, redialPause is between rounds.
	redialLimit = 3 * time.Second
	redialPause = 250 * time.Millisecond
	// stayPause is before we try again to follow a node's wish that we leave.
	stayPause = 2 * time.Second
)

func newRoaming(ctx context.Context, first feed, d dialer, patience time.Duration, log *slog.Logger) *roaming {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &roaming{
		dialer: d, log: log, patience: patience, frames: make(chan received), cancel: cancel,
		done: make(chan struct{}), merge: newMerger(),
	}
	go func() {
		defer close(r.done)
		r.err = r.run(run, first)
	}()
	return r
}

// Next implements feed.
func (r *roaming) Next(ctx context.Context) (received, error) {
	select {
	case f := <-r.frames:
		return f, nil
	case <-r.done:
		return received{}, r.err
	case <-ctx.Done():
		return received{}, context.Cause(ctx)
	}
}

// Losses implements feed.
func (r *roaming) Losses(audio bool) transportLosses {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.past[index(audio)]
	if r.now != nil {
		l.add(r.now.feed.Losses(audio))
	}
	return l
}

func (l *transportLosses) add(m transportLosses) {
	l.packets += m.packets
	l.groups += m.groups
}

// Reconnects returns how often another session took the place of one.
func (r *roaming) Reconnects() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reconnects
}

// Close implements feed.
func (r *roaming) Close(context.Context) error {
	r.cancel()
	<-r.done
	return nil
}

// run goes from leg to leg until the broadcast ends or nobody has it any more.
func (r *roaming) run(ctx context.Context, first feed) error {
	cur := r.begin(ctx, first, 0)
	r.mu.Lock()
	r.now = cur
	r.mu.Unlock()
	defer func() { r.end(ctx, cur) }()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case why := <-cur.ended:
			next, err := r.redial(ctx, why)
			if err != nil {
				return err
			}
			if replaced(why) { // what comes now counts from nought, or from anywhere
				r.mu.Lock()
				r.merge = newMerger()
				r.mu.Unlock()
			}
			fresh := r.begin(ctx, next, cur.number+1)
			r.replace(cur, fresh)
			r.end(ctx, cur)
			cur = fresh
		case <-leaving(cur.feed):
			next, err := r.follow(ctx, cur)
			if err != nil {
				return err
			}
			cur = next
		}
	}
}

func leaving(f feed) <-chan struct{} {
	if l, ok := f.(leaver); ok {
		return l.Leaving()
	}
	return nil
}

// begin starts to hand on what a feed delivers.
func (r *roaming) begin(run context.Context, f feed, number int) *leg {
	ctx, cancel := context.WithCancel(run)
	l := &leg{
		feed: f, number: number, cancel: cancel, ended: make(chan error, 1), idle: make(chan struct{}),
		first: map[string]uint64{}, newest: map[string]uint64{},
	}
	go func() {
		defer close(l.idle)
		for {
			f, err := l.feed.Next(ctx)
			if err != nil {
				l.ended <- err
				return
			}
			f.session = l.number
			if !r.took(l, f) {
				continue
			}
			select {
			case r.frames <- f:
			case <-run.Done(): // not ctx: what was taken from here is not taken from elsewhere
				l.ended <- context.Cause(run)
				return
			}
		}
	}()
	return l
}

func (r *roaming) took(l *leg, f received) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.placed {
		if _, begun := l.first[f.track]; !begun {
			l.first[f.track] = f.group
		}
		l.newest[f.track] = max(l.newest[f.track], f.group)
	}
	return r.merge.take(f)
}

// end closes a leg and waits for its last frame.
func (r *roaming) end(ctx context.Context, l *leg) {
	l.cancel()
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := l.feed.Close(bye); err != nil {
		r.log.Debug("leave a node", slog.Any("err", err))
	}
	<-l.idle
}

// replace makes next the leg that counts.
func (r *roaming) replace(old, next *leg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, audio := range []bool{false, true} {
		r.past[index(audio)].add(old.feed.Losses(audio))
	}
	r.now = next
	r.reconnects++
}

// follow takes the broadcast from where the node says before it leaves the node.
// If that is not possible it stays, and tries again a little later.
func (r *roaming) follow(ctx context.Context, cur *leg) (*leg, error) {
	where := cur.feed.(leaver).Elsewhere()
	if where != "" {
		attempt, cancel := context.WithTimeout(ctx, redialLimit)
		next, err := r.dialer.dial(attempt, where)
		cancel()
		if err == nil {
			r.log.Info("the node asks us to leave", slog.String("for", host(where)))
			return r.handOver(ctx, cur, next), nil
		}
		r.log.Info("the node asks us to leave, but not where we could go", slog.Any("err", err))
	}
	timer := time.NewTimer(stayPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case why := <-cur.ended:
		cur.ended <- why // for run
	}
	return cur, nil
}

// handOver lets both nodes deliver until the new one has everything that the old
// one has. A new one that delivers nothing is left again.
func (r *roaming) handOver(ctx context.Context, old *leg, f feed) *leg {
	next := r.begin(ctx, f, old.number+1)
	begun := r.overlap(ctx, old, next)
	if !begun {
		r.end(ctx, next)
		return old
	}
	r.replace(old, next)
	r.end(ctx, old)
	return next
}

// overlap waits until the old leg is not needed any more. False: the new one is not
// to be relied on.
func (r *roaming) overlap(ctx context.Context, old, next *leg) bool {
	limit := time.NewTimer(overlapLimit)
	defer limit.Stop()
	ticker := time.NewTicker(overlapLinger / 5)
	defer ticker.Stop()
	var since time.Time
	for {
		select {
		case now := <-ticker.C:
			r.mu.Lock()
			same := r.merge.overlap(next.first, old.newest)
			r.mu.Unlock()
			if same && since.IsZero() {
				since = now
			}
			if !since.IsZero() && now.Sub(since) >= overlapLinger {
				return true
			}
		case <-limit.C:
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(next.first) > 0
		case <-ctx.Done():
			return false
		case why := <-old.ended:
			r.log.Debug("the node ended the session that was left", slog.Any("cause", why))
			return ctx.Err() == nil
		case why := <-next.ended:
			r.log.Info("the other node ended the session", slog.Any("cause", why))
			return false
		}
	}
}

// redial finds a node after a session has ended. It returns why, if that was the
// end of the broadcast, or not for another node to mend.
func (r *roaming) redial(ctx context.Context, why error) (feed, error) {
	if ctx.Err() != nil || !mendable(why) && !replaced(why) {
		return nil, why
	}
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	r.log.Info("the session ended, looking for a node", slog.Any("cause", why))
	for {
		for _, where := range append([]string{""}, r.dialer.others()...) {
			attempt, cancel := context.WithTimeout(ctx, redialLimit)
			f, err := r.dialer.dial(attempt, where)
			cancel()
			switch {
			case err == nil:
				r.log.Info("found a node", slog.String("at", host(where)))
				return f, nil
			case errors.Is(err, errNotLive):
				return nil, io.EOF // which is why the session ended
			}
			r.log.Debug("not there", slog.String("node", where), slog.Any("err", err))
		}
		timer := time.NewTimer(redialPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("no node within %v: %w", r.patience, why)
		}
	}
}

// errWHEPOver is the orderly end of a WebRTC session: of the broadcast, or of the
// time that a node had to drain.
var errWHEPOver = fmt.Errorf("the node ended the session: %w", io.EOF)

// mendable reports whether another session may go on where one ended.
func mendable(err error) bool {
	if errors.Is(err, errWHEPOver) || errors.Is(err, whipclient.ErrLost) {
		return true
	}
	if code, ok := moqclient.CodeOf(err); ok {
		return code == wire.CodeGoingAway
	}
	var idle *quic.IdleTimeoutError
	var reset *quic.StatelessResetError
	var app *quic.ApplicationError
	return errors.As(err, &idle) || errors.As(err, &reset) || errors.As(err, &app) && app.Remote
}

// replaced reports whether another publisher has taken the broadcast's name, or the
// same one is elsewhere now: for viewers it goes on there.
func replaced(err error) bool {
	code, ok := moqclient.CodeOf(err)
	return ok && code == wire.CodeReplaced
}

// host is the part of a URL that may be logged: a token may be in the rest.
func host(where string) string {
	if u, err := url.Parse(where); err == nil && u.Host != "" {
		return u.Host
	}
	return "the same"
}
