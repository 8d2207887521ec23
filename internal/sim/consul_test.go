package sim

import (
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"trellis/internal/impair"
	"trellis/internal/node"
	"trellis/routing/consul"
	"trellis/routing/consul/consultest"
	"trellis/routing/discovery"
)

// consulBackbone is a backbone whose nodes find each other in a scripted Consul,
// by Consul's real client.
type consulBackbone struct {
	*testBackbone

	consul *consultest.Consul
	ids    []string
}

// onConsul runs a test against such nodes, each linked to each.
func onConsul(t *testing.T, ids []string, test func(*consulBackbone)) {
	t.Helper()
	state := t.TempDir()
	inBubble(t, NetworkConfig{Seed: 8, Path: func(_, _ string) impair.Config { return impair.Config{Delay: 10 * ms} }}, func(tn *testNet) {
		cb := &consulBackbone{consul: consultest.New(), ids: ids}
		const port = 8500
		l, err := tn.Host("consul").Listen(port)
		tn.must(err)
		server := &http.Server{Handler: cb.consul}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		specs := make([]NodeSpec, len(ids))
		for i, id := range ids {
			specs[i] = NodeSpec{ID: id}
		}
		log := slog.New(slog.NewTextHandler(tn.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
		c, err := NewCluster(tn.Network, ClusterConfig{Nodes: specs, Log: log, Configure: func(cfg *node.Config) {
			host := tn.Host(cfg.ID)
			cfg.Peers, err = consul.New(consul.Config{
				Address: tn.Host("consul").AddrPort(port).String(), Cluster: cfg.Cluster,
				Self:        discovery.Node{ID: cfg.ID, Region: cfg.Region, Addr: host.AddrPort(quicPort).String()},
				DialContext: host.DialContext, Rand: rand.New(rand.NewPCG(3, uint64(cfg.ID[0]))), Log: cfg.Log,
			})
			tn.must(err)
			cfg.PeersAdvice, cfg.PeersFile = true, filepath.Join(state, cfg.ID+".json")
		}})
		tn.must(err)
		cb.testBackbone = &testBackbone{testNet: tn, Cluster: c}
		cb.sleep(5 * time.Second) // until links are up and warm
		test(cb)
		for _, client := range cb.clients {
			tn.must(client.Close())
		}
		tn.must(c.Close())
		if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			tn.Error(err)
		}
		tn.Close()
		tn.sleep(time.Minute) // until the last timers have run out
	})
}

// standing is what must not change while only Consul is out of order.
type standing struct {
	links map[string]map[string]time.Time // of each node: since when a link is up
	moves map[string]float64              // of each node: tracks that changed their parent
}

func (cb *consulBackbone) standing() standing {
	cb.Helper()
	s := standing{map[string]map[string]time.Time{}, map[string]float64{}}
	for _, id := range cb.ids {
		st := cb.status(id)
		s.links[id] = map[string]time.Time{}
		for _, l := range st.Links {
			s.links[id][l.Peer] = l.Up
		}
		s.moves[id] = cb.metric(id, "trellis_backbone_moves_total", "subscribed") // the first parent is no change
	}
	return s
}

func (cb *consulBackbone) status(id string) node.Status {
	cb.Helper()
	s, err := cb.Node(id).Status(cb.Context())
	cb.must(err)
	return s
}

// metric sums a metric over its labels, without those of one value.
func (cb *consulBackbone) metric(id, name, without string) float64 {
	cb.Helper()
	families, err := cb.Node(id).Registry().Gather()
	cb.must(err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			excluded := false
			for _, l := range m.GetLabel() {
				excluded = excluded || l.GetValue() == without
			}
			if !excluded {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// wantStanding asserts that every link is the one that it was, that no track has
// moved, that every node knows all others, and that none is less ready for it.
// Nodes that were started anew meanwhile are left out.
func (cb *consulBackbone) wantStanding(what string, was standing, but ...string) {
	cb.Helper()
	now := cb.standing()
	for _, id := range cb.ids {
		if slices.Contains(but, id) {
			continue
		}
		before, after := maps.Clone(was.links[id]), maps.Clone(now.links[id])
		for _, other := range but {
			delete(before, other)
			delete(after, other)
		}
		if len(before) == 0 || !maps.Equal(before, after) {
			cb.Errorf("%s: %s has links up since %v, before %v", what, id, after, before)
		}
		if now.moves[id] != was.moves[id] {
			cb.Errorf("%s: %s moved tracks %v times", what, id, now.moves[id]-was.moves[id])
		}
		st := cb.status(id)
		if st.Discovery.Nodes != len(cb.ids) || !st.Node.Ready {
			cb.Errorf("%s: %s is ready %v and knows %d nodes: %+v", what, id, st.Node.Ready, st.Discovery.Nodes, st.Discovery)
		}
	}
}

// wantDegraded asserts what all nodes say of discovery.
func (cb *consulBackbone) wantDegraded(what string, want bool) {
	cb.Helper()
	for _, id := range cb.ids {
		st := cb.status(id)
		said := cb.metric(id, "trellis_control_plane_degraded", "") == 1
		if st.Node.Degraded != want || st.Discovery.Degraded != want || said != want || want != (st.Discovery.Reason != "") {
			cb.Errorf("%s: %s says %+v, metric %v; want degraded %v", what, id, st.Discovery, said, want)
		}
	}
}

// sparse is media that costs little: a picture a second.
var sparse = Clip{FrameRate: 1, GOP: 5, KeyBytes: 400, DeltaBytes: 200, NoAudio: true}

// TestConsulMisbehaves runs media through every way to misbehave, and through a
// Consul that changes between right and wrong every two seconds, nine minutes in
// all: no link ends, no track moves, nothing is lost.
func TestConsulMisbehaves(t *testing.T) {
	onConsul(t, []string{"a", "b", "c"}, func(cb *consulBackbone) {
		p := cb.publishMoQ("camera", "a", "room/camera", sparse)
		w := cb.watchMoQ("viewer", "c", p)
		cb.sleep(5 * time.Second)
		from, was := time.Now(), cb.standing()
		cb.wantStanding("before", was)
		for _, mode := range []consultest.Mode{
			consultest.Empty, consultest.Half, consultest.Stale, consultest.Failing,
			consultest.Backwards, consultest.Hanging, consultest.Garbage,
		} {
			cb.consul.Behave(mode)
			cb.sleep(40 * time.Second)
			cb.wantStanding(mode.String(), was)
			for range 10 {
				cb.consul.Behave(consultest.Well)
				cb.sleep(2 * time.Second)
				cb.consul.Behave(mode)
				cb.sleep(2 * time.Second)
			}
			cb.wantStanding(mode.String()+" now and then", was)
		}
		cb.wantDegraded("at the end", true)
		cb.consul.Behave(consultest.Well)
		cb.consul.Forget()
		cb.sleep(75 * time.Second)
		cb.wantDegraded("afterwards", false)
		cb.wantStanding("afterwards", was)
		to := time.Now()
		cb.sleep(time.Second)
		cb.wantComplete("viewer", p, w, Video, from, to)
		cb.must(w.Stop())
		cb.must(p.Stop())
	})
}

// absence lets Consul be gone for so long while media flows, with new publishers
// and viewers in between, and a node that starts anew.
func absence(t *testing.T, lasts time.Duration) {
	t.Helper()
	onConsul(t, []string{"a", "b", "c"}, func(cb *consulBackbone) {
		p := cb.publishMoQ("camera", "a", "room/camera", sparse)
		w := cb.watchMoQ("viewer", "b", p)
		cb.sleep(5 * time.Second)
		from, was := time.Now(), cb.standing()
		cb.wantDegraded("before", false)
		for _, id := range cb.ids {
			cb.must(cb.SetDown("consul", id, true))
		}
		cb.sleep(lasts / 2)
		cb.wantDegraded("in the middle", true)
		cb.wantStanding("in the middle", was)

		// Newcomers among the known nodes.
		p2 := cb.publishMoQ("camera 2", "b", "room/second", sparse)
		w2 := cb.watchMoQ("viewer 2", "a", p2)
		cb.sleep(5 * time.Second)
		from2 := time.Now()

		// A node that starts anew knows the others by its saved list.
		cb.Kill("c")
		cb.sleep(10 * time.Second)
		cb.must(cb.Revive("c"))
		cb.sleep(3 * time.Second)
		w3 := cb.watchMoQ("viewer 3", "c", p)
		cb.sleep(2 * time.Second)
		if first := w3.Arrivals(Video); len(first) == 0 {
			cb.Error("5 s after its start a node has sent nothing to its viewer")
		}
		if st := cb.status("c").Discovery; st.Reason != discovery.ReasonSaved {
			cb.Errorf("the restarted node says %+v", st)
		}
		from3 := time.Now()

		cb.sleep(lasts / 2)
		cb.wantDegraded("at the end", true)
		cb.wantStanding("at the end", was, "c")
		for _, id := range cb.ids {
			cb.must(cb.SetDown("consul", id, false))
		}
		cb.sleep(2 * time.Minute)
		cb.wantDegraded("afterwards", false)
		cb.wantStanding("afterwards", was, "c")
		to := time.Now()
		cb.sleep(time.Second)
		for _, v := range []struct {
			name string
			p    *Publication
			w    *Watch
			from time.Time
		}{{"viewer", p, w, from}, {"viewer 2", p2, w2, from2}, {"viewer 3", p, w3, from3}} {
			got := cb.wantComplete(v.name, v.p, v.w, Video, v.from, to)
			cb.Logf("%s: %d pictures, none missing", v.name, len(got))
			cb.must(v.w.Stop())
		}
		cb.must(p.Stop())
		cb.must(p2.Stop())
	})
}

// TestConsulGoneForTenMinutes is the short form of TestConsulGoneForADay, which
// has the build tag e2e.
func TestConsulGoneForTenMinutes(t *testing.T) { absence(t, 10*time.Minute) }
