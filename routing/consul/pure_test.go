package consul

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"trellis/routing/discovery"
)

func TestNextIndex(t *testing.T) {
	for _, tc := range []struct{ asked, got, want uint64 }{
		{0, 7, 7},
		{7, 7, 7}, // the wait ran out
		{7, 8, 8},
		{7, 6, 0}, // backwards: from the beginning
		{7, 0, 0},
		{0, 0, 1}, // waiting for 0 would not wait
		{1, 0, 0},
	} {
		if got := nextIndex(tc.asked, tc.got); got != tc.want {
			t.Errorf("asked for %d, got %d: next %d, want %d", tc.asked, tc.got, got, tc.want)
		}
	}
}

func TestPace(t *testing.T) {
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, maxBackoff, maxBackoff} {
		if got := backoff(i + 1); got != want {
			t.Errorf("after %d failures: %v, want %v", i+1, got, want)
		}
	}
	if got := backoff(1_000_000); got != maxBackoff {
		t.Errorf("after a million failures: %v", got)
	}
	if gap(0) != minGap || gap(minGap/4) != minGap*3/4 || gap(time.Minute) != 0 {
		t.Errorf("gaps %v, %v, %v", gap(0), gap(minGap/4), gap(time.Minute))
	}
	p := newPace(rand.New(rand.NewPCG(1, 2)))
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		d := p.spread(8 * time.Second)
		least, most = min(least, d), max(most, d)
	}
	if least < 6*time.Second || most > 10*time.Second || most-least < 3*time.Second {
		t.Errorf("spread from %v to %v, want all of 6 s to 10 s", least, most)
	}
}

func self(id string) discovery.Node {
	return discovery.Node{
		ID: id, Region: "eu-west", Provider: "metal", Addr: "192.0.2.7:4443",
		Facts: discovery.Facts{
			URL: "https://eu.example.com", Version: "1.2.3", Class: discovery.ClassLarge, Latitude: 53.35, Longitude: -6.26,
		},
	}
}

// asEntry is what Consul makes of a registration.
func asEntry(r *api.AgentServiceRegistration) *api.ServiceEntry {
	return &api.ServiceEntry{
		Node:    &api.Node{Node: "host", Address: "198.51.100.1"},
		Service: &api.AgentService{ID: r.ID, Service: r.Name, Address: r.Address, Port: r.Port, Meta: r.Meta},
		Checks:  api.HealthChecks{{Status: r.Check.Status}},
	}
}

// TestRegistrationIsFound: what a node registers is what others find.
func TestRegistrationIsFound(t *testing.T) {
	full, bare := self("eu-1"), discovery.Node{ID: "eu-2", Region: "eu-west", Addr: "[2001:db8::1]:4443"}
	for _, n := range []discovery.Node{full, bare} {
		c := Config{Service: "trellis", Cluster: "prod", TTL: 15 * time.Second, Self: n}
		r := c.registration()
		if len(r.Meta) > 64 || r.Check.TTL != "15s" || r.Check.DeregisterCriticalServiceAfter != "10m0s" || r.ID != "trellis-"+n.ID {
			t.Errorf("%+v, %+v", r, r.Check)
		}
		f, err := parse(asEntry(r), "prod")
		if err != nil || !f.passing || !cmp.Equal(f.Node, n) {
			t.Errorf("%+v, %v: %s", f, err, cmp.Diff(n, f.Node))
		}
	}
}

func TestParse(t *testing.T) {
	good := func(change func(*api.ServiceEntry)) *api.ServiceEntry {
		c := Config{Service: "trellis", Cluster: "prod", TTL: 15 * time.Second, Self: self("eu-1")}
		e := asEntry(c.registration())
		change(e)
		return e
	}
	for _, tc := range []struct {
		name, err string
		change    func(*api.ServiceEntry)
	}{
		{"good", "", func(*api.ServiceEntry) {}},
		{"no address of its own", "", func(e *api.ServiceEntry) { e.Service.Address = "" }},
		{"no agent", "", func(e *api.ServiceEntry) { e.Node = nil }},
		{"no service", "without a service", func(e *api.ServiceEntry) { e.Service = nil }},
		{"no address at all", "no address", func(e *api.ServiceEntry) { e.Service.Address, e.Node = "", nil }},
		{"no meta", "of another cluster", func(e *api.ServiceEntry) { e.Service.Meta = nil }},
		{"another cluster", "of another cluster", func(e *api.ServiceEntry) { e.Service.Meta["cluster"] = "test" }},
		{"no id", "node id", func(e *api.ServiceEntry) { delete(e.Service.Meta, "node") }},
		{"a path for an id", "node id", func(e *api.ServiceEntry) { e.Service.Meta["node"] = "../x" }},
		{"no region", "region", func(e *api.ServiceEntry) { delete(e.Service.Meta, "region") }},
		{"no port", "not in 1..65535", func(e *api.ServiceEntry) { e.Service.Port = 0 }},
		{"port out of range", "not in 1..65535", func(e *api.ServiceEntry) { e.Service.Port = 70_000 }},
		{"half a place", "place", func(e *api.ServiceEntry) { delete(e.Service.Meta, "longitude") }},
		{"no such place", "no place", func(e *api.ServiceEntry) { e.Service.Meta["latitude"] = "NaN" }},
		{"a long URL", "at most", func(e *api.ServiceEntry) { e.Service.Meta["url"] = strings.Repeat("x", 1000) }},
	} {
		f, err := parse(good(tc.change), "prod")
		if tc.err == "" && (err != nil || f.ID != "eu-1") || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: %+v, %v, want %q", tc.name, f, err, tc.err)
		}
	}
	list := []*api.ServiceEntry{
		nil, good(func(*api.ServiceEntry) {}), good(func(e *api.ServiceEntry) { e.Service.Meta["cluster"] = "x" }),
		good(func(e *api.ServiceEntry) { e.Service.Port = 0 }),
	}
	nodes, bad, why := parseAll(list, "prod")
	if len(nodes) != 1 || bad != 2 || why == nil || errors.Is(why, errForeign) {
		t.Errorf("%+v, %d bad, %v: want one node, two bad ones, and the foreign one passed over", nodes, bad, why)
	}
}

func TestCatalogSnapshot(t *testing.T) {
	n := func(id, addr string, passing bool) found {
		return found{Node: discovery.Node{ID: id, Region: "r", Addr: addr}, passing: passing}
	}
	for _, tc := range []struct {
		name    string
		c       catalog
		want    string
		partial bool
		twice   string
	}{
		{"nothing yet", catalog{}, "", true, ""},
		{"one datacenter", catalog{"a": {n("y", "y:1", true), n("x", "x:1", false)}}, "x@x:1 y@y:1", false, ""},
		{"one has not answered", catalog{"a": {n("x", "x:1", true)}, "b": nil}, "x@x:1", true, ""},
		{"one has nobody", catalog{"a": {n("x", "x:1", true)}, "b": {}}, "x@x:1", false, ""},
		{"the same twice", catalog{"a": {n("x", "x:1", true)}, "b": {n("x", "x:1", true)}}, "x@x:1", false, ""},
		{"twice, the first", catalog{"b": {n("x", "b:1", true)}, "a": {n("x", "a:1", true)}}, "x@a:1", false, "x"},
		{"twice, the one that passes", catalog{"a": {n("x", "a:1", false)}, "b": {n("x", "b:1", true)}}, "x@b:1", false, "x"},
	} {
		s, twice := tc.c.snapshot()
		var got []string
		for _, n := range s.Nodes {
			got = append(got, n.ID+"@"+n.Addr)
		}
		if strings.Join(got, " ") != tc.want || s.Partial != tc.partial || strings.Join(twice, " ") != tc.twice {
			t.Errorf("%s: %v, partial %v, twice %v; want %q, %v, %q", tc.name, got, s.Partial, twice, tc.want, tc.partial, tc.twice)
		}
	}
}

func TestReport(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := report{problems: map[string]string{}}
	want := func(after time.Duration, problem string) {
		t.Helper()
		if got := r.at(now.Add(after)); got.Problem != problem {
			t.Errorf("after %v: %q, want %q", after, got.Problem, problem)
		}
	}
	want(0, "")
	r.note("b", errors.New("two\n lines"), now)
	r.note("a", errors.New("one"), now)
	want(0, "a: one; b: two lines")
	r.note("a", nil, now.Add(time.Second))
	want(time.Second, "b: two lines")
	r.note("b", nil, now.Add(2*time.Second))
	want(2*time.Second, "a moment ago: a: one; b: two lines")
	want(calm, "")
	if got := r.at(now).LastSuccess; !got.Equal(now.Add(2 * time.Second)) {
		t.Errorf("last success %v", got)
	}
	r.note("a", errors.New(strings.Repeat("é", 1000)), now)
	if got := r.at(now).Problem; len(got) > maxProblemBytes+10 {
		t.Errorf("%d bytes of a problem", len(got))
	}
}
