package backbone

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/wire"
	"trellis/wire/peer"
)

// laneWish is how many lanes the two ends of a link want, lane 0 included. The
// dialling end opens as many as the larger wish says.
type laneWish struct {
	mu      sync.Mutex
	own     int
	theirs  int
	most    int
	changed chan struct{} // closed when the target changes
}

func newLaneWish(most int) *laneWish {
	return &laneWish{own: baseLanes, theirs: baseLanes, most: most, changed: make(chan struct{})}
}

func (w *laneWish) targetLocked() int { return max(min(max(w.own, w.theirs), w.most), baseLanes) }

// target returns how many lanes there should be, and what tells of a change.
func (w *laneWish) target() (int, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.targetLocked(), w.changed
}

// set lets f change the wishes.
func (w *laneWish) set(f func(w *laneWish)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.targetLocked()
	f(w)
	if w.targetLocked() != before {
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// keepLanes keeps the lanes besides lane 0 open, from the dialling end.
func (l *link) keepLanes(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	next := laneBulk
	said := baseLanes
	for {
		n, changed := l.wish.target()
		if n != said {
			said = n
			l.lanes.usable.Store(int64(n))
			l.say(peer.Lanes{Count: uint64(n)})
		}
		for ; next < n; next++ {
			index := next
			running.Go(func() { l.keepLane(ctx, index) })
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

const (
	minLaneRedial = 250 * time.Millisecond
	maxLaneRedial = 10 * time.Second
	// laneQuiet is how long a lane that is not wanted must have had no groups, in
	// either direction, before it is closed: what its last group needed again has
	// come by then.
	laneQuiet = 3 * time.Second
)

// keepLane keeps one lane open for as long as it is wanted.
func (l *link) keepLane(ctx context.Context, index int) {
	wait := minLaneRedial
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		n, changed := l.wish.target()
		if n <= index {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		conn, _, hello, _, err := l.mesh.dialLane(ctx, l.node, uint64(index))
		if err == nil && hello.Boot != l.peer.Boot {
			err = refusal(wire.CodeDuplicate, "lane %d reached another process", index)
			_ = conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeDuplicate), "another process") // it ends either way
		}
		if err == nil {
			wait = minLaneRedial
			err = l.runLane(ctx, newLane(uint64(index), conn))
		}
		var ce *CodeError
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, errRetired):
			l.log.Info("lane closed", slog.Int("lane", index))
		case index > laneBulk && errors.As(err, &ce) && ce.Remote && ce.Code == wire.CodeUnsupported:
			l.log.Info("peer takes no more lanes", slog.Int("lanes", index))
			l.wish.set(func(w *laneWish) { w.most = index })
		default:
			l.log.Warn("lane is down, the others carry its tracks", slog.Int("lane", index), slog.Any("err", err))
		}
		timer.Reset(wait)
		wait = min(2*wait, maxLaneRedial)
	}
}

// errRetired closes a lane that is no longer needed.
var errRetired = errors.New("lane is not needed any more")

// retire ends a lane once it has not been wanted, and has been quiet, for long
// enough.
func (l *link) retire(ctx context.Context, ln *lane, end context.CancelCauseFunc) {
	const look = 500 * time.Millisecond
	tick := time.NewTimer(look)
	defer tick.Stop()
	quiet := time.Duration(0)
	for {
		n, changed := l.wish.target()
		if uint64(n) > ln.index {
			quiet = 0
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			continue
		}
		tick.Reset(look)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		quiet += look
		if ln.open.Load() > 0 || ln.receiving.Load() > 0 {
			quiet = 0
		}
		if quiet >= laneQuiet {
			end(errRetired)
			return
		}
	}
}

// onLanes: the peer says how many lanes it would like, if it accepted the link,
// or how many there are, if it dialled.
func (l *link) onLanes(msg peer.Lanes) {
	if l.dialled {
		l.wish.set(func(w *laneWish) { w.theirs = int(msg.Count) })
		return
	}
	l.lanes.usable.Store(int64(max(msg.Count, baseLanes)))
}

// wishLanes says how many lanes this end would like for what it sends.
func (l *link) wishLanes(n int) {
	if l.dialled {
		l.wish.set(func(w *laneWish) { w.own = n })
		return
	}
	l.say(peer.Lanes{Count: uint64(n)})
}

// serveLane joins an accepted connection to the link that it belongs to.
func (m *Mesh) serveLane(ctx context.Context, conn *quic.Conn, control *controlStream, hello peer.Hello) error {
	var l *link
	err := m.call(ctx, func() {
		if have := m.links[hello.Node]; have != nil && have.peer.Boot == hello.Boot && !have.dialled {
			l = have
		}
	})
	if err == nil && l == nil {
		err = refusal(wire.CodeProtocol, "lane %d without a link", hello.Lane)
	}
	if err == nil {
		_, err = control.Write(peer.AppendMessage(nil, m.hello(hello.Lane)))
	}
	if err != nil {
		code, reason := closeReason(err)
		_ = conn.CloseWithError(quic.ApplicationErrorCode(code), reason) // it ends either way
		return err
	}
	// The lane ends with its link as well as with ctx.
	done := make(chan error, 1)
	started := l.tasks.start(func(linkCtx context.Context) {
		linkCtx, cancel := context.WithCancelCause(linkCtx)
		defer cancel(nil)
		stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
		defer stop()
		done <- l.runLane(linkCtx, newLane(hello.Lane, conn))
	})
	if !started {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeCancel), "link ended") // it ends either way
		return errLeft
	}
	return <-done
}

// runLane uses a lane until it or the link ends.
func (l *link) runLane(ctx context.Context, ln *lane) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if old := l.lanes.put(ln); old != nil {
		_ = old.conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeDuplicate), "replaced by a newer lane") // it ends either way
	}
	stop := context.AfterFunc(ctx, func() {
		code, reason := closeReason(context.Cause(ctx))
		_ = ln.conn.CloseWithError(quic.ApplicationErrorCode(code), reason) // it ends either way
	})
	defer stop()
	if ln.index == laneBulk {
		l.warmUp(ln.conn)
	}
	if l.dialled && ln.index >= baseLanes {
		l.tasks.start(func(context.Context) { l.retire(ctx, ln, cancel) })
	}
	err := explain(l.acceptGroups(ctx, ln))
	if errors.Is(context.Cause(ctx), errRetired) {
		err = errRetired
	}
	l.lanes.remove(ln)
	code, reason := closeReason(err)
	_ = ln.conn.CloseWithError(quic.ApplicationErrorCode(code), reason) // it ends either way
	return err
}

// warmUp sends padding, with the lowest priority, so that the congestion window
// is open before the first key frame needs it.
func (l *link) warmUp(conn *quic.Conn) {
	n := l.mesh.cfg.WarmUpBytes
	if n <= 0 {
		return
	}
	l.tasks.start(func(context.Context) {
		if err := sendPadding(conn, n); err != nil {
			l.log.Debug("padding", slog.Any("err", explain(err)))
		}
	})
}
