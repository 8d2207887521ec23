package control

import (
	"math"
	"slices"
	"time"

	"trellis/routing"
)

// resortMs is added to links that are a last resort when a tree is planned as a
// whole: more than any path takes.
const resortMs = 1e5

// smallNetwork is a number of nodes up to which a quick search finds what there is
// to find.
const smallNetwork = 16

// planFull plans groups as a whole: those that are new, together, and then one by
// one those for which something material has changed.
func (c *Controller) planFull(order []*group) {
	c.fulls = 0
	var fresh []*group
	for _, g := range order {
		if !g.planned && len(fresh) < c.cfg.FullPlans {
			fresh = append(fresh, g)
		}
	}
	if len(fresh) > 0 {
		c.planFresh(fresh)
		return
	}
	for i := range order {
		if c.fulls >= c.cfg.FullPlans {
			break
		}
		g := order[(i+c.refresh)%len(order)]
		if !g.stale(c) {
			continue
		}
		c.fulls++
		c.replan(g)
	}
	if len(order) > 0 {
		c.refresh = (c.refresh + 1) % len(order)
	}
}

// stale reports whether a full plan could find something that single moves do not.
func (g *group) stale(c *Controller) bool {
	switch {
	case len(g.demand.list) == 0 || c.now.Sub(g.plannedAt) < c.cfg.Refresh:
		return false
	case !g.better.IsZero():
		return c.now.Sub(g.better) >= c.cfg.Hold
	case g.plannedEpoch != c.net.epoch:
		return true
	}
	return math.Abs(float64(g.demand.viewers-g.plannedFor)) > grown*float64(g.plannedFor)
}

// grown is the share by which a demand must have changed for a full plan.
const grown = 0.2

func (g *group) notePlanned(c *Controller) {
	g.planned, g.plannedAt, g.plannedEpoch, g.plannedFor = true, c.now, c.net.epoch, g.demand.viewers
}

// planFresh plans new groups as a whole, in the room that the others leave.
func (c *Controller) planFresh(groups []*group) {
	for _, g := range groups {
		g.notePlanned(c)
	}
	plan, ok := c.solve(groups, nil)
	if !ok {
		return // everybody has the place where they attached
	}
	for i, g := range groups {
		g.become(c, plan.Tracks[i].Tree, true)
	}
}

// solve plans groups in the room that the others leave: from nothing, or with a
// gate from the running tree.
func (c *Controller) solve(groups []*group, running *routing.Plan) (*routing.Plan, bool) {
	graph, err := c.graph(groups)
	if err != nil {
		return nil, false // numbers were checked, so this is not reached
	}
	d := &routing.Demand{Graph: graph}
	for _, g := range groups {
		d.Tracks = append(d.Tracks, g.asTrack())
	}
	p, err := routing.New(d, routing.Config{Seed: c.cfg.Seed, Quick: len(groups) > 1 || len(c.net.nodes) <= smallNetwork})
	if err != nil {
		return nil, false
	}
	if running != nil {
		p.PlanGated(running)
	} else {
		p.Plan(nil)
	}
	return p.Result(), true
}

// asTrack is the group's demand as the planner wants it.
func (g *group) asTrack() routing.Track {
	k := routing.Track{
		MaxDepth: int(g.tree.deepest), ID: g.tracks[0].name, Source: int(g.tree.net.origin), BoundMs: g.bound,
		RateMbps: max(g.tree.rate, 1e-3), // a track without a measured rate still is to be carried
	}
	for _, w := range g.demand.list {
		if w.viewers > 0 {
			k.Terminals = append(k.Terminals, routing.Terminal{Node: int(w.node), Viewers: w.viewers, BoundMs: g.tree.c[w.node].bound})
		}
	}
	return k
}

// graph is the network as the planner wants it, less what groups beside the given
// ones take. Viewers are no load on the planner's nodes: their room is added.
func (c *Controller) graph(groups []*group) (*routing.Graph, error) {
	n := &c.net
	own := make([]float64, len(n.nodes))
	ownArc := make([]float64, len(n.arcs))
	local := make([]float64, len(n.nodes))
	running := make([]bool, len(n.arcs))
	for _, g := range groups {
		for v := range g.tree.c {
			if x := &g.tree.c[v]; x.arc >= 0 {
				own[x.parent] += g.tree.rate
				ownArc[x.arc] += g.tree.rate
				running[x.arc] = true
			}
			local[v] += max(g.tree.rate, 1e-3) * float64(g.tree.c[v].viewers)
		}
	}
	nodes := make([]routing.Node, len(n.nodes))
	for v := range nodes {
		x := &n.nodes[v]
		nodes[v] = routing.Node{ID: x.ID, Region: x.Region, Provider: x.Provider, ProcMs: ms(x.Delay), MaxChildren: x.MaxChildren}
		if !n.relays(int32(v)) {
			nodes[v].MaxChildren = 0
		}
		if room := c.acc.room[v]; room >= 0 {
			room = max(0, room-max(0, c.acc.used[v]-own[v]))
			nodes[v].EgressMbps = room + local[v]
			if nodes[v].EgressMbps == 0 {
				nodes[v].MaxChildren = 0 // no egress would mean no limit
			}
		}
	}
	arcs := make([]routing.Arc, 0, len(n.arcs))
	for i := range n.arcs {
		a := &n.arcs[i]
		u := &n.nodes[a.from]
		closed := (u.Overloaded || u.Draining) && !running[i]
		if !n.relays(a.from) || closed && a.from != n.origin {
			continue
		}
		x := routing.Arc{From: int(a.from), To: int(a.to), DelayMs: a.damper.value, PricePerGB: a.price}
		if a.capacity > 0 {
			x.CapMbps = a.capacity - max(0, c.acc.arcUsed[i]-ownArc[i])
			if x.CapMbps <= 0 {
				continue
			}
		}
		if !a.calm || closed {
			x.DelayMs += resortMs
		}
		arcs = append(arcs, x)
	}
	return routing.NewGraph(nodes, arcs)
}

// replan plans a running group anew from where it is, and follows the result if it
// has been better by the gate's margins for long enough.
func (c *Controller) replan(g *group) {
	waited := !g.better.IsZero()
	g.notePlanned(c)
	now := routing.NewTree(len(g.tree.c))
	for v := range g.tree.c {
		if g.tree.carries(int32(v)) && g.tree.c[v].parent >= 0 {
			now.Parent[v] = g.tree.c[v].parent
		}
	}
	plan, ok := c.solve([]*group{g}, &routing.Plan{Tracks: []routing.TrackPlan{{ID: g.tracks[0].name, Tree: now}}})
	if !ok || slices.Equal(plan.Tracks[0].Tree.Parent, now.Parent) {
		g.better = time.Time{}
		return
	}
	if !waited {
		g.better = c.now
		g.later(c, c.cfg.Hold)
		return
	}
	g.better = time.Time{}
	g.become(c, plan.Tracks[0].Tree, false)
}

// become moves the group's tree to another one. Unless it is the first plan, who
// has not rested stays, and so does everybody when the budget is used up.
func (g *group) become(c *Controller, to routing.Tree, first bool) {
	before := g.worth()
	var moved []int32
	t := &g.tree
	t.careful = true
	for _, v := range g.topDown(to) {
		if g.follows(c, v, to.Parent[v], first) && !first {
			moved = append(moved, v)
		}
	}
	t.careful = false
	g.demote()
	after := g.worth()
	for _, v := range moved {
		w := &g.spots[v].why
		w.reason = ReasonFaster
		w.was, w.is, w.limit = before.mean, after.mean, 0
		switch {
		case after.inBound > before.inBound:
			w.reason, w.viewers = ReasonLate, after.inBound-before.inBound
		case after.cost < before.cost:
			w.reason = ReasonCheaper
			w.was, w.is, w.limit = before.cost, after.cost, c.cfg.GainCost
		}
	}
}

// worth is what a tree is worth as a whole.
type worth struct {
	inBound int64
	cost    float64 // USD per hour
	mean    float64 // ms
}

func (g *group) worth() worth {
	t := &g.tree
	w := worth{cost: g.cost() * t.rate * gbPerMbpsHour}
	served := int64(0)
	for v := range t.c {
		x := &t.c[v]
		if x.viewers == 0 || !t.rooted(int32(v)) {
			continue
		}
		served += x.viewers
		w.mean += float64(x.viewers) * x.delay
		if x.delay <= x.bound {
			w.inBound += x.viewers
		}
	}
	w.mean /= max(float64(served), 1)
	return w
}

// follows hangs v below u, as a full plan wants it. It reports whether v moved
// there from another place.
func (g *group) follows(c *Controller, v, u int32, first bool) bool {
	t := &g.tree
	x := &t.c[v]
	if x.in && x.parent == u && !x.standby || !t.rooted(u) || t.under(u, v) {
		return false
	}
	i := c.net.find(u, v)
	if i < 0 {
		return false
	}
	p := place{n: 1}
	p.arcs[0] = i
	if !x.in {
		if ok, _ := t.usable(u, v, i); ok && t.c[u].depth < t.deepest {
			t.c[v] = x.fresh(false)
			g.spots[v] = newSpotAfter(g.spots[v])
			g.moveTo(c, v, &p, ReasonPlanned, "")
		}
		return false
	}
	if !first && (g.rested(c, v) > 0 || g.pinned(c, v) || g.hushed(c, v, &p)) {
		return false
	}
	home, arc := t.cut(v)
	if ok, resort := t.usable(u, v, i); !ok || resort || t.c[u].depth+1+t.height(v) > t.deepest || !first && !c.allows(t.below(v)) {
		t.link(v, home, arc)
		return false
	}
	t.c[v].standby = false
	g.moveTo(c, v, &p, ReasonPlanned, g.nameOf(home))
	if !first {
		g.noteMove(c, v)
	}
	return true
}

func (g *group) nameOf(v int32) string {
	if v < 0 {
		return ""
	}
	return g.tree.net.nodes[v].ID
}

// topDown lists the nodes of a planner's tree, parents first.
func (g *group) topDown(to routing.Tree) []int32 {
	kids := make([][]int32, len(to.Parent))
	for v, u := range to.Parent {
		if u != routing.None {
			kids[u] = append(kids[u], int32(v))
		}
	}
	out := slices.Clone(kids[g.tree.net.origin])
	for i := 0; i < len(out); i++ {
		out = append(out, kids[out[i]]...)
	}
	return out
}
