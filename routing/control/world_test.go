package control_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"trellis/routing/control"
)

// world is a mesh that obeys a controller: nodes attach themselves, carry out what
// plans say a little later, and go to their backups when a parent is lost.
type world struct {
	t      *testing.T
	c      *control.Controller
	origin string
	s      control.Snapshot
	down   map[string]bool
	routes map[string]map[string]control.Route // by track, node
	parent map[string]map[string]string        // what is
	plans  map[string]control.Plan
	told   []control.Plan // by the last step
	moves  int            // of nodes that had a path before
	moved  map[string]int // the same by node
	// disobey, if not nil, reports whether a node does not move.
	disobey func(node string) bool
	loose   bool
	depth   int // of paths; 0: not checked
}

func newWorld(t *testing.T, cfg control.Config, s control.Snapshot) *world {
	t.Helper()
	return &world{
		t: t, c: control.New(cfg), origin: cfg.Origin, s: s, down: map[string]bool{},
		routes: map[string]map[string]control.Route{}, parent: map[string]map[string]string{}, plans: map[string]control.Plan{},
		moved: map[string]int{},
	}
}

func (w *world) link(from, to string) *control.Link {
	for i := range w.s.Links {
		if w.s.Links[i].From == from && w.s.Links[i].To == to {
			return &w.s.Links[i]
		}
	}
	w.t.Fatalf("no link %s -> %s", from, to)
	return nil
}

// snapshot is what the origin sees: nodes that are down have gone, and so have
// their links.
func (w *world) snapshot() control.Snapshot {
	s := control.Snapshot{Now: w.s.Now}
	for _, n := range w.s.Nodes {
		if !w.down[n.ID] {
			s.Nodes = append(s.Nodes, n)
		}
	}
	for _, l := range w.s.Links {
		if !w.down[l.From] && !w.down[l.To] {
			s.Links = append(s.Links, l)
		}
	}
	for _, k := range w.s.Tracks {
		entries := map[string]control.Demand{}
		for _, d := range k.Demand {
			if !w.down[d.Node] && d.Viewers > 0 {
				entries[d.Node] = d
			}
		}
		for node, parent := range w.parent[k.Name] {
			if w.down[node] {
				continue
			}
			d := entries[node]
			d.Node, d.Parent = node, parent
			entries[node] = d
		}
		k.Demand = nil
		for _, d := range entries {
			k.Demand = append(k.Demand, d)
		}
		slices.SortFunc(k.Demand, func(a, b control.Demand) int { return cmp.Compare(a.Node, b.Node) })
		s.Tracks = append(s.Tracks, k)
	}
	return s
}

// step decides after the given time, checks what was decided, and carries it out.
func (w *world) step(after time.Duration) {
	w.t.Helper()
	w.s.Now = w.s.Now.Add(after)
	w.failOver()
	s := w.snapshot()
	w.told = w.c.Decide(s)
	check := newChecker(w.origin, &s)
	check.loose, check.depth = w.loose, w.depth
	for _, p := range w.told {
		if p.Version <= w.plans[p.Track].Version {
			w.t.Fatalf("track %s: version %d after %d", p.Track, p.Version, w.plans[p.Track].Version)
		}
		w.checkChanged(check, &p)
		w.plans[p.Track] = p
	}
	if err := check.plans(w.c.Plans()); err != nil {
		w.t.Fatalf("after %v: %v", w.s.Now.Sub(start), err)
	}
	if err := check.plans(w.current(&s)); err != nil {
		w.t.Fatalf("told by %v: %v", w.s.Now.Sub(start), err)
	}
	w.obey()
}

// current lists what was told last of the tracks that there are, with summaries of
// now.
func (w *world) current(s *control.Snapshot) []control.Plan {
	var out []control.Plan
	for _, p := range w.c.Plans() {
		told := w.plans[p.Track]
		told.Summary = p.Summary
		out = append(out, told)
	}
	return out
}

// checkChanged compares a plan with the one before it, and counts moves.
func (w *world) checkChanged(check *checker, p *control.Plan) {
	w.t.Helper()
	old, now := w.routes[p.Track], map[string]control.Route{}
	var changed []string
	for _, r := range p.Routes {
		now[r.Node] = r
		b, ok := old[r.Node]
		if !ok || !slices.Equal(b.Path, r.Path) || !slices.Equal(b.Backup, r.Backup) || b.Protect != r.Protect {
			changed = append(changed, r.Node)
		}
		if ok && b.Path[len(b.Path)-1] != r.Path[len(r.Path)-1] {
			w.moves++
			w.moved[r.Node]++
		}
	}
	for node := range old {
		if _, ok := now[node]; !ok {
			changed = append(changed, node)
		}
	}
	w.checkOrder(check, p.Track, old, now)
	slices.Sort(changed)
	if !slices.Equal(changed, p.Changed) {
		w.t.Fatalf("after %v, track %s: changed are %v, the plan says %v", w.s.Now.Sub(start), p.Track, changed, p.Changed)
	}
	w.routes[p.Track] = now
}

// checkOrder checks that moves may be made in any order: with every node at its
// old parent or at its new one nobody hangs below itself. Losses are exempt: there
// the old path delivers nothing.
func (w *world) checkOrder(check *checker, track string, old, now map[string]control.Route) {
	w.t.Helper()
	up := map[string][]string{}
	for node, r := range now {
		up[node] = append(up[node], r.Path[len(r.Path)-1])
		b, ok := old[node]
		if !ok {
			continue
		}
		if check.path("old path", b.Path, node) != nil {
			delete(up, node)
			continue
		}
		up[node] = append(up[node], b.Path[len(b.Path)-1])
	}
	state := map[string]int{}
	var visit func(node string)
	visit = func(node string) {
		state[node] = 1
		for _, u := range up[node] {
			if state[u] == 1 {
				w.t.Fatalf("after %v, track %s: %s and %s feed each other while moves are made\n%v\n%v",
					w.s.Now.Sub(start), track, node, u, old, now)
			}
			if state[u] == 0 {
				visit(u)
			}
		}
		state[node] = 2
	}
	for node := range up {
		if state[node] == 0 {
			visit(node)
		}
	}
}

// failOver moves nodes whose parent is gone to their backup.
func (w *world) failOver() {
	for track, parents := range w.parent {
		for node, parent := range parents {
			if w.down[node] {
				delete(parents, node)
				continue
			}
			if !w.down[parent] {
				continue
			}
			delete(parents, node)
			if r := w.routes[track][node]; len(r.Backup) > 0 && r.Protect >= control.ProtectWarm {
				if b := r.Backup[len(r.Backup)-1]; !w.down[b] {
					parents[node] = b
				}
			}
		}
	}
}

// obey has nodes take tracks from where the plan says.
func (w *world) obey() {
	for _, k := range w.s.Tracks {
		parents := map[string]string{}
		for node, r := range w.routes[k.Name] {
			to := r.Path[len(r.Path)-1]
			if w.disobey != nil && w.disobey(node) {
				if old, ok := w.parent[k.Name][node]; ok {
					to = old
				}
			}
			if !w.down[to] && !w.down[node] {
				parents[node] = to
			}
		}
		w.parent[k.Name] = parents
	}
}

func TestPlansStayValidWhileTheWorldChanges(t *testing.T) {
	for seed := range scale(t, 100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 2))
			s := randomSnapshot(r)
			for i := range s.Nodes { // limits of egress stay as they are; see the capacity tests
				s.Nodes[i].EgressMbps = 0
			}
			for i := range s.Links {
				s.Links[i].CapacityMbps = 0
			}
			w := newWorld(t, control.Config{Origin: "n00", Seed: uint64(seed), MaxDepth: 2 + seed%8}, s)
			w.depth = 2 + seed%8
			if seed%3 == 0 {
				w.loose = true // who disobeys may be where there is no room
				w.disobey = func(string) bool { return r.IntN(4) == 0 }
			}
			for range 40 {
				w.disturb(r)
				w.step(time.Duration(100+r.IntN(8000)) * time.Millisecond)
			}
		})
	}
}

// disturb changes something.
func (w *world) disturb(r *rand.Rand) {
	n := &w.s.Nodes[r.IntN(len(w.s.Nodes))]
	k := &w.s.Tracks[r.IntN(len(w.s.Tracks))]
	switch r.IntN(8) {
	case 0:
		if n.ID != w.origin {
			w.down[n.ID] = !w.down[n.ID]
		}
	case 1:
		n.Draining = !n.Draining
	case 2:
		n.Overloaded = !n.Overloaded
	case 3, 4:
		k.Demand = slices.Clone(k.Demand)
		if len(k.Demand) > 0 {
			k.Demand[r.IntN(len(k.Demand))].Viewers = r.IntN(40)
		}
	case 5:
		if !slices.ContainsFunc(k.Demand, func(d control.Demand) bool { return d.Node == n.ID }) {
			k.Demand = append(slices.Clone(k.Demand), control.Demand{Node: n.ID, Viewers: 1 + r.IntN(20)})
			slices.SortFunc(k.Demand, func(a, b control.Demand) int { return cmp.Compare(a.Node, b.Node) })
		}
	default:
		for range 3 {
			if len(w.s.Links) == 0 {
				return
			}
			l := &w.s.Links[r.IntN(len(w.s.Links))]
			l.Delay = time.Duration(1+r.IntN(90)) * time.Millisecond
			l.DelayP95 = l.Delay + time.Duration(r.IntN(5))*time.Millisecond
			l.Calm = r.IntN(10) > 0
		}
	}
}
