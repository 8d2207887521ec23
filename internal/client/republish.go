package client

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trellis/internal/media"
)

// A publisher stays with its broadcast when nodes do not. Where a node asks it to
// leave (MoQ), it connects to the one that is named and goes on sending meanwhile;
// with the next frame that can be decoded alone it announces the broadcast there,
// which by that takes the place of the old one, and leaves. Where a session just
// ends, it looks for a node, and what the sources give meanwhile is skipped.

// departing is a sink that may be asked to leave.
type departing interface {
	leaver
	sink
}

// moving brings a publisher to another node. It belongs to publishing.run, but
// for the goroutine that dials.
type moving struct {
	// dial connects, to another node if where is not empty.
	dial func(ctx context.Context, where string) (sink, error)
	// others returns base URLs of other nodes.
	others   func() []string
	patience time.Duration
	log      *slog.Logger

	ctx     context.Context // of what runs beside
	cancel  context.CancelFunc
	running sync.WaitGroup
	dialled chan dialledSink

	busy    bool // somebody dials
	asked   sink // that asked us to leave, and is being followed
	next    sink // to be used from the next frame that may begin
	retryAt time.Time
}

// dialledSink is what came of looking for a node.
type dialledSink struct {
	sink sink
	err  error
}

func newMoving(ctx context.Context, c Connection, dial func(ctx context.Context, where string) (sink, error), others func() []string) *moving {
	m := &moving{dial: dial, others: others, patience: c.Timeout, log: c.Log, dialled: make(chan dialledSink, 1)}
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return m
}

// close ends what still runs, and a sink that was never used.
func (m *moving) close() {
	m.cancel()
	m.running.Wait()
	select {
	case d := <-m.dialled:
		m.next = d.sink
	default:
	}
	if m.next != nil {
		m.leave(m.next)
		m.running.Wait()
	}
}

// handover is how long a sink stays open after the broadcast has begun at the next:
// until that is known everywhere. Who first heard of the end would take it for that
// of the broadcast.
const handover = 500 * time.Millisecond

// hand closes a sink whose place another has taken.
func (m *moving) hand(s sink) {
	m.running.Go(func() {
		known := time.NewTimer(handover)
		defer known.Stop()
		select {
		case <-known.C:
		case <-m.ctx.Done():
		}
		m.leave(s)
	})
}

// leave closes a sink that is not needed any more.
func (m *moving) leave(s sink) {
	m.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), closeTimeout)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			m.log.Debug("leave a node", slog.Any("err", err))
		}
	})
}

// look dials in the background; the answer comes over dialled.
func (m *moving) look(find func(ctx context.Context) (sink, error)) {
	m.busy = true
	m.running.Go(func() {
		s, err := find(m.ctx)
		m.dialled <- dialledSink{s, err} // there is room: one at a time
	})
}

// follow connects to the node that a sink's node has named.
func (m *moving) follow(s departing, now time.Time) {
	where := s.Elsewhere()
	if m.busy || m.next != nil || where == "" || now.Before(m.retryAt) {
		return
	}
	m.log.Info("the node asks us to leave", slog.String("for", host(where)))
	m.asked, m.retryAt = s, now.Add(stayPause)
	m.look(func(ctx context.Context) (sink, error) { return m.attempt(ctx, where) })
}

// redial looks for a node after the connection has ended.
func (m *moving) redial(why error) {
	m.asked = nil
	if m.busy || m.next != nil {
		return // there will be one soon
	}
	m.log.Info("the connection ended, looking for a node", slog.Any("cause", why))
	m.look(func(ctx context.Context) (sink, error) {
		ctx, cancel := context.WithTimeout(ctx, m.patience)
		defer cancel()
		for {
			for _, where := range append([]string{""}, m.others()...) {
				s, err := m.attempt(ctx, where)
				if err == nil {
					m.log.Info("found a node", slog.String("at", host(where)))
					return s, nil
				}
				m.log.Debug("not there", slog.String("node", where), slog.Any("err", err))
			}
			timer := time.NewTimer(redialPause)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil, fmt.Errorf("no node within %v: %w", m.patience, why)
			}
		}
	})
}

func (m *moving) attempt(ctx context.Context, where string) (sink, error) {
	ctx, cancel := context.WithTimeout(ctx, redialLimit)
	defer cancel()
	return m.dial(ctx, where)
}

// wait lets time pass until due, and takes notice of what happens to the
// connection. False: publishing is over, without an error if ctx has ended.
func (p *publishing) wait(ctx context.Context, timer *time.Timer, due time.Time) (bool, error) {
	timer.Reset(max(time.Until(due), 0))
	for {
		var done, leave <-chan struct{}
		if p.sink != nil {
			done = p.sink.Done()
			if d, ok := p.sink.(departing); ok && p.moving.asked != p.sink {
				leave = d.Leaving()
			}
		}
		select {
		case <-timer.C:
			return ctx.Err() == nil, nil // being told to stop is how publishing ends
		case <-ctx.Done():
			return false, nil
		case <-done:
			if err := p.lost(p.cause()); err != nil { //nolint:contextcheck // the farewell has a time of its own
				return false, err
			}
		case <-leave:
			p.moving.asked = p.sink
			p.moving.follow(p.sink.(departing), time.Now())
		case d := <-p.moving.dialled:
			if err := p.found(d); err != nil {
				return false, err
			}
		}
	}
}

// lost: the connection has ended, for a reason.
func (p *publishing) lost(why error) error {
	if !mendable(why) {
		return fmt.Errorf("%w: %w", errDisconnected, why)
	}
	p.moving.leave(p.sink)
	p.sink = nil
	p.moving.redial(why)
	return nil
}

// found takes what came of looking for a node.
func (p *publishing) found(d dialledSink) error {
	m := p.moving
	m.busy = false
	switch {
	case d.err == nil:
		m.next = d.sink
	case p.sink == nil && m.asked != nil: // the node that asked us to leave is gone meanwhile
		m.redial(d.err)
	case p.sink == nil:
		return fmt.Errorf("%w: %w", errDisconnected, d.err)
	default:
		m.log.Info("not where the node has sent us", slog.Any("err", d.err))
	}
	return nil
}

// turn moves to the next node, if there is one and the frame may begin there.
func (p *publishing) turn(i int, f media.Frame, start time.Time) {
	m := p.moving
	if d, ok := p.sink.(departing); ok && m.asked == p.sink {
		m.follow(d, time.Now()) // again, if it came to nothing
	}
	if m.next == nil || !p.begins(i, f) {
		return
	}
	next := m.next
	m.next = nil
	if err := next.Begin(start); err != nil {
		m.log.Info("not published there", slog.Any("err", err))
		m.leave(next)
		if p.sink == nil {
			m.redial(err)
		}
		return
	}
	if p.sink != nil {
		m.hand(p.sink)
	}
	p.sink, m.asked = next, nil
	p.stats.reconnects++
}

// begins reports whether a broadcast may begin with this frame: one of the video
// that can be decoded alone, where there is any.
func (p *publishing) begins(i int, f media.Frame) bool {
	for k, t := range p.list.tracks {
		if !t.info.Codec.Audio() {
			return k == i && f.Key
		}
	}
	return true
}

// write hands a frame to the node. An end of the connection that shows here first
// is not an error yet.
func (p *publishing) write(i int, f media.Frame) (written bool, err error) {
	if p.sink == nil {
		p.stats.skipped++
		return false, nil
	}
	if err = p.sink.Write(i, f); err == nil {
		return true, nil
	}
	select {
	case <-p.sink.Done():
		if why := p.cause(); mendable(why) {
			p.stats.skipped++
			return false, p.lost(why)
		}
	default:
	}
	return false, fmt.Errorf("write %s: %w", p.list.tracks[i].source.Name, err)
}
