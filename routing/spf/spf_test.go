package spf

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

func both(g *Graph, a, b string, cost time.Duration) {
	g.Add(a, b, cost)
	g.Add(b, a, cost)
}

func TestPaths(t *testing.T) {
	var g Graph
	both(&g, "a", "b", 10*ms)
	both(&g, "b", "c", 10*ms)
	both(&g, "a", "c", 30*ms)
	both(&g, "c", "d", 5*ms)
	g.Add("d", "e", ms) // one way
	for _, tc := range []struct {
		src, avoid, dst string
		want            []string
		cost            time.Duration
	}{
		{"a", "", "c", []string{"a", "b", "c"}, 20 * ms},
		{"a", "b", "c", []string{"a", "c"}, 30 * ms},
		{"a", "", "e", []string{"a", "b", "c", "d", "e"}, 26 * ms},
		{"e", "", "a", nil, 0},
		{"a", "c", "d", nil, 0},
		{"a", "a", "b", nil, 0},
		{"a", "", "a", []string{"a"}, 0},
		{"unknown", "", "a", nil, 0},
	} {
		tree := g.From(tc.src, tc.avoid)
		if got := tree.Path(tc.dst); !slices.Equal(got, tc.want) {
			t.Errorf("from %s avoiding %q to %s: %v, want %v", tc.src, tc.avoid, tc.dst, got, tc.want)
		}
		if cost, ok := tree.Cost(tc.dst); cost != tc.cost || ok != (tc.want != nil) {
			t.Errorf("from %s avoiding %q to %s costs %v, %v; want %v", tc.src, tc.avoid, tc.dst, cost, ok, tc.cost)
		}
	}
}

func TestFewerHopsWin(t *testing.T) {
	var g Graph
	both(&g, "a", "b", 5*ms)
	both(&g, "b", "c", 5*ms)
	both(&g, "a", "c", 10*ms)
	if got := g.From("a", "").Path("c"); len(got) != 2 {
		t.Errorf("path %v, want the direct one", got)
	}
}

// TestAgainstBellmanFord compares with the simplest correct algorithm.
func TestAgainstBellmanFord(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(rt, "nodes")
		var g Graph
		type link struct {
			from, to string
			cost     time.Duration
		}
		var links []link
		for range rapid.IntRange(0, 30).Draw(rt, "edges") {
			l := link{
				strconv.Itoa(rapid.IntRange(0, n-1).Draw(rt, "from")), strconv.Itoa(rapid.IntRange(0, n-1).Draw(rt, "to")),
				time.Duration(rapid.IntRange(0, 20).Draw(rt, "ms")) * ms,
			}
			links = append(links, l)
			g.Add(l.from, l.to, l.cost)
		}
		dist := map[string]time.Duration{"0": 0}
		for range n {
			for _, l := range links {
				d, ok := dist[l.from]
				if old, known := dist[l.to]; ok && (!known || d+l.cost < old) {
					dist[l.to] = d + l.cost
				}
			}
		}
		tree := g.From("0", "")
		for i := range n {
			want, ok := dist[strconv.Itoa(i)]
			if got, found := tree.Cost(strconv.Itoa(i)); got != want || found != ok {
				rt.Fatalf("to %d: %v, %v; want %v, %v", i, got, found, want, ok)
			}
		}
	})
}

func BenchmarkFrom100Nodes(b *testing.B) {
	b.ReportAllocs()
	var g Graph
	for i := range 100 {
		for j := range 100 {
			if i != j {
				g.Add(strconv.Itoa(i), strconv.Itoa(j), time.Duration((i*7919+j*104729)%200)*ms)
			}
		}
	}
	for b.Loop() {
		g.From("0", "50")
	}
}
