package control

import (
	"cmp"
	"slices"
	"time"
)

// Controller decides the plans of one origin. It remembers what it decided, and
// why, between decisions. Make it with [New]. It is not safe for concurrent use.
type Controller struct {
	cfg Config

	net     network
	acc     account
	find    finder
	tracks  map[string]*track
	groups  []*group
	buckets map[groupKey][]*group
	round   uint64
	version uint64

	now     time.Time
	names   []string // of the nodes of the last snapshot
	viewers int64    // of all tracks
	moved   []movedViewers
	fulls   int // full plans made in this decision
	refresh int // where the next decision goes on with full plans
}

// movedViewers is an entry in the account of routine moves.
type movedViewers struct {
	at      time.Time
	viewers int64
}

// New returns a controller that has decided nothing yet.
func New(cfg Config) *Controller {
	cfg = cfg.withDefaults()
	return &Controller{
		cfg: cfg, net: network{origin: -1},
		tracks: map[string]*track{}, buckets: map[groupKey][]*group{},
	}
}

// Decide takes what is known now, and returns the plans that have changed, by
// name of the track. A snapshot without the origin changes nothing: the origin
// exists, so the snapshot is wrong. Times that run backwards stand still. The
// snapshot is not kept. Plans share what they have in common: nobody may change
// what they hold.
func (c *Controller) Decide(s Snapshot) []Plan {
	if !slices.ContainsFunc(s.Nodes, func(n Node) bool { return n.ID == c.cfg.Origin }) || c.cfg.Origin == "" {
		return nil
	}
	if s.Now.After(c.now) {
		c.now = s.Now
	}
	s.Now = c.now
	names := c.names[:0]
	for i := range c.net.nodes {
		names = append(names, c.net.nodes[i].ID)
	}
	c.names = names
	renumbered := c.net.load(&s, &c.cfg)
	if renumbered != nil {
		done := map[*group]bool{}
		for _, k := range c.tracks {
			if k.group != nil && !done[k.group] {
				done[k.group] = true
				k.group.renumber(renumbered, names)
			}
		}
	}
	c.regroup(&s)
	c.openAccount()
	for _, g := range c.groups {
		g.mount(c)
	}
	// Whom most depend on comes first where room is short.
	order := slices.Clone(c.groups)
	slices.SortStableFunc(order, func(a, b *group) int { return cmp.Compare(b.demand.viewers, a.demand.viewers) })
	for _, g := range order {
		g.repair(c)
	}
	c.planFull(order)
	for _, g := range order {
		g.improve(c)
	}
	c.protectAll(order)
	return c.publish()
}

// Plans returns all plans as they are now, with delays and figures of the last
// snapshot, by name of the track. Changed is empty. Tracks may share the slices.
func (c *Controller) Plans() []Plan {
	var out []Plan
	for _, g := range c.groups {
		var told sheets
		for _, k := range g.tracks {
			t := told.of(c, g, k.rate)
			p := Plan{Track: k.name, Version: k.version, Routes: t.routes, Summary: t.summary}
			p.Summary.Moved = k.moved
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Plan) int { return cmp.Compare(a.Track, b.Track) })
	return out
}

// openAccount says how much room the nodes have for children of these tracks:
// what they may send, less what they send now for others. What our tracks take
// now is given back; viewers are the edge's business, and not taken from it.
func (c *Controller) openAccount() {
	n := len(c.net.nodes)
	c.acc.room = make([]float64, n)
	c.acc.used = make([]float64, n)
	c.acc.reserve = make([]float64, n)
	c.acc.arcUsed = make([]float64, len(c.net.arcs))
	own := make([]float64, n)
	c.viewers = 0
	for _, g := range c.groups {
		c.viewers += g.demand.viewers
		for _, w := range g.demand.list {
			u := w.parent
			if u < 0 && g.tree.c[w.node].in {
				u = g.tree.c[w.node].parent
			}
			if u >= 0 {
				own[u] += g.tree.rate
			}
		}
	}
	for u := range c.acc.room {
		v := &c.net.nodes[u]
		if v.EgressMbps == 0 {
			c.acc.room[u] = -1
			continue
		}
		c.acc.room[u] = max(0, v.EgressMbps-max(0, v.UsedMbps-own[u]))
	}
}

// allows reports whether a routine move of so many viewers is within the budget,
// and if so notes it.
func (c *Controller) allows(viewers int64) bool {
	sum := int64(0)
	kept := c.moved[:0]
	for _, m := range c.moved {
		if c.now.Sub(m.at) < c.cfg.Rest {
			kept = append(kept, m)
			sum += m.viewers
		}
	}
	c.moved = kept
	if sum > 0 && float64(sum+viewers) > c.cfg.MovedShare*float64(c.viewers) {
		return false
	}
	c.moved = append(c.moved, movedViewers{c.now, viewers})
	return true
}
