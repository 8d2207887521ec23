package backbone

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sync/errgroup"

	"trellis/routing/discovery"
	"trellis/wire"
	"trellis/wire/peer"
)

// link is a live link with a peer.
type link struct {
	// Fixed at construction.
	mesh     *Mesh
	peer     peer.Hello
	node     discovery.Node
	notAfter time.Time // of the peer's certificate
	dialled  bool      // by us
	main     *quic.Conn
	control  *controlStream
	out      *outbox
	log      *slog.Logger
	tasks    tasks
	fail     context.CancelCauseFunc // ends the link, and says why
	ended    chan struct{}           // closed when the loop has let go of it
	up       time.Time
	stats    linkStats

	bulk  atomic.Pointer[quic.Conn]   // lane 1, nil while there is none
	clock atomic.Pointer[clockOffset] // of the peer, nil while not synchronised

	linkLoopState

	feedsMu sync.RWMutex
	feeds   map[uint64]*feed // our subscriptions at the peer
}

// linkLoopState is owned by Mesh.loop.
type linkLoopState struct {
	gone     bool // the loop has let go of it
	suspect  bool // silent for too long, but not yet down
	leaving  bool // the peer said GOAWAY
	nextID   uint64
	children map[uint64]*child
	quality  Quality
	wanted   bool      // we want it, as far as the peer knows
	kept     bool      // the peer wants it
	usedAt   time.Time // when it was last of use
}

func newLink(m *Mesh, conn *quic.Conn, control *controlStream, hello peer.Hello, notAfter time.Time, node discovery.Node, dialled bool) *link {
	return &link{
		mesh: m, peer: hello, node: node, notAfter: notAfter, dialled: dialled,
		main: conn, control: control, out: newOutbox(),
		log:   m.log.With(slog.String("peer", hello.Node)),
		ended: make(chan struct{}),
		up:    time.Now(),
		stats: m.metrics.link(hello.Node),
		feeds: map[uint64]*feed{},
		linkLoopState: linkLoopState{
			wanted: dialled, kept: !dialled, usedAt: time.Now(),
			children: map[uint64]*child{},
		},
	}
}

// serveLink runs a link from the end of the handshake to its own. The end is
// logged here; the returned error says why it ended.
func (m *Mesh) serveLink(ctx context.Context, l *link) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g, ctx := errgroup.WithContext(ctx)
	l.fail, l.tasks.ctx = cancel, ctx
	// Reads and writes of streams end with their connection, not with a context.
	stop := context.AfterFunc(ctx, func() { l.close(context.Cause(ctx)) })
	defer stop()

	if !l.dialled {
		l.say(m.hello(laneMain)) // before anything that admit says
	}
	var refused error
	if err := m.call(ctx, func() { refused = m.admit(l) }); err != nil || refused != nil {
		if err == nil {
			err = refused
		}
		l.close(err)
		m.refused(l.main.RemoteAddr(), l.peer.Node, err)
		return err
	}
	l.log.Info("link up", slog.String("addr", l.main.RemoteAddr().String()), slog.Bool("dialled", l.dialled),
		slog.String("region", l.peer.Region), slog.String("boot", bootTime(l.peer.Boot)))

	g.Go(func() error { return l.out.run(ctx, l.control) })
	g.Go(func() error { return l.readControl(ctx) })
	g.Go(func() error { return l.acceptGroups(ctx, l.main) })
	p := newProber(l)
	g.Go(func() error { return p.send(ctx) })
	g.Go(func() error { return p.receive(ctx) })
	g.Go(func() error { return p.watch(ctx) })
	if l.dialled {
		g.Go(func() error { return l.keepBulk(ctx) })
	}
	err := explain(g.Wait())
	if cause := context.Cause(ctx); cause != nil {
		err = explain(cause)
	}
	l.close(err)
	l.log.Info("link down", slog.Any("cause", err), slog.Duration("after", time.Since(l.up)))
	m.later(func() { m.linkDown(l) })
	l.tasks.wait()
	return err
}

// close closes the link's connections with the reason that err stands for.
func (l *link) close(err error) {
	code, reason := closeReason(err)
	if bulk := l.bulk.Swap(nil); bulk != nil {
		_ = bulk.CloseWithError(quic.ApplicationErrorCode(code), reason) // it ends either way
	}
	_ = l.main.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

// say puts a message into the outbox.
func (l *link) say(msg peer.Message) {
	if !l.out.put(msg) {
		l.fail(refusal(wire.CodeTimeout, "%d bytes of control messages are waiting", maxOutboxBytes))
	}
}

// lane returns the connection for tracks of a kind.
func (l *link) lane(kind wire.Kind) *quic.Conn {
	if kind == wire.KindVideo {
		if bulk := l.bulk.Load(); bulk != nil {
			return bulk
		}
	}
	return l.main
}

func (l *link) feed(id uint64) *feed {
	l.feedsMu.RLock()
	defer l.feedsMu.RUnlock()
	return l.feeds[id]
}

// keepBulk keeps lane 1 open, from the dialling end.
func (l *link) keepBulk(ctx context.Context) error {
	wait := 250 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		conn, _, hello, _, err := l.mesh.dialLane(ctx, l.node, laneBulk)
		if err == nil && hello.Boot != l.peer.Boot {
			err = refusal(wire.CodeDuplicate, "lane 1 reached another process")
			_ = conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeDuplicate), "another process") // it ends either way
		}
		if err == nil {
			wait = 250 * time.Millisecond
			err = l.runLane(ctx, conn)
		}
		if ctx.Err() == nil {
			l.log.Warn("second lane is down, all goes over the first", slog.Any("err", err))
		}
		timer.Reset(wait)
		wait = min(2*wait, 10*time.Second)
	}
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
		done <- l.runLane(linkCtx, conn)
	})
	if !started {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeCancel), "link ended") // it ends either way
		return errLeft
	}
	return <-done
}

// runLane uses conn as lane 1 until it or the link ends.
func (l *link) runLane(ctx context.Context, conn *quic.Conn) error {
	if old := l.bulk.Swap(conn); old != nil {
		_ = old.CloseWithError(quic.ApplicationErrorCode(wire.CodeDuplicate), "replaced by a newer lane") // it ends either way
	}
	stop := context.AfterFunc(ctx, func() {
		code, reason := closeReason(context.Cause(ctx))
		_ = conn.CloseWithError(quic.ApplicationErrorCode(code), reason) // it ends either way
	})
	defer stop()
	l.warmUp(conn)
	err := explain(l.acceptGroups(ctx, conn))
	l.bulk.CompareAndSwap(conn, nil)
	code, reason := closeReason(err)
	_ = conn.CloseWithError(quic.ApplicationErrorCode(code), reason) // it ends either way
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
