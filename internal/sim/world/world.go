package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trellis/backbone"
	"trellis/internal/impair"
	"trellis/internal/node"
	"trellis/internal/sim"
	"trellis/routing/control"
	"trellis/wire/peer"
)

// broadcast is what everybody watches.
const broadcast = "world/stage"

// World is a run in the making. It belongs to one goroutine of a bubble.
type World struct {
	cfg    Config
	m      *Matrix
	rng    *rand.Rand
	places []Place
	byID   map[string]int
	links  [][]int // whom each node knows, nil: all

	net     *sim.Network
	cluster *sim.Cluster
	session *session
	origin  int
	publish *sim.Publication
	client  *sim.Client
	began   time.Time

	ctx        context.Context
	cancel     context.CancelCauseFunc
	crowds     []*audience // by place
	everyCrowd []*audience
	least      []time.Duration // from the origin, by place
	atBest     []time.Duration // the same, as the 95th percentile
	linked     []time.Duration // over the links that there are
	real       []*watcher
	dead       []bool          // by place
	prices     []atomic.Uint64 // by place: in micro USD for a GB, 0: not told
	trees      []treeSample
	pending    []step                  // what is to be done
	hit        func(treeSample) string // aims the faults that have no target; nil: at the largest
	faults     []FaultReport
	joined     int
	joinMu     sync.Mutex
	problem    []string
}

// audience is the counted viewers of one node, and what keeps them going.
type audience struct {
	*crowd

	ctx     context.Context // of all who watch there
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup
	viewers int
}

var (
	errOver     = errors.New("the run is over")
	errNodeDead = errors.New("the node is dead")
)

// Run builds a world, runs its session and says what happened. It must be called
// in a synctest bubble, from which it returns when all has ended.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	w, err := design(cfg)
	if err != nil {
		return nil, err
	}
	return w.runAll(ctx)
}

// design lays a world out: where nodes stand and whom they know.
func design(cfg Config) (*World, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	w := newWorld(cfg)
	if w.m, err = LoadMatrix(cfg.Regions); err != nil {
		return nil, err
	}
	w.places = place(w.m, cfg.Nodes, cfg.Viewers, w.rng)
	if err := w.chooseOrigin(); err != nil {
		return nil, err
	}
	if cfg.Neighbours > 0 {
		w.links = neighbours(w.m, w.places, cfg.Neighbours)
	}
	return w, nil
}

func newWorld(cfg Config) *World {
	return &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x776f726c64)), byID: map[string]int{}, origin: -1}
}

// runAll starts the nodes, runs the session and ends it all.
func (w *World) runAll(ctx context.Context) (*Report, error) {
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	report, err := w.run()                     //nolint:contextcheck // the world has a context of its own, under this one
	return report, errors.Join(err, w.close()) //nolint:contextcheck // as above
}

func (w *World) start(ctx context.Context) (err error) {
	cfg := w.cfg
	for i, p := range w.places {
		w.byID[p.ID] = i
	}
	w.dead, w.prices = make([]bool, len(w.places)), make([]atomic.Uint64, len(w.places))
	w.crowds = make([]*audience, len(w.places))
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.began = time.Now()
	w.session = &session{clip: cfg.Clip, lead: beside, window: min(time.Minute, cfg.Duration)}
	w.net = sim.NewNetwork(sim.NetworkConfig{Seed: cfg.Seed, Path: w.path, Grain: cfg.Grain})
	w.say("nodes start", 0)
	w.cluster, err = sim.NewCluster(w.net, sim.ClusterConfig{ //nolint:contextcheck // nodes end by Close
		Nodes: w.specs(), Log: cfg.Log, Stagger: stagger,
		Configure: func(c *node.Config) {
			w.say("nodes start", 0)
			c.Shutdown, c.PeersAdvice = -1, true
			c.Mesh = w.mesh
		},
	})
	if err != nil {
		w.net.Close()
	}
	return err
}

// mesh configures the backbone of a node.
func (w *World) mesh(c *backbone.Config) {
	c.WarmUpBytes = -1 // padding for windows that small pictures do not need
	about, price := c.About, &w.prices[w.byID[c.Credentials.Get().Identity().Node]]
	c.About = func() peer.NodeValue {
		v := about()
		v.PriceMicroUSD = price.Load()
		return v
	}
	c.Rand = rand.New(rand.NewPCG(w.cfg.Seed, w.rng.Uint64()))
	if !w.cfg.Unplanned {
		c.Planner = control.New(control.Config{
			Origin: c.Credentials.Get().Identity().Node, Bound: w.cfg.Budget, Seed: w.cfg.Seed,
		})
	}
	if w.cfg.Mesh != nil {
		w.cfg.Mesh(c)
	}
}

const (
	// stagger is the time between the starts of two nodes.
	stagger = 4 * time.Millisecond
	// beside is the publisher's way to its node: the same building.
	beside = 250 * time.Microsecond
	// settle is the time from when the last viewer came to the measurement.
	settle = 3 * time.Second
	// tail is what is waited for after it.
	tail = 2 * time.Second
)

// chooseOrigin takes the first node of the region, or of the nearest that has one.
func (w *World) chooseOrigin() error {
	r := w.m.Find(w.cfg.Origin)
	if r < 0 {
		return fmt.Errorf("world: no region %q in %s", w.cfg.Origin, w.m.Name)
	}
	at := Place{Region: r}
	for i := range w.places {
		at.Provider = w.places[i].Provider // the provider does not matter
		if w.origin < 0 || delay(w.m, &at, &w.places[i]) < delay(w.m, &at, &w.places[w.origin]) {
			w.origin = i
		}
	}
	return nil
}

func (w *World) specs() []sim.NodeSpec {
	specs := make([]sim.NodeSpec, len(w.places))
	for i, p := range w.places {
		specs[i] = sim.NodeSpec{ID: p.ID, Region: w.m.Regions[p.Region].ID, Provider: string(p.Provider)}
		if w.links != nil {
			specs[i].Peers = []string{}
			for _, j := range w.links[i] {
				specs[i].Peers = append(specs[i].Peers, w.places[j].ID)
			}
		}
	}
	return specs
}

// path is what the network is like between two hosts. Clients are named after
// their node: "viewer-3@NODE"; the publisher is "camera@NODE".
func (w *World) path(from, to string) impair.Config {
	a, b := w.byID[from[strings.IndexByte(from, '@')+1:]], w.byID[to[strings.IndexByte(to, '@')+1:]]
	if a == b {
		if strings.HasPrefix(from, "camera@") || strings.HasPrefix(to, "camera@") {
			return impair.Config{Delay: beside}
		}
		return impair.Config{Delay: access}
	}
	d := delay(w.m, &w.places[a], &w.places[b])
	return impair.Config{Delay: d, Jitter: jitter(d)}
}

func (w *World) total() time.Duration {
	return time.Duration(len(w.places))*stagger + w.cfg.Warm + w.cfg.JoinOver + settle + w.cfg.Duration + tail
}

func (w *World) say(phase string, viewers int) {
	if w.cfg.Progress != nil {
		w.cfg.Progress(Progress{Phase: phase, Virtual: time.Since(w.began), Of: w.total(), Viewers: viewers})
	}
}

// sleep lets virtual time pass, and says so.
func (w *World) sleep(d time.Duration, phase string) {
	for end := time.Now().Add(d); ; {
		w.joinMu.Lock()
		joined := w.joined
		w.joinMu.Unlock()
		w.say(phase, joined)
		left := time.Until(end)
		if left <= 0 {
			return
		}
		time.Sleep(min(left, time.Second))
	}
}

// run is the session from its beginning to its end.
func (w *World) run() (*Report, error) {
	w.sleep(w.cfg.Warm, "links are measured")
	if err := w.beginPublishing(); err != nil {
		return nil, err
	}
	w.setLimits(w.status())
	came := time.Now()
	w.session.from = came.Add(w.cfg.JoinOver + settle)
	for i := range w.places {
		w.attach(i, w.places[i].Viewers, w.cfg.JoinOver, w.rng.Uint64())
	}
	w.attachClients()
	w.sleep(time.Until(w.session.from), "viewers join")
	if err := w.script(); err != nil {
		return nil, err
	}
	report := w.report()
	w.sleep(tail, "the session ends")
	return report, nil
}

func (w *World) beginPublishing() error {
	at := w.places[w.origin].ID
	w.client = sim.NewClient(w.net.Host("camera@"+at), w.cluster.Node(at).Door(), "camera")
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	p, err := w.client.PublishMoQ(ctx, broadcast, w.cfg.Clip)
	if err != nil {
		return fmt.Errorf("publish at %s: %w", at, err)
	}
	w.publish, w.session.start = p, p.Start
	w.sleep(2*time.Second, "the broadcast is announced")
	return nil
}

// attach lets viewers come to a node, evenly over a time.
func (w *World) attach(at, n int, over time.Duration, seed uint64) {
	if n == 0 {
		return
	}
	a := w.crowds[at]
	if a == nil {
		a = &audience{crowd: newCrowd(w.session, w.places[at].ID)}
		a.ctx, a.cancel = context.WithCancelCause(w.ctx)
		a.setLimits(w.limits(at))
		w.crowds[at] = a
		w.everyCrowd = append(w.everyCrowd, a)
	}
	a.viewers += n
	a.wg.Go(func() { w.comeIn(a, at, n, over, rand.New(rand.NewPCG(seed, uint64(at)))) })
}

// comeIn opens the node's lanes with the first viewer, as that viewer would, and
// adds the others. The join time of each counts from its own wish.
func (w *World) comeIn(a *audience, at, n int, over time.Duration, rng *rand.Rand) {
	ctx := a.ctx
	wishes := make([]time.Duration, n)
	for i := range wishes {
		wishes[i] = time.Duration(rng.Int64N(int64(over) + 1))
	}
	slices.Sort(wishes)
	begin := time.Now()
	if !pause(ctx, wishes[0]) {
		return
	}
	sinks, err := w.openSinks(ctx, at)
	if err != nil {
		w.note("%s: viewers were refused: %v", w.places[at].ID, err)
		return
	}
	sinks.Reserve(n)
	a.reserve(n)
	run := make(chan struct{})
	go func() { defer close(run); sinks.Run(ctx) }()
	defer func() { <-run }()
	for _, wish := range wishes {
		if !pause(ctx, time.Until(begin.Add(wish))) {
			return
		}
		sinks.Add(a.writer(begin.Add(wish)))
		w.joinMu.Lock()
		w.joined++
		w.joinMu.Unlock()
	}
	<-ctx.Done()
}

// pause waits; false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// note keeps what should not have happened, bounded.
func (w *World) note(format string, args ...any) {
	w.joinMu.Lock()
	defer w.joinMu.Unlock()
	if len(w.problem) < 1000 {
		w.problem = append(w.problem, fmt.Sprintf(format, args...))
	}
}

// close ends everything and waits until the last timers have run out.
func (w *World) close() error {
	var errs []error
	w.cancel(errOver)
	for _, r := range w.real {
		errs = append(errs, r.close())
	}
	for _, a := range w.everyCrowd {
		a.wg.Wait()
	}
	if w.publish != nil {
		errs = append(errs, w.publish.Stop())
	}
	if w.client != nil {
		errs = append(errs, w.client.Close())
	}
	errs = append(errs, w.cluster.Close())
	w.net.Close()
	time.Sleep(20 * time.Second)
	return errors.Join(errs...)
}

// alive returns the places whose nodes live.
func (w *World) alive() []int {
	var out []int
	for i := range w.places {
		if !w.dead[i] {
			out = append(out, i)
		}
	}
	return out
}

// status asks every living node what it does.
func (w *World) status() map[int]node.Status {
	all := map[int]node.Status{}
	for _, i := range w.alive() {
		s, err := w.cluster.Node(w.places[i].ID).Status(w.ctx)
		if err == nil {
			all[i] = s
		}
	}
	return all
}

// sortedKeys keeps reports the same from run to run.
func sortedKeys[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }
