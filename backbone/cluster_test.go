package backbone_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/backbone"
	"trellis/internal/ca"
	"trellis/internal/relay"
	"trellis/routing/discovery"
	"trellis/wire"
)

// cluster is the vocabulary of these tests: nodes with a table and a mesh each,
// on a simulated network, in virtual time.
type cluster struct {
	t         testing.TB
	net       *network
	authority *ca.Authority
	nodes     []*node
}

type node struct {
	c         *cluster
	id        string
	addr      *net.UDPAddr
	table     *relay.Table
	mesh      *backbone.Mesh
	peers     *peerList
	log       *logBuffer
	skew      time.Duration
	transport *quic.Transport
	stop      context.CancelFunc
	wg        sync.WaitGroup
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	authority, err := ca.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, net: newNetwork(t, 1), authority: authority}
	return c
}

func addrOf(i int) *net.UDPAddr { return &net.UDPAddr{IP: net.IPv4(10, 0, 0, byte(i+1)), Port: 4443} }

// nodeSpec describes a node. The zero value is an ordinary one.
type nodeSpec struct {
	id          string
	skew        time.Duration // of its own clock
	authority   *ca.Authority // instead of the cluster's
	lifetime    time.Duration // of its certificate
	warmUpBytes int
	maxLanes    int
	boot        time.Time
	links       backbone.LinkConfig
	planner     backbone.Planner
	maxChildren int
	egressMbps  float64
}

// node adds a node, which is started by start.
func (c *cluster) node(spec nodeSpec) *node {
	c.t.Helper()
	n := &node{
		c: c, id: spec.id, addr: addrOf(len(c.nodes)), skew: spec.skew,
		peers: &peerList{changed: make(chan struct{}, 1)}, log: &logBuffer{},
	}
	c.nodes = append(c.nodes, n)
	var err error
	if n.table, err = relay.NewTable(relay.Config{}); err != nil {
		c.t.Fatal(err)
	}
	authority := c.authority
	if spec.authority != nil {
		authority = spec.authority
	}
	if spec.lifetime == 0 {
		spec.lifetime = 24 * time.Hour
	}
	if spec.warmUpBytes == 0 {
		spec.warmUpBytes = -1
	}
	cred, err := authority.Issue("region-"+spec.id, spec.id, spec.lifetime, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	n.transport = &quic.Transport{Conn: c.net.endpoint(n.addr)}
	var out io.Writer = n.log
	if os.Getenv("TRELLIS_TEST_LOG") != "" {
		out = io.MultiWriter(n.log, os.Stderr)
	}
	n.mesh, err = backbone.New(backbone.Config{
		Credentials: ca.NewStore(cred), Provider: "test", Dialer: n.transport, Peers: n.peers, Table: n.table,
		WallClock:   func() time.Time { return time.Now().Add(spec.skew) },
		Boot:        spec.boot,
		Planner:     spec.planner,
		MaxChildren: spec.maxChildren,
		EgressMbps:  spec.egressMbps,
		Rand:        rand.New(rand.NewPCG(1, uint64(len(c.nodes)))),
		WarmUpBytes: spec.warmUpBytes, Links: spec.links,
		MaxLanes: spec.maxLanes,
		Resolve:  func(_ context.Context, addr string) (net.Addr, error) { return net.ResolveUDPAddr("udp", addr) },
		Log:      slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// entry is how discovery lists a node.
func (n *node) entry() discovery.Node {
	return discovery.Node{ID: n.id, Region: "region-" + n.id, Provider: "test", Addr: n.addr.String()}
}

// link makes a path between two nodes and lists each at the other.
func (c *cluster) link(a, b *node, spec pathSpec) {
	c.net.connect(a.addr, b.addr, spec)
	a.peers.add(c.t, b.entry())
	b.peers.add(c.t, a.entry())
}

// start runs all nodes that do not run yet.
func (c *cluster) start() {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.stop == nil {
			n.start()
		}
	}
}

func (n *node) start() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	conf := backbone.QUICConfig()
	ln, err := n.transport.ListenEarly(n.mesh.ServerTLS(), conf)
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.wg.Go(func() {
		if err := n.mesh.Run(ctx); !errors.Is(err, context.Canceled) {
			n.c.t.Errorf("%s: mesh ended: %v", n.id, err)
		}
	})
	n.wg.Go(func() {
		for {
			conn, err := ln.Accept(ctx)
			if err != nil {
				return
			}
			n.wg.Go(func() { _ = n.mesh.ServeConn(ctx, conn) }) // logged
		}
	})
	n.wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				n.table.Sweep(now)
			}
		}
	})
}

// end stops a node, in good order.
func (n *node) end() {
	if n.stop == nil {
		return
	}
	n.stop()
	n.wg.Wait()
	n.stop = nil
	time.Sleep(50 * time.Millisecond) // let CONNECTION_CLOSE go out
	_ = n.transport.Close()           // already ending
}

// close ends everything, as a bubble requires.
func (c *cluster) close() {
	for _, n := range c.nodes {
		n.end()
	}
	for _, conn := range c.net.conns {
		_ = conn.Close() // already ending
	}
	time.Sleep(5 * time.Second)
	c.net.close()
}

// publish announces a broadcast at a node and returns the writer of one track.
func (n *node) publish(name, track string, kind wire.Kind) (*relay.Broadcast, *relay.Track) {
	n.c.t.Helper()
	b, err := n.table.Announce(relay.Announcement{Name: wire.Broadcast(name), PublisherID: 7, Origin: n.id, Local: true}, noUpstream{})
	if err != nil {
		n.c.t.Fatal(err)
	}
	tr, err := b.PushTrack(track, wire.TrackInfo{Kind: kind, Priority: kind.DefaultPriority(), Timescale: 1_000_000})
	if err != nil {
		n.c.t.Fatal(err)
	}
	return b, tr
}

type noUpstream struct{}

func (noUpstream) OpenTrack(t *relay.Track) { t.Close(relay.ErrNotFound) }

// write writes one whole group.
func (n *node) write(tr *relay.Track, seq uint64, objects ...[]byte) {
	n.c.t.Helper()
	g, err := tr.Group(seq)
	if err != nil {
		n.c.t.Fatal(err)
	}
	for i, o := range objects {
		n.object(g, uint64(i), o)
	}
	g.Close()
}

func (n *node) object(g *relay.Group, i uint64, payload []byte) {
	n.c.t.Helper()
	h := relay.ObjectHeader{Time: time.Now().UnixMicro(), Ingress: time.Now().Add(n.skew).UnixMicro()}
	if err := g.Write(i, h, payload); err != nil {
		n.c.t.Fatalf("%s: object %d of group %d: %v", n.id, i, g.Seq(), err)
	}
}

// waitFor waits in virtual time until the broadcast is known at a node.
func (n *node) waitFor(name string) {
	n.c.t.Helper()
	for range 500 {
		if _, ok := n.table.Lookup(wire.Broadcast(name)); ok {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	n.c.t.Fatalf("%s: %s was not announced\n%s", n.id, name, n.log)
}

// got is an object as a viewer received it.
type got struct {
	group, object uint64
	size          int
	sum           byte // of the payload's first byte, to tell objects apart
	began, at     time.Time
	age           time.Duration // at arrival, by the viewer's node's own clock
	err           time.Duration // bound of its error, negative if unsynchronised
	sent          time.Time     // the Time that object() gives it
}

// viewer reads a track to its end and records every object.
type viewer struct {
	mu     sync.Mutex
	all    []got
	resets []uint64
	err    error
	done   chan struct{}
	cancel context.CancelFunc
}

func (n *node) view(name, track string) *viewer {
	n.c.t.Helper()
	sub, err := n.table.Subscribe(wire.TrackName{Broadcast: wire.Broadcast(name), Track: track}, relay.SubscribeOptions{Kind: relay.ReaderLocal, Viewers: 1})
	if err != nil {
		n.c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &viewer{done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(v.done)
		defer sub.Close()
		var groups sync.WaitGroup
		defer groups.Wait()
		for {
			r, err := sub.NextGroup(ctx)
			if err != nil {
				v.mu.Lock()
				v.err = err
				v.mu.Unlock()
				return
			}
			groups.Go(func() {
				defer r.Close()
				v.read(ctx, n, r)
			})
		}
	}()
	return v
}

func (v *viewer) read(ctx context.Context, n *node, r *relay.GroupReader) {
	var o got
	for {
		c, err := r.Next(ctx)
		if err != nil {
			if reset, ok := errors.AsType[*relay.ResetError](err); ok {
				v.mu.Lock()
				v.resets = append(v.resets, reset.Seq)
				v.mu.Unlock()
			}
			return
		}
		now := time.Now()
		if c.First {
			o = got{group: r.Seq(), object: c.Object, began: now, err: time.Duration(c.IngressErr) * time.Microsecond, sent: time.UnixMicro(c.Time)}
			if len(c.Payload) > 0 {
				o.sum = c.Payload[0]
			}
		}
		o.size += len(c.Payload)
		if c.Last {
			o.at = now
			o.age = now.Add(n.skew).Sub(time.UnixMicro(c.Ingress))
			v.mu.Lock()
			v.all = append(v.all, o)
			v.mu.Unlock()
		}
	}
}

// objects returns what has come so far.
func (v *viewer) objects() []got {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]got(nil), v.all...)
}

func (v *viewer) stop() []got {
	v.cancel()
	<-v.done
	return v.objects()
}

// wantAll fails unless each object of the groups is there exactly once, in order
// within its group.
func (v *viewer) wantAll(t *testing.T, from, to uint64, perGroup int) {
	t.Helper()
	next := map[uint64]uint64{}
	for _, o := range v.objects() {
		if o.object != next[o.group] {
			t.Errorf("object %d of group %d where %d was due", o.object, o.group, next[o.group])
		}
		next[o.group] = o.object + 1
	}
	for g := from; g < to; g++ {
		if next[g] != uint64(perGroup) {
			t.Errorf("group %d has %d objects, want %d", g, next[g], perGroup)
		}
	}
}

// peerList is a discovery.Source.
type peerList struct {
	mu      sync.Mutex
	nodes   []discovery.Node
	changed chan struct{}
}

func (p *peerList) add(tb testing.TB, n discovery.Node) {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes = append(p.nodes, n)
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Watch implements discovery.Source.
func (p *peerList) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	for {
		p.mu.Lock()
		s, err := discovery.NewSnapshot(p.nodes)
		p.mu.Unlock()
		if err != nil {
			return err
		}
		seen(s)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.changed:
		}
	}
}

// logBuffer keeps a node's log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// status returns what the mesh says of itself.
func (n *node) status() backbone.Status {
	n.c.t.Helper()
	s, err := n.mesh.Status(context.Background())
	if err != nil {
		n.c.t.Fatal(err)
	}
	return s
}
