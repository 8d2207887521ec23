package backbone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/internal/ca"
	"trellis/internal/relay"
	"trellis/routing/control"
	"trellis/routing/discovery"
	"trellis/routing/spf"
	"trellis/wire"
	"trellis/wire/peer"
)

// Mesh is this node's part in the backbone. Make one with New, and Run it.
type Mesh struct {
	// Fixed at construction.
	cfg     Config
	self    ca.Identity
	boot    uint64
	log     *slog.Logger
	metrics *metrics
	done    chan struct{} // closed when Run has ended
	calls   chan func()   // for the loop, from goroutines that may wait
	wake    chan struct{} // rings when something was queued
	// dialling holds a token for each handshake that is under way from here.
	dialling chan struct{}
	nodes    atomic.Pointer[discovery.Snapshot]
	lag      ownLag

	snapshots chan control.Snapshot // for the planner; has room for one

	queueMu sync.Mutex
	queue   []func() // for the loop, from callers that must not wait

	loopState
}

// loopState is owned by Mesh.loop.
type loopState struct {
	run       *errgroup.Group
	runCtx    context.Context // of Run; for the dialers that the loop starts
	know      *Knowledge
	adverts   *adverts // of know
	links     map[string]*link
	peers     map[string]*peerState
	chosen    map[string]LinkCause // with whom we want links of our own accord
	dialers   map[string]bool      // there is one for each node that is dialled
	wants     map[string]wants     // what routes want, by node
	remotes   map[wire.Broadcast]*remote
	upstreams map[*relay.Track]*upstream
	carried   map[wire.TrackName]*upstream // the same, by name
	children  map[wire.TrackName]map[*child]struct{}
	hints     map[wire.TrackName][]string // the route for a track that is being opened
	egress    rateMeter
	overload  overload
	rates     map[wire.TrackName]*rateMeter // of what is carried here

	plans planning

	heardOrder uint64
	graph      *spf.Graph // nil: to be built anew
	pathsDirty bool       // links have come or gone
	pathsStale bool       // figures of links have changed
	pathsAt    time.Time  // when paths were told last
	rerouteDue bool
	chooseDue  bool // the link set is to be looked at
	chosenAt   time.Time
	draining   bool
	drainBy    time.Time
	lastSecond time.Time
	doubleSaid time.Time
}

// New checks the configuration and returns a mesh that does nothing before Run.
func New(cfg Config) (*Mesh, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	self := cfg.Credentials.Get().Identity()
	m := &Mesh{
		cfg:      cfg,
		self:     self,
		boot:     uint64(cfg.Boot.UnixMicro()),
		log:      cfg.Log.With(slog.String("node", self.Node)),
		done:     make(chan struct{}),
		calls:    make(chan func()),
		wake:     make(chan struct{}, 1),
		dialling: make(chan struct{}, maxDialling),
		loopState: loopState{
			dialers:   map[string]bool{},
			wants:     map[string]wants{},
			links:     map[string]*link{},
			peers:     map[string]*peerState{},
			remotes:   map[wire.Broadcast]*remote{},
			upstreams: map[*relay.Track]*upstream{},
			carried:   map[wire.TrackName]*upstream{},
			children:  map[wire.TrackName]map[*child]struct{}{},
			hints:     map[wire.TrackName][]string{},
			rates:     map[wire.TrackName]*rateMeter{},
			plans: planning{
				roots: map[wire.TrackName]*root{}, versions: map[wire.TrackName]version{},
				avoid: map[[2]string]time.Time{}, flaps: newLinkFlaps(),
			},
		},
		snapshots: make(chan control.Snapshot, 1),
	}
	m.nodes.Store(&discovery.Snapshot{})
	m.know, err = NewKnowledge(KnowledgeConfig{
		Node: self.Node, Region: self.Region, Boot: m.boot, Links: cfg.Links, Rand: cfg.Rand,
		About: peer.NodeValue{
			Region: self.Region, Provider: cfg.Provider, Capabilities: peer.CapRelay,
			MaxChildren: uint64(max(cfg.MaxChildren, 0)), EgressMbps: uint64(cfg.EgressMbps),
		},
	}, time.Now())
	if err != nil {
		return nil, err
	}
	m.adverts = m.know.adverts
	if m.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, fmt.Errorf("backbone metrics: %w", err)
	}
	return m, nil
}

// Run keeps the mesh up until ctx ends. It returns when everything that it
// started has ended, and every link is closed.
func (m *Mesh) Run(ctx context.Context) error {
	defer close(m.done)
	g, ctx := errgroup.WithContext(ctx)
	m.run, m.runCtx = g, ctx
	g.Go(func() error { return m.loop(ctx) })
	g.Go(func() error { return m.lag.watch(ctx) })
	g.Go(func() error { return m.watchPeers(ctx) })
	g.Go(func() error { return m.watchLocal(ctx) })
	if m.cfg.Planner != nil {
		g.Go(func() error { return m.runPlanner(ctx) })
	}
	err := g.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return fmt.Errorf("mesh: %w", err)
	}
	return err
}

// loop owns loopState. What arrives is handled one thing at a time; after each,
// what has changed is told.
func (m *Mesh) loop(ctx context.Context) error {
	m.advertiseSelf(time.Now())
	tick := time.NewTicker(tickPeriod)
	defer tick.Stop()
	defer m.stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case f := <-m.calls:
			f()
		case <-m.wake:
			m.runQueue()
		case now := <-tick.C:
			m.tick(now) //nolint:contextcheck // a dialler that it starts lives as long as the mesh: it takes runCtx
		}
		m.know.Flush(time.Now())
	}
}

// stop ends what hangs on the loop.
func (m *Mesh) stop() {
	for _, l := range m.links {
		l.fail(errStopped)
	}
	for _, r := range m.remotes {
		if r.broadcast != nil {
			r.broadcast.End(errStopped)
		}
	}
}

// call runs f on the loop and waits for it. It must not be called on the loop.
func (m *Mesh) call(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	select {
	case m.calls <- func() { f(); close(ran) }:
		<-ran
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-m.done:
		return errStopped
	}
}

// later runs f on the loop soon. It never waits. What it is used for is bounded
// by the tracks and links that exist.
func (m *Mesh) later(f func()) {
	m.queueMu.Lock()
	m.queue = append(m.queue, f)
	m.queueMu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default: // already rung
	}
}

func (m *Mesh) runQueue() {
	m.queueMu.Lock()
	queue := m.queue
	m.queue = nil
	m.queueMu.Unlock()
	for _, f := range queue {
		f()
	}
}

// tickPeriod is within the 50 ms in which a first viewer is told upwards.
const tickPeriod = 50 * time.Millisecond

// tick does what depends on time.
func (m *Mesh) tick(now time.Time) {
	expired, c := m.know.Tick(now)
	for _, node := range expired {
		m.log.Info("node vanished, its record expired", slog.String("peer", node))
	}
	m.changed(c)
	m.retryUpstreams(now)
	if m.chooseDue || now.Sub(m.chosenAt) >= chooseEvery {
		m.chooseLinks(now)
	}
	if m.rerouteDue {
		m.rerouteDue = false
		m.reroute(now, true)
	}
	m.sendDemand(now)
	m.decide(now)
	if now.Sub(m.lastSecond) < time.Second {
		return
	}
	m.lastSecond = now
	m.measureLoad(now)
	m.advertiseSelf(now)
	m.reroute(now, false)
	m.refreshPaths(now)
	m.measureRates(now)
	m.measureFlows(now)
	m.tellAges(now)
	m.repeatPlans(now)
}

// changed follows up on changed records.
func (m *Mesh) changed(c Changes) {
	if c.Links {
		m.graph, m.plans.links = nil, nil
		m.pathsDirty, m.pathsStale = m.pathsDirty || c.Linked, true
		m.rerouteDue = m.rerouteDue || c.Linked // mere figures wait for the next second
		if len(m.plans.roots) > 0 {
			m.planSoon(time.Now())
		}
	}
	for _, name := range c.Broadcasts {
		m.reconcile(name)
	}
}

// Refresh implements relay.Refresher: it asks the track's parent.
func (m *Mesh) Refresh(t *relay.Track) {
	m.later(func() {
		if u := m.carried[t.Name()]; u != nil && u.feed != nil {
			u.feed.link.say(peer.Refresh{ID: u.feed.id})
		}
	})
}

// OpenTrack implements relay.Upstream.
func (m *Mesh) OpenTrack(t *relay.Track) {
	m.later(func() { m.openTrack(t) })
}
