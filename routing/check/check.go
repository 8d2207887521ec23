// Package check validates a plan by independent means. It shares with the
// planner the types of the demand and nothing else: every rule of the problem
// is written out once more, plainly, so that a mistake would have to be made
// twice, in two ways, to go unseen.
package check

import (
	"errors"
	"fmt"

	"trellis/routing"
)

// ErrInvalid is wrapped by every error about a plan.
var ErrInvalid = errors.New("invalid plan")

// Loads tolerate rounding in sums, as the specification says.
const loadSlackMbps = 1e-6

// Plan reports the first hard constraint that the plan breaks, nil if none.
func Plan(d *routing.Demand, p *routing.Plan) error {
	if len(p.Tracks) != len(d.Tracks) {
		return fmt.Errorf("%w: %d entries for %d tracks", ErrInvalid, len(p.Tracks), len(d.Tracks))
	}
	egress := make(map[int]float64)
	arcLoad := make(map[[2]int]float64)
	for i := range d.Tracks {
		k, t := &d.Tracks[i], &p.Tracks[i]
		if t.ID != k.ID {
			return fmt.Errorf("%w: entry %d is %q, the track is %q", ErrInvalid, i, t.ID, k.ID)
		}
		if err := Tree(d.Graph, k, t.Tree); err != nil {
			return fmt.Errorf("track %s: %w", k.ID, err)
		}
		if t.Backup.Parent != nil {
			if err := Tree(d.Graph, k, t.Backup); err != nil {
				return fmt.Errorf("track %s, backup: %w", k.ID, err)
			}
		}
		load(k, t.Tree, egress, arcLoad)
	}
	for v := range d.Graph.Len() {
		n := d.Graph.Node(v)
		if n.EgressMbps > 0 && egress[v] > n.EgressMbps+loadSlackMbps {
			return fmt.Errorf("%w: node %s sends %g Mbit/s of %g", ErrInvalid, n.ID, egress[v], n.EgressMbps)
		}
	}
	for a, mbps := range arcLoad {
		arc, _ := d.Graph.Arc(a[0], a[1])
		if arc.CapMbps > 0 && mbps > arc.CapMbps+loadSlackMbps {
			return fmt.Errorf("%w: arc %s -> %s carries %g Mbit/s of %g", ErrInvalid,
				d.Graph.Node(a[0]).ID, d.Graph.Node(a[1]).ID, mbps, arc.CapMbps)
		}
	}
	return nil
}

// load adds what one track's tree puts on nodes and arcs.
func load(k *routing.Track, t routing.Tree, egress map[int]float64, arcLoad map[[2]int]float64) {
	for v, p := range t.Parent {
		if p != routing.None {
			egress[int(p)] += k.RateMbps
			arcLoad[[2]int{int(p), v}] += k.RateMbps
		}
	}
	for _, e := range k.Terminals {
		if e.Node == k.Source || t.Parent[e.Node] != routing.None {
			egress[e.Node] += k.RateMbps * float64(e.Viewers)
		}
	}
}

// Tree reports the first rule that one tree breaks by itself: all but shared
// capacities.
func Tree(g *routing.Graph, k *routing.Track, t routing.Tree) error {
	if len(t.Parent) != g.Len() {
		return fmt.Errorf("%w: the tree has %d nodes, the graph %d", ErrInvalid, len(t.Parent), g.Len())
	}
	if t.Parent[k.Source] != routing.None {
		return fmt.Errorf("%w: the source has a parent", ErrInvalid)
	}
	terminal := make(map[int]bool, len(k.Terminals))
	for _, e := range k.Terminals {
		terminal[e.Node] = true
	}
	children := make([]int, g.Len())
	for v, p := range t.Parent {
		if p == routing.None {
			continue
		}
		if p < 0 || int(p) >= g.Len() {
			return fmt.Errorf("%w: the parent of %s does not exist", ErrInvalid, g.Node(v).ID)
		}
		if _, ok := g.Arc(int(p), v); !ok {
			return fmt.Errorf("%w: there is no arc %s -> %s", ErrInvalid, g.Node(int(p)).ID, g.Node(v).ID)
		}
		children[p]++
	}
	for v := range g.Len() {
		n := g.Node(v)
		if n.MaxChildren >= 0 && children[v] > n.MaxChildren {
			return fmt.Errorf("%w: node %s has %d children of %d", ErrInvalid, n.ID, children[v], n.MaxChildren)
		}
		if t.Parent[v] == routing.None {
			continue
		}
		if children[v] == 0 && !terminal[v] {
			return fmt.Errorf("%w: leaf %s is no terminal", ErrInvalid, n.ID)
		}
		// Walk up: the source must come before the limit and before a circle.
		arcs := 0
		for u := v; u != k.Source; u = int(t.Parent[u]) {
			if t.Parent[u] == routing.None {
				return fmt.Errorf("%w: node %s is not reached from the source", ErrInvalid, n.ID)
			}
			if arcs++; arcs > g.Len() {
				return fmt.Errorf("%w: node %s is on or below a circle", ErrInvalid, n.ID)
			}
		}
		if k.MaxDepth > 0 && arcs > k.MaxDepth {
			return fmt.Errorf("%w: node %s is %d arcs deep of %d", ErrInvalid, n.ID, arcs, k.MaxDepth)
		}
	}
	return nil
}

// Score computes what the plan is worth by walking up from every terminal.
func Score(d *routing.Demand, p *routing.Plan) routing.Score {
	var s routing.Score
	for i := range d.Tracks {
		k, t := &d.Tracks[i], p.Tracks[i].Tree
		for v, u := range t.Parent {
			if u != routing.None {
				a, _ := d.Graph.Arc(int(u), v)
				s.CostUSD += k.RateMbps * 0.45 * a.PricePerGB
			}
		}
		for _, e := range k.Terminals {
			if e.Node != k.Source && t.Parent[e.Node] == routing.None {
				continue
			}
			delay := 0.0
			for v := e.Node; v != k.Source; v = int(t.Parent[v]) {
				u := int(t.Parent[v])
				a, _ := d.Graph.Arc(u, v)
				delay += d.Graph.Node(u).ProcMs + a.DelayMs
			}
			bound := k.BoundMs
			if e.BoundMs > 0 {
				bound = e.BoundMs
			}
			s.Served += e.Viewers
			s.DelayMs += float64(e.Viewers) * delay
			if delay <= bound+1e-9 {
				s.InBound += e.Viewers
			} else {
				s.LateMs += float64(e.Viewers) * (delay - bound)
			}
		}
	}
	return s
}
