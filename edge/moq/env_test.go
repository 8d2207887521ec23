package moq

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	randv2 "math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/testutils/simnet"

	"trellis/edge/moq/moqclient"
	"trellis/internal/auth"
	"trellis/internal/impair"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// oneWay is the delay of the simulated network, in each direction.
const oneWay = 10 * time.Millisecond

// env is a node's MoQ edge with clients on a simulated network, in virtual time.
type env struct {
	t        *testing.T
	table    *relay.Table
	server   *Server
	registry *prometheus.Registry
	log      *lockedBuffer

	net     *simnet.Simnet
	router  *cuttableRouter
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	cleanup []func()
	free    []*simnet.SimConn // sockets for clients
}

// maxClients is how many clients a test may have: simnet wants to know all
// sockets before it starts.
const maxClients = 6

// lockedBuffer collects the log, which is looked through for secrets.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testTokens are what the tests' verifier knows.
var testTokens = map[string]auth.Grant{
	"":     {ID: "anyone", Publish: []wire.Prefix{""}, Subscribe: []wire.Prefix{""}},
	"room": {ID: "room", Publish: []wire.Prefix{"room"}, Subscribe: []wire.Prefix{"room"}},
	"get":  {ID: "get", Subscribe: []wire.Prefix{"room"}},
}

type testVerifier struct{}

// Verify also takes "for-5s", whose grant expires five seconds later.
func (testVerifier) Verify(token string, now time.Time) (auth.Grant, error) {
	if token == "for-5s" {
		g := testTokens[""]
		g.Expires = now.Add(5 * time.Second)
		return g, nil
	}
	g, ok := testTokens[token]
	if !ok {
		return auth.Grant{}, &auth.DeniedError{Reason: auth.ReasonSignature, Detail: "not one of ours"}
	}
	return g, nil
}

// run runs a test in a bubble with a node in it.
func run(t *testing.T, change func(*Config), test func(e *env)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, change)
		defer e.close()
		test(e)
	})
}

func newEnv(t *testing.T, change func(*Config)) *env {
	t.Helper()
	e := &env{t: t, registry: prometheus.NewRegistry(), log: &lockedBuffer{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	var err error
	if e.table, err = relay.NewTable(relay.Config{}); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Table: e.table, Verifier: testVerifier{}, NodeID: "node-1", Metrics: e.registry,
		Log: slog.New(slog.NewTextHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	if e.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	e.router = &cuttableRouter{}
	e.net = &simnet.Simnet{Router: e.router}
	transport := &quic.Transport{Conn: e.endpoint(1)}
	ln, err := transport.ListenEarly(testTLS(t), QUICConfig(nil))
	if err != nil {
		t.Fatal(err)
	}
	e.cleanup = append(e.cleanup, func() { _ = transport.Close() }, func() { _ = ln.Close() })
	for i := range byte(maxClients) {
		e.free = append(e.free, e.endpoint(2+i))
	}
	if err := e.net.Start(); err != nil {
		t.Fatal(err)
	}
	e.tasks.Go(func() {
		for {
			conn, err := ln.Accept(e.ctx)
			if err != nil {
				return
			}
			e.tasks.Go(func() { _ = e.server.ServeConn(e.ctx, conn) })
		}
	})
	e.tasks.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				e.table.Sweep(now)
			case <-e.ctx.Done():
				return
			}
		}
	})
	return e
}

// cuttableRouter is a perfect network from which hosts can be cut off, or whose way
// to a host can be made narrow.
type cuttableRouter struct {
	simnet.PerfectRouter
	mu     sync.Mutex
	cut    map[string]bool
	narrow map[string]*impair.Link // by the address that it leads to
	late   sync.WaitGroup          // packets on narrow ways
}

// SendPacket implements simnet.Router.
func (r *cuttableRouter) SendPacket(p simnet.Packet) error {
	r.mu.Lock()
	lost := r.cut[p.From.String()] || r.cut[p.To.String()]
	var wait time.Duration
	if l := r.narrow[p.To.String()]; l != nil && !lost {
		now := time.Now()
		at, drop := l.Send(now, len(p.Data))
		lost, wait = drop != impair.DropNone, at.Sub(now)
	}
	r.mu.Unlock()
	switch {
	case lost:
		return nil
	case wait <= 0:
		return r.PerfectRouter.SendPacket(p)
	}
	p.Data = bytes.Clone(p.Data)
	r.late.Add(1)
	time.AfterFunc(wait, func() {
		defer r.late.Done()
		_ = r.PerfectRouter.SendPacket(p) // who has gone gets nothing
	})
	return nil
}

// narrow makes the way to the next client narrow, or changes it.
func (e *env) narrow(to net.Addr, cfg impair.Config) {
	e.t.Helper()
	e.router.mu.Lock()
	defer e.router.mu.Unlock()
	if l := e.router.narrow[to.String()]; l != nil {
		if err := l.Set(cfg); err != nil {
			e.t.Fatal(err)
		}
		return
	}
	l, err := impair.NewLink(cfg, randv2.New(randv2.NewPCG(1, 2)))
	if err != nil {
		e.t.Fatal(err)
	}
	e.router.narrow = map[string]*impair.Link{to.String(): l}
}

// cut takes a client off the network.
func (e *env) cut(c *rawClient) {
	e.router.mu.Lock()
	defer e.router.mu.Unlock()
	if e.router.cut == nil {
		e.router.cut = map[string]bool{}
	}
	e.router.cut[c.conn.LocalAddr().String()] = true
}

func (e *env) endpoint(host byte) *simnet.SimConn {
	addr := &net.UDPAddr{IP: net.IPv4(10, 0, 0, host), Port: 443}
	conn := e.net.NewEndpoint(addr, simnet.NodeBiDiLinkSettings{Latency: oneWay})
	e.cleanup = append(e.cleanup, func() { _ = conn.Close() })
	return conn
}

// close ends everything and waits for it, as the bubble demands.
func (e *env) close() {
	e.cancel()
	time.Sleep(3 * time.Second)
	for _, v := range slices.Backward(e.cleanup) {
		v()
	}
	e.tasks.Wait()
	_ = e.net.Close()
	time.Sleep(10 * time.Second)
}

// sleep lets virtual time pass.
func (e *env) sleep(d time.Duration) { time.Sleep(d) }

// transport returns a client's socket.
func (e *env) transport() *quic.Transport {
	transport := &quic.Transport{Conn: e.free[0]}
	e.free = e.free[1:]
	e.cleanup = append(e.cleanup, func() { _ = transport.Close() })
	return transport
}

// config is that of a client on the simulated network.
func (e *env) config(version moqlite.Version, path string) moqclient.Config {
	transport := e.transport()
	return moqclient.Config{
		URL: "https://node-1:443" + path, Insecure: true, Versions: []moqlite.Version{version},
		DialQUIC: func(ctx context.Context, _ string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
			return transport.DialEarly(ctx, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}, tlsConf, conf)
		},
	}
}

// client dials a session whose root is path.
func (e *env) client(version moqlite.Version, path string) *moqclient.Session {
	e.t.Helper()
	s, err := moqclient.Dial(e.ctx, e.config(version, path))
	if err != nil {
		e.t.Fatal(err)
	}
	e.cleanup = append(e.cleanup, func() { _ = s.Close() })
	return s
}

// timeout bounds a step of a test, in virtual time.
func (e *env) timeout(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(e.ctx, d)
	e.cleanup = append(e.cleanup, cancel)
	return ctx
}

// announced waits until the client hears of a broadcast.
func (e *env) announced(s *moqclient.Session, prefix, broadcast string) moqclient.Announcement {
	e.t.Helper()
	a, err := s.Announcements(e.timeout(5*time.Second), prefix)
	if err != nil {
		e.t.Fatal(err)
	}
	defer a.Close()
	event, err := a.Wait(e.timeout(5*time.Second), broadcast)
	if err != nil {
		e.t.Fatalf("%s is not announced: %v\n%s", broadcast, err, e.log)
	}
	return event
}

func (e *env) subscribe(s *moqclient.Session, broadcast, track string, want moqlite.Delivery) *moqclient.Subscription {
	e.t.Helper()
	sub, err := s.Subscribe(e.ctx, broadcast, track, want)
	if err != nil {
		e.t.Fatalf("%v\n%s", err, e.log)
	}
	return sub
}

func (e *env) next(sub *moqclient.Subscription) moqclient.Object {
	e.t.Helper()
	object, err := sub.Next(e.timeout(5 * time.Second))
	if err != nil {
		e.t.Fatalf("no object: %v\n%s", err, e.log)
	}
	return object
}

// metric returns the value of a counter or gauge, with at most one label.
func (e *env) metric(name, label string) float64 {
	e.t.Helper()
	families, err := e.registry.Gather()
	if err != nil {
		e.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "trellis_moq_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			if label == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	e.t.Fatalf("no metric %s{%s}", name, label)
	return 0
}

// testTLS is valid at the start of bubble time, the year 2000.
func testTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"node-1"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{http3.NextProtoH3},
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
}

// camera publishes a broadcast with a video track and writes to it.
type camera struct {
	e         *env
	broadcast *moqclient.Broadcast
	catalog   *moqclient.TrackWriter
	video     *moqclient.TrackWriter
	group     *moqclient.GroupWriter
	frames    int
}

const catalogJSON = `{"video":{"renditions":{"video/hd":{"codec":"vp8","container":{"kind":"legacy"}}}}}`

func (e *env) camera(s *moqclient.Session, name string) *camera {
	e.t.Helper()
	c := &camera{e: e}
	var err error
	if c.broadcast, err = s.Publish(name); err != nil {
		e.t.Fatal(err)
	}
	if c.catalog, err = c.broadcast.AddTrack("catalog.json", moqlite.TrackInfo{}); err != nil {
		e.t.Fatal(err)
	}
	if c.video, err = c.broadcast.AddTrack("video/hd", moqlite.TrackInfo{MaxLatency: 5 * time.Second}); err != nil {
		e.t.Fatal(err)
	}
	group, err := c.catalog.NewGroup()
	if err != nil {
		e.t.Fatal(err)
	}
	if err := group.Write(0, []byte(catalogJSON)); err != nil {
		e.t.Fatal(err)
	}
	group.Close()
	return c
}

// frame writes frame number c.frames of a video at 25 per second; key begins a
// group. It returns the payload: the legacy container's time, then text.
func (c *camera) frame(key bool, size int) []byte {
	c.e.t.Helper()
	var err error
	if key {
		if c.group, err = c.video.NewGroup(); err != nil {
			c.e.t.Fatal(err)
		}
	}
	pts := c.pts(c.frames)
	payload := fmt.Appendf(legacyPrefix(pts), "frame %d", c.frames)
	payload = append(payload, make([]byte, max(size-len(payload), 0))...)
	if err := c.group.Write(pts, payload); err != nil {
		c.e.t.Fatal(err)
	}
	c.frames++
	return payload
}

func (c *camera) pts(frame int) int64 { return 1_000_000 + int64(frame)*40_000 }

func wantCode(t *testing.T, err error, want wire.Code) {
	t.Helper()
	if got, ok := moqclient.CodeOf(err); !ok || got != want {
		t.Errorf("got %v (%v), want code %v", err, got, want)
	}
}

// ended waits for the end of a session and returns why.
func (e *env) ended(s *moqclient.Session, within time.Duration) error {
	e.t.Helper()
	select {
	case <-s.Context().Done():
		return context.Cause(s.Context())
	case <-e.timeout(within).Done():
		e.t.Fatalf("the session goes on after %v\n%s", within, e.log)
		return errors.New("unreachable")
	}
}
