package sim

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"trellis/internal/impair"
)

// testBackbone is a cluster in a bubble, with the words that the proofs tell
// their stories in.
type testBackbone struct {
	*testNet
	*Cluster
	clients []*Client
}

// link is what the links of the proofs are like: three of them in a row.
var link = impair.Config{Delay: 20 * ms, RateBps: 50_000_000}

// access is a user's way to the nearest node.
var access = impair.Config{Delay: 5 * ms}

// onBackbone runs a test against nodes in virtual time. Nodes are joined by
// paths as given; whoever is not a node reaches every node by path access.
func onBackbone(t *testing.T, seed uint64, nodes []NodeSpec, between impair.Config, test func(*testBackbone)) {
	t.Helper()
	isNode := map[string]bool{}
	for _, n := range nodes {
		isNode[n.ID] = true
	}
	path := func(from, to string) impair.Config {
		if isNode[from] && isNode[to] {
			return between
		}
		return access
	}
	onNetwork(t, seed, path, nodes, test)
}

// onNetwork is onBackbone with any paths.
func onNetwork(t *testing.T, seed uint64, path func(from, to string) impair.Config, nodes []NodeSpec, test func(*testBackbone)) {
	t.Helper()
	inBubble(t, NetworkConfig{Seed: seed, Path: path}, func(tn *testNet) {
		tn.Helper()
		level := slog.LevelWarn
		if testing.Verbose() {
			level = slog.LevelInfo
		}
		log := slog.New(slog.NewTextHandler(tn.Output(), &slog.HandlerOptions{Level: level}))
		c, err := NewCluster(tn.Network, ClusterConfig{Nodes: nodes, Log: log})
		tn.must(err)
		tb := &testBackbone{testNet: tn, Cluster: c}
		defer func() {
			for _, client := range tb.clients {
				tn.must(client.Close())
			}
			if err := c.Close(); err != nil {
				tn.Error(err)
			}
			tn.Close()
			tn.sleep(20 * time.Second) // until the last timers have run out
			if tn.Failed() {
				tn.Logf("seed %d", seed)
			}
		}()
		tb.sleep(3 * time.Second) // until links are up and warm
		test(tb)
	})
}

func (tn *testNet) must(err error) {
	tn.Helper()
	if err != nil {
		tn.Fatal(err)
	}
}

// beside puts a host into the same building as a node. Without any delay QUIC
// would never have a sample of the round trip, and pace as if it were 100 ms.
func (tb *testBackbone) beside(host, node string) {
	tb.Helper()
	tb.path(host, node, impair.Config{Delay: ms / 4})
}

// client puts a client onto a host of its own, at a node's door.
func (tb *testBackbone) client(name, node string) *Client {
	c := tb.Client(name, node)
	tb.clients = append(tb.clients, c)
	return c
}

// within is a context for what must happen within a time.
func (tb *testBackbone) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(tb.Context(), d, errors.New("not in time"))
	tb.Cleanup(cancel)
	return ctx
}

func (tb *testBackbone) publishMoQ(name, node, broadcast string, clip Clip) *Publication {
	tb.Helper()
	p, err := tb.client(name, node).PublishMoQ(tb.within(10*time.Second), broadcast, clip)
	tb.must(err)
	return p
}

func (tb *testBackbone) publishWHIP(name, node, broadcast string, clip Clip) *Publication {
	tb.Helper()
	p, err := tb.client(name, node).PublishWHIP(tb.within(10*time.Second), broadcast, clip)
	tb.must(err)
	return p
}

func (tb *testBackbone) watchMoQ(name, node string, p *Publication) *Watch {
	tb.Helper()
	w, err := tb.client(name, node).WatchMoQ(tb.within(10*time.Second), p)
	tb.must(err)
	return w
}

func (tb *testBackbone) watchWHEP(name, node string, p *Publication) *Watch {
	tb.Helper()
	w, err := tb.client(name, node).WatchWHEP(tb.within(10*time.Second), p)
	tb.must(err)
	return w
}

// wantNoProblems asserts that a viewer saw nothing that none should see.
func (tb *testBackbone) wantNoProblems(name string, w *Watch) {
	tb.Helper()
	for i, err := range w.Problems() {
		if i == 5 {
			tb.Errorf("%s: and more", name)
			break
		}
		tb.Errorf("%s: %v", name, err)
	}
}

// wantComplete asserts that a viewer received every frame of a kind that was due
// in a time, and returns them.
func (tb *testBackbone) wantComplete(name string, p *Publication, w *Watch, m Media, from, to time.Time) []Arrival {
	tb.Helper()
	tb.wantNoProblems(name, w)
	got := Between(w.Arrivals(m), from, to)
	want := 0
	for i := 0; p.Due(m, i).Before(to); i++ {
		if !p.Due(m, i).Before(from) {
			want++
		}
	}
	if missing := Missing(got); len(got) != want || len(missing) > 0 {
		tb.Errorf("%s received %d of %d frames of %v; missing in between: %v", name, len(got), want, m, missing)
	}
	return got
}

// TestEveryKindOfViewerSeesEveryKindOfPublisher is the whole path at once: both
// kinds of publisher, both kinds of viewer, over two links without loss.
func TestEveryKindOfViewerSeesEveryKindOfPublisher(t *testing.T) {
	onBackbone(t, 1, Chain("a", "b", "c"), link, func(tb *testBackbone) {
		pubs := map[string]*Publication{
			"moq":  tb.publishMoQ("camera-1", "a", "room/moq", Clip{}),
			"whip": tb.publishWHIP("camera-2", "a", "room/whip", Clip{}),
		}
		tb.sleep(3 * time.Second)
		watches := map[string]*Watch{}
		for kind, p := range pubs {
			watches[kind+" to moq"] = tb.watchMoQ(kind+"-to-moq", "c", p)
			watches[kind+" to whep"] = tb.watchWHEP(kind+"-to-whep", "b", p)
		}
		tb.sleep(2 * time.Second)
		from := time.Now()
		tb.sleep(6 * time.Second)
		to := time.Now()
		tb.sleep(time.Second)
		for name, w := range watches {
			p := w.pub
			for _, m := range []Media{Video, Audio} {
				got := tb.wantComplete(name, p, w, m, from, to)
				tb.Logf("%s, %v: %d frames, simulated age p50 %v, p99 %v, at most %v", name, m, len(got),
					Quantile(got, 0.5), Quantile(got, 0.99), Quantile(got, 1))
			}
			tb.must(w.Stop())
		}
		for _, p := range pubs {
			tb.must(p.Stop())
		}
	})
}
