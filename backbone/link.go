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
	prober   *prober
	shedder  *shedder
	drops    dropLog

	laneControl laneControl // owned by prober.watch

	lane0 *lane                       // over main
	lanes laneSet                     // the others
	wish  *laneWish                   // how many there should be
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
	l := &link{
		mesh: m, peer: hello, node: node, notAfter: notAfter, dialled: dialled,
		main: conn, lane0: newLane(laneMain, conn), wish: newLaneWish(m.cfg.MaxLanes), control: control, out: newOutbox(),
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
	l.lanes.usable.Store(baseLanes)
	l.prober, l.shedder = newProber(l), newShedder()
	l.laneControl = laneControl{most: m.cfg.MaxLanes - 1, want: baseLanes - 1}
	return l
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

	defer l.keepCanary()()
	g.Go(func() error { return l.out.run(ctx, l.control) })
	g.Go(func() error { return l.readControl(ctx) })
	g.Go(func() error { return l.acceptGroups(ctx, l.lane0) })
	g.Go(func() error { return l.prober.send(ctx) })
	g.Go(func() error { return l.prober.receive(ctx) })
	g.Go(func() error { return l.prober.watch(ctx) })
	if l.dialled {
		g.Go(func() error { return l.keepLanes(ctx) })
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
	for _, ln := range l.lanes.load() {
		_ = ln.conn.CloseWithError(quic.ApplicationErrorCode(code), reason) // it ends either way
	}
	_ = l.main.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

// say puts a message into the outbox.
func (l *link) say(msg peer.Message) {
	if !l.out.put(msg) {
		l.fail(refusal(wire.CodeTimeout, "%d bytes of control messages are waiting", maxOutboxBytes))
	}
}

func (l *link) feed(id uint64) *feed {
	l.feedsMu.RLock()
	defer l.feedsMu.RUnlock()
	return l.feeds[id]
}
