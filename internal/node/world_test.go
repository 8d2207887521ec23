package node_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/impair"
	"trellis/internal/node"
	"trellis/internal/sim"
	"trellis/routing/discovery"
	"trellis/routing/static"
)

// Ports of the nodes under test.
const (
	quicPort   = 4443
	webRTCPort = 4444
)

// delay is one way between any two hosts.
const delay = 10 * time.Millisecond

// world is a network in virtual time, with an authority and a key for tokens.
type world struct {
	*testing.T
	net       *sim.Network
	authority *ca.Authority
	key       auth.PrivateKey
	ends      []func()
}

// inWorld runs f in a bubble and closes what it left open.
func inWorld(t *testing.T, f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: sim.NewNetwork(sim.NetworkConfig{
			Path: func(string, string) impair.Config { return impair.Config{Delay: delay} },
		})}
		var err error
		if w.authority, err = ca.NewAuthority("test", time.Now()); err != nil {
			t.Fatal(err)
		}
		if w.key, err = auth.GenerateKey("k", auth.EdDSA, ""); err != nil {
			t.Fatal(err)
		}
		defer func() {
			for _, end := range slices.Backward(w.ends) {
				end()
			}
			w.net.Close()
			synctest.Wait()
		}()
		f(w)
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) credentials(a *ca.Authority, name string) *ca.Store {
	w.Helper()
	c, err := a.Issue("region-"+name, name, 0, time.Now())
	w.must(err)
	return ca.NewStore(c)
}

func (w *world) token(c auth.Claims) string {
	w.Helper()
	c.Expires = time.Now().Add(time.Hour)
	token, err := w.key.Mint(c, time.Now())
	w.must(err)
	return token.Reveal()
}

// running is a node under test.
type running struct {
	*node.Node
	w    *world
	host *sim.Host
	stop context.CancelFunc
	done chan error
}

// node starts a node that knows the peers; without any it stands alone.
func (w *world) node(name string, peers []string, change func(*node.Config)) *running {
	w.Helper()
	h := w.net.Host(name)
	udp, err := h.ListenUDP(quicPort)
	w.must(err)
	media, err := h.ListenUDP(webRTCPort)
	w.must(err)
	tcp, err := h.Listen(quicPort)
	w.must(err)
	verifier, err := auth.NewVerifier(auth.Config{Keys: w.key.KeySet()})
	w.must(err)
	cfg := node.Config{
		ID: name, Region: "region-" + name, Cluster: "test",
		Sockets:   node.Sockets{QUIC: udp, HTTP: tcp, WebRTC: media},
		WebRTCNet: h.Net(), Verifier: verifier, Certificates: ca.NewEphemeral(name), Log: w.log(),
	}
	if len(peers) > 0 {
		cfg.Credentials = w.credentials(w.authority, name)
		var nodes []discovery.Node
		for _, p := range peers {
			nodes = append(nodes, discovery.Node{ID: p, Region: "region-" + p, Addr: w.net.Host(p).AddrPort(quicPort).String()})
		}
		cfg.Peers, err = static.New(static.Config{Nodes: nodes})
		w.must(err)
	}
	if change != nil {
		change(&cfg)
	}
	n, err := node.New(cfg)
	w.must(err)
	ctx, stop := context.WithCancel(w.Context())
	r := &running{Node: n, w: w, host: h, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- n.Run(ctx) }()
	w.ends = append(w.ends, func() { r.end() })
	return r
}

// end stops the node and waits for it.
func (r *running) end() {
	r.stop()
	if err := <-r.done; err != nil {
		r.w.Errorf("Run: %v", err)
	}
	r.done <- nil // for whoever asks again
}

func (r *running) status() node.Status {
	r.w.Helper()
	s, err := r.Status(r.w.Context())
	r.w.must(err)
	return s
}

// get asks the admin handler.
func (r *running) get(path, host string) (int, string) {
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(r.w.Context(), http.MethodGet, "http://"+host+path, http.NoBody)
	r.AdminHandler().ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

// dial opens a QUIC connection to r from a host of that name.
func (r *running) dial(from string, conf *tls.Config) (*quic.Conn, error) {
	r.w.Helper()
	socket, err := r.w.net.Host(from).ListenUDP(0)
	r.w.must(err)
	t := &quic.Transport{Conn: socket}
	r.w.ends = append(r.w.ends, func() {
		r.w.must(errors.Join(t.Close(), socket.Close()))
	})
	to, err := r.host.Net().ResolveUDPAddr("udp", r.host.AddrPort(quicPort).String())
	r.w.must(err)
	return t.Dial(r.w.Context(), to, conf, &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true})
}

func (w *world) log() *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(testWriter{w.T}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

type anybody = auth.Open

// nobody is a discovery that finds no node.
type nobody struct{}

func (nobody) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	seen(discovery.Snapshot{})
	<-ctx.Done()
	return context.Cause(ctx)
}
