package static

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trellis/routing/discovery"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, in, err string
		nodes         int
	}{
		{"two nodes", "peers:\n- {id: b, region: r, addr: '192.0.2.1:1'}\n- {id: a, region: r, provider: p, addr: '[::1]:65535'}\n", "", 2},
		{"empty", "", "", 0},
		{"no peers", "peers: []", "", 0},
		{"unknown key", "peers:\n- {id: a, regoin: r, addr: 'h:1'}", "line 2: field regoin not found", 0},
		{"twice", "peers:\n- {id: a, region: r, addr: 'h:1'}\n- {id: a, region: r, addr: 'h:2'}", "node a is listed twice", 0},
		{"no port", "peers:\n- {id: a, region: r, addr: h}", "missing port", 0},
		{"port 0", "peers:\n- {id: a, region: r, addr: 'h:0'}", "not in 1..65535", 0},
		{"bad id", "peers:\n- {id: a/b, region: r, addr: 'h:1'}", "node id", 0},
		{"no region", "peers:\n- {id: a, addr: 'h:1'}", "region", 0},
	} {
		s, err := Parse([]byte(tc.in))
		switch {
		case tc.err == "" && err != nil, tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("%s: %v, want %q", tc.name, err, tc.err)
		case len(s.Nodes) != tc.nodes:
			t.Errorf("%s: %d nodes, want %d", tc.name, len(s.Nodes), tc.nodes)
		}
	}
	s, err := Parse([]byte("peers:\n- {id: b, region: r, addr: 'h:1'}\n- {id: a, region: r, addr: 'h:2'}"))
	if err != nil || s.Nodes[0].ID != "a" {
		t.Errorf("%+v, %v: want sorted", s, err)
	}
	if n, ok := s.Find("b"); !ok || n.Addr != "h:1" {
		t.Errorf("Find(b) = %+v, %v", n, ok)
	}
	if _, ok := s.Find("c"); ok {
		t.Error("Find(c) found something")
	}
}

// TestReload follows a file through being replaced, broken and removed. Each step
// waits for what Watch tells, never for time.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers.yaml")
	replace := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	const one, two = "peers:\n- {id: a, region: r, addr: 'h:1'}\n", "peers:\n- {id: a, region: r, addr: 'h:1'}\n- {id: b, region: r, addr: 'h:2'}\n"
	replace(one)
	s, err := New(Config{File: file})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan discovery.Snapshot, 10)
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, func(s discovery.Snapshot) { seen <- s }) }()
	want := func(n int) {
		t.Helper()
		if got := <-seen; len(got.Nodes) != n {
			t.Fatalf("%d nodes, want %d", len(got.Nodes), n)
		}
	}
	want(1)
	replace(two)
	want(2)
	replace("peers: [") // kept: the next thing seen is the list after it
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	replace(one)
	want(1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{File: "no/such/file"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want not exist", err)
	}
	if _, err := New(Config{File: "x", Nodes: make([]discovery.Node, 1)}); err == nil {
		t.Error("both a list and a file were accepted")
	}
}
