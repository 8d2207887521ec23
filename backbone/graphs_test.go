package backbone_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trellis/routing/control"
	"trellis/wire"
)

// edges of a graph on few nodes, as pairs.
type graph struct {
	nodes int
	edges [][2]int
}

// connectedGraphs returns all connected graphs of n nodes, one of each shape.
func connectedGraphs(n int) []graph {
	var pairs [][2]int
	for i := range n {
		for j := range i {
			pairs = append(pairs, [2]int{j, i})
		}
	}
	perms := permutations(n)
	seen := map[uint]bool{}
	var all []graph
	for set := range uint(1) << len(pairs) {
		g := graph{nodes: n}
		for k, p := range pairs {
			if set>>k&1 == 1 {
				g.edges = append(g.edges, p)
			}
		}
		if !g.connected() {
			continue
		}
		// The shape is the least set that any naming of the nodes gives.
		least := ^uint(0)
		for _, perm := range perms {
			renamed := uint(0)
			for _, e := range g.edges {
				a, b := perm[e[0]], perm[e[1]]
				renamed |= 1 << slices.Index(pairs, [2]int{min(a, b), max(a, b)})
			}
			least = min(least, renamed)
		}
		if !seen[least] {
			seen[least] = true
			all = append(all, g)
		}
	}
	return all
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

func (g graph) neighbours(i int) []int {
	var all []int
	for _, e := range g.edges {
		if e[0] == i {
			all = append(all, e[1])
		}
		if e[1] == i {
			all = append(all, e[0])
		}
	}
	return all
}

// way returns the nodes from 0 to i on a shortest path, nil if there is none.
func (g graph) way(i int) []int {
	from := map[int]int{0: 0}
	for queue := []int{0}; len(queue) > 0; queue = queue[1:] {
		for _, n := range g.neighbours(queue[0]) {
			if _, ok := from[n]; !ok {
				from[n] = queue[0]
				queue = append(queue, n)
			}
		}
	}
	if _, ok := from[i]; !ok {
		return nil
	}
	path := []int{i}
	for i != 0 {
		i = from[i]
		path = append(path, i)
	}
	slices.Reverse(path)
	return path
}

func (g graph) connected() bool {
	for i := range g.nodes {
		if g.way(i) == nil {
			return false
		}
	}
	return true
}

func names(nodes []int) []string {
	all := make([]string, len(nodes))
	for i, n := range nodes {
		all[i] = nodeName(n)
	}
	return all
}

func nodeName(i int) string { return string(rune('a' + i)) }

// TestNoLoops: on every connected graph of up to five nodes, a planner that has
// lost its mind names parents and backups at random, circles among them. Nobody
// becomes an ancestor of itself for long, nobody misses or repeats an object, and
// when the planner is well again everybody is soon where it says.
func TestNoLoops(t *testing.T) {
	for n := 2; n <= 5; n++ {
		for k, g := range connectedGraphs(n) {
			t.Run(fmt.Sprintf("%d/%d", n, k), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { runMadPlanner(t, g, uint64(100*n+k)) })
			})
		}
	}
}

func runMadPlanner(t *testing.T, g graph, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	plans := &script{}
	c := newCluster(t)
	defer c.close()
	for i := range g.nodes {
		spec := nodeSpec{id: nodeName(i)}
		if i == 0 {
			spec.planner = plans
		}
		c.node(spec)
	}
	for _, e := range g.edges {
		c.link(c.nodes[e[0]], c.nodes[e[1]], pathSpec{delay: time.Duration(5+rng.IntN(20)) * time.Millisecond})
	}
	_, tr := c.nodes[0].publish("room/alice", "t", wire.KindAudio)
	c.start()
	for _, n := range c.nodes[1:] {
		n.waitFor("room/alice")
	}
	time.Sleep(2 * time.Second)
	stop := make(chan struct{})
	done := make(chan uint64)
	var views []*viewer
	for _, n := range c.nodes[1:] {
		views = append(views, n.view("room/alice", "t"))
	}
	time.Sleep(500 * time.Millisecond)
	go func() { done <- c.nodes[0].stream(tr, 5, 100, 80*time.Millisecond, stop) }()
	for range 6 {
		for i := 1; i < g.nodes; i++ {
			near := g.neighbours(i)
			parent, backup := near[rng.IntN(len(near))], near[rng.IntN(len(near))]
			grade := control.Protection(rng.IntN(4))
			plans.set(nodeName(i), grade, names(g.way(parent)), names(g.way(backup)))
		}
		// Somebody comes or goes, so there is something to plan.
		passing := c.nodes[1+rng.IntN(g.nodes-1)].view("room/alice", "t")
		time.Sleep(time.Second)
		passing.stop()
	}
	version := c.nodes[0].routes("room/alice", "t").Version
	t.Logf("edges %v: %d versions", g.edges, version)
	if len(g.edges) >= g.nodes && version < 3 {
		t.Errorf("only %d plans in 6 s", version)
	}
	for i := 1; i < g.nodes; i++ {
		way := g.way(i)
		plans.set(nodeName(i), control.ProtectNone, names(way[:len(way)-1]), nil)
	}
	time.Sleep(8 * time.Second)
	for i := 1; i < g.nodes; i++ {
		r := routeOf(c.nodes[i].routes("room/alice", "t"), nodeName(i))
		var path []string
		for _, h := range r.Path {
			path = append(path, h.Node)
		}
		if want := names(g.way(i)); !slices.Equal(path, want) {
			t.Errorf("%s gets it by %v, planned %v: %s", nodeName(i), path, want, r.Obstacle)
		}
	}
	close(stop)
	groups := <-done
	time.Sleep(time.Second)
	for i, v := range views {
		v.wantAll(t, 0, groups, 5)
		if t.Failed() {
			t.Logf("seed %d, edges %v\n%s", seed, g.edges, c.nodes[i+1].log)
			break
		}
	}
	for _, v := range views {
		v.stop()
	}
}
