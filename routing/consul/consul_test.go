package consul

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/impair"
	"trellis/internal/sim"
	"trellis/routing/consul/consultest"
	"trellis/routing/discovery"
)

// world is a scripted Consul on a simulated network, in virtual time, asked by
// Consul's real client.
type world struct {
	*testing.T
	net    *sim.Network
	consul *consultest.Consul
	ends   []func()
}

func inWorld(t *testing.T, datacenters []string, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := consultest.New(datacenters...)
		w := &world{T: t, consul: c, net: sim.NewNetwork(sim.NetworkConfig{
			Path: func(string, string) impair.Config { return impair.Config{Delay: time.Millisecond} },
		})}
		l, err := w.net.Host("consul").Listen(8500)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: c}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		test(w)
		for _, end := range slices.Backward(w.ends) {
			end()
		}
		if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		w.net.Close()
		time.Sleep(time.Minute) // until the last hanging answer is given up
	})
}

// watched is a source under test, with what it told.
type watched struct {
	*Source

	w    *world
	mu   sync.Mutex
	seen []discovery.Snapshot
	end  func()
}

func (w *world) watch(id string, change func(*Config)) *watched {
	w.Helper()
	host := w.net.Host(id)
	cfg := Config{
		Address: w.net.Host("consul").AddrPort(8500).String(), Cluster: "prod", Self: self(id),
		DialContext: host.DialContext, Rand: rand.New(rand.NewPCG(1, uint64(len(w.ends)))),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(w.Context())
	x := &watched{Source: s, w: w}
	done := make(chan error, 1)
	go func() {
		done <- s.Watch(ctx, func(s discovery.Snapshot) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.seen = append(x.seen, s)
		})
	}()
	cause := errors.New("enough")
	x.end = sync.OnceFunc(func() {
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			w.Errorf("%s: Watch ended with %v", id, err)
		}
	})
	w.ends = append(w.ends, x.end)
	return x
}

// told returns what was told last, "a b" or "a b (partial)", and how often.
func (x *watched) told() (string, int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.seen) == 0 {
		return "nothing", 0
	}
	last := x.seen[len(x.seen)-1]
	var ids []string
	for _, n := range last.Nodes {
		ids = append(ids, n.ID)
	}
	text := strings.Join(ids, " ")
	if last.Partial {
		text += " (partial)"
	}
	return text, len(x.seen)
}

func (x *watched) want(text string) {
	x.w.Helper()
	if got, _ := x.told(); got != text {
		x.w.Errorf("told %q, want %q", got, text)
	}
}

func (x *watched) wantProblem(part string) {
	x.w.Helper()
	r := x.Report()
	if (part == "") != (r.Problem == "") || !strings.Contains(r.Problem, part) {
		x.w.Errorf("problem %q, want %q", r.Problem, part)
	}
}

// TestNodesFindEachOther: registration, a blocking query that is woken, leaving in
// order, and that a rest costs next to nothing.
func TestNodesFindEachOther(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		a := w.watch("a", nil)
		time.Sleep(2 * time.Second)
		a.want("a")
		b := w.watch("b", nil)
		time.Sleep(50 * time.Millisecond)
		a.want("a b") // woken, not polled
		time.Sleep(2 * time.Second)
		b.want("a b")
		a.wantProblem("")

		before := w.consul.Requests()
		_, told := a.told()
		time.Sleep(10 * time.Minute)
		// Per node and 10 minutes: a TTL of 15 s is renewed 120 times, 20 lists of
		// datacenters, 10 queries.
		if n := w.consul.Requests() - before; n < 2*130 || n > 2*180 {
			t.Errorf("%d requests in 10 quiet minutes of two nodes", n)
		}
		if _, now := a.told(); now != told {
			t.Errorf("told %d times more although nothing changed", now-told)
		}
		b.end()
		time.Sleep(2 * time.Second)
		a.want("a")
		if ids := w.consul.IDs(); !slices.Equal(ids, []string{"trellis-a"}) {
			t.Errorf("registered: %v", ids)
		}
	})
}

// TestDatacenters: every datacenter is watched; a new one is found, one that fails
// keeps its list, one that is gone for good is dropped.
func TestDatacenters(t *testing.T) {
	inWorld(t, []string{"dc1", "dc2"}, func(w *world) {
		far := Config{Service: "trellis", Cluster: "prod", TTL: time.Minute, Self: self("far")}
		w.consul.Put("dc2", asEntry(far.registration()))
		far.Cluster, far.Self.ID = "other", "foreign"
		w.consul.Put("dc2", asEntry(far.registration()))
		a := w.watch("a", nil)
		one := w.watch("b", func(c *Config) { c.Datacenters = []string{"dc2"} })
		time.Sleep(2 * time.Second)
		a.want("a b far")
		one.want("far")
		far.Cluster, far.Self.ID = "prod", "third"
		w.consul.Put("dc3", asEntry(far.registration()))
		time.Sleep(time.Minute)
		a.want("a b far third")
		w.consul.RemoveDatacenter("dc2")
		time.Sleep(40 * time.Second)
		w.Log(a.told())
		time.Sleep(2 * time.Minute)
		a.want("a b third")
		a.wantProblem("")
	})
}

// TestTokenIsRenewed: the token's file is read for each request.
func TestTokenIsRenewed(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		file := filepath.Join(t.TempDir(), "token")
		write := func(token string) {
			if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.consul.RequireToken("second")
		write("first")
		a := w.watch("a", func(c *Config) { c.TokenFile = file })
		time.Sleep(10 * time.Second)
		a.want("nothing")
		a.wantProblem("403 (Permission denied)")
		write("second")
		time.Sleep(maxBackoff * 3 / 2)
		a.want("a")
		if err := os.Remove(file); err != nil { // the last one stays
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		a.want("a")
		a.wantProblem("")
	})
}

// TestAgentBeginsAnew: an agent that has lost everything, its index too, has the
// node again within a renewal.
func TestAgentBeginsAnew(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		a := w.watch("a", nil)
		time.Sleep(2 * time.Second)
		w.consul.Forget()
		time.Sleep(10 * time.Second)
		a.want("a")
		if ids := w.consul.IDs(); !slices.Equal(ids, []string{"trellis-a"}) {
			t.Errorf("registered: %v", ids)
		}
	})
}

// TestMisbehaviour runs three nodes through every way to misbehave. Each keeps,
// behind discovery.Stable, all of its peers, although nothing but Consul and the
// links speak for them; Consul is not asked too often; and all is in order soon
// after it is.
func TestMisbehaviour(t *testing.T) {
	for _, mode := range []consultest.Mode{
		consultest.Empty, consultest.Half, consultest.Stale, consultest.Failing,
		consultest.Backwards, consultest.Hanging, consultest.Garbage,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			misbehave(t, func(w *world, phase int) {
				if phase == 0 {
					w.consul.Behave(mode)
				}
			}, time.Minute, mode)
		})
		t.Run(mode.String()+" every 2 s", func(t *testing.T) {
			t.Parallel()
			misbehave(t, func(w *world, phase int) {
				if phase%2 == 0 {
					w.consul.Behave(mode)
				} else {
					w.consul.Behave(consultest.Well)
				}
			}, 2*time.Second, mode)
		})
	}
	t.Run("checks flap every 2 s", func(t *testing.T) {
		t.Parallel()
		misbehave(t, func(w *world, phase int) {
			w.consul.SetStatus([]string{"critical", "passing"}[phase%2])
		}, 2*time.Second, consultest.Well)
	})
	t.Run("begins anew every 2 s", func(t *testing.T) {
		t.Parallel()
		misbehave(t, func(w *world, _ int) { w.consul.Forget() }, 2*time.Second, consultest.Well)
	})
}

// misbehave lets some minutes pass in phases, which act begins: ten where the
// checks flap or Consul fails every two seconds, as the fault catalogue has it.
func misbehave(t *testing.T, act func(w *world, phase int), every time.Duration, mode consultest.Mode) {
	t.Helper()
	const nodes = 3
	lasts := 3 * time.Minute
	if every < calm && (mode == consultest.Well || mode == consultest.Failing) {
		lasts = 10 * time.Minute
	}
	all := []string{"a", "b", "c"}
	inWorld(t, nil, func(w *world) {
		var sources []*Source
		lists := make([][]string, nodes) // every list that a node was told
		var stables []*discovery.Stable
		var mu sync.Mutex
		for i, id := range all {
			cfg := Config{
				Address: w.net.Host("consul").AddrPort(8500).String(), Cluster: "prod", Self: self(id),
				DialContext: w.net.Host(id).DialContext, Rand: rand.New(rand.NewPCG(2, uint64(i))),
			}
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			life := map[string]discovery.Life{}
			for _, other := range all {
				if other != id {
					life[other] = discovery.Linked
				}
			}
			stable, err := discovery.NewStable(discovery.StableConfig{
				Source: s, Advice: true, Self: id, Cluster: "prod",
				Life: func(context.Context) map[string]discovery.Life { return life },
			})
			if err != nil {
				t.Fatal(err)
			}
			sources, stables = append(sources, s), append(stables, stable)
			ctx, cancel := context.WithCancel(w.Context())
			done := make(chan error, 1)
			go func() {
				done <- stable.Watch(ctx, func(s discovery.Snapshot) {
					mu.Lock()
					defer mu.Unlock()
					var ids []string
					for _, n := range s.Nodes {
						ids = append(ids, n.ID)
					}
					lists[i] = append(lists[i], strings.Join(ids, " "))
				})
			}()
			w.ends = append(w.ends, func() {
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		time.Sleep(5 * time.Second)
		mu.Lock()
		for i := range lists {
			if n := len(lists[i]); n == 0 || lists[i][n-1] != "a b c" {
				t.Fatalf("%s knows %q before anything is wrong", all[i], lists[i])
			}
			lists[i] = nil
		}
		mu.Unlock()

		before := w.consul.Requests()
		for phase := range int(lasts / every) {
			act(w, phase)
			time.Sleep(every)
			for i, s := range stables {
				st := s.State()
				bad := mode != consultest.Well && mode != consultest.Stale && mode != consultest.Backwards && mode != consultest.Half
				if every > calm && bad && phase > 0 && !st.Degraded {
					t.Errorf("%s is not degraded: %+v", all[i], st)
				}
				if !st.Known || st.Nodes != nodes {
					t.Errorf("%s: %+v", all[i], st)
				}
			}
		}
		// The most that is asked for: queries once a second, and what is owed anyway.
		if n := w.consul.Requests() - before; n > nodes*int(lasts/time.Second)*3/2 {
			t.Errorf("%d requests of %d nodes in %v", n, nodes, lasts)
		} else {
			t.Logf("%d requests of %d nodes in %v", n, nodes, lasts)
		}
		w.consul.Behave(consultest.Well)
		time.Sleep(75 * time.Second) // a query that was about to wait, and the calm after it
		for i, s := range stables {
			if st := s.State(); st.Degraded || st.Nodes != nodes {
				t.Errorf("%s, afterwards: %+v", all[i], st)
			}
			mu.Lock()
			if len(lists[i]) > 0 {
				t.Errorf("%s was told %q; no peer was ever to leave the list", all[i], lists[i])
			}
			mu.Unlock()
			if p := sources[i].Report().Problem; p != "" {
				t.Errorf("%s, afterwards: %s", all[i], p)
			}
		}
	})
}

// TestManyChanges: a catalog that changes all the time is asked once a second.
func TestManyChanges(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		a := w.watch("a", nil)
		time.Sleep(2 * time.Second)
		before := w.consul.Requests()
		c := Config{Service: "trellis", Cluster: "prod", TTL: time.Minute}
		for i := range 600 {
			c.Self = self(fmt.Sprintf("n%03d", i%100))
			c.Self.Version = fmt.Sprint(i)
			w.consul.Put("dc1", asEntry(c.registration()))
			time.Sleep(100 * time.Millisecond)
		}
		if n := w.consul.Requests() - before; n > 60+60/4 {
			t.Errorf("%d requests in a minute of changes", n)
		}
		time.Sleep(2 * time.Second)
		a.mu.Lock()
		defer a.mu.Unlock()
		if got := a.seen[len(a.seen)-1]; len(got.Nodes) != 101 {
			t.Errorf("%d nodes, want 101", len(got.Nodes))
		}
	})
}

func TestNewRefuses(t *testing.T) {
	good := Config{Cluster: "prod", Self: self("a")}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"no cluster":    func(c *Config) { c.Cluster = "" },
		"a short TTL":   func(c *Config) { c.TTL = time.Second },
		"no self":       func(c *Config) { c.Self = discovery.Node{} },
		"another URL":   func(c *Config) { c.Address = "ftp://x" },
		"no CA":         func(c *Config) { c.CAFile = "no/such/file" },
		"a key missing": func(c *Config) { c.CertFile = "x.crt" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
