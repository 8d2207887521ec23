package control

import (
	"cmp"
	"slices"
)

// wants is a track's demand with numbers for names. Tracks with the same demand
// share it.
type wants struct {
	list    []want // by node
	unknown []Demand
	viewers int64 // all, those at unknown nodes included
	hash    uint64
}

type want struct {
	node, parent int32 // -1: not known
	viewers      int64
}

// maxViewers keeps sums of viewers exact.
const maxViewers = 1 << 40

// resolve turns names into numbers. Of two entries of a node the first counts.
func (n *network) resolve(demand []Demand) *wants {
	byNode := func(a, b Demand) int { return cmp.Compare(a.Node, b.Node) }
	if !slices.IsSortedFunc(demand, byNode) {
		demand = slices.Clone(demand)
		slices.SortStableFunc(demand, byNode)
	}
	w := &wants{list: make([]want, 0, len(demand)), hash: 14695981039346656037}
	at := 0 // nodes come in order too
	lastID, last := "", int32(-1)
	for i := range demand {
		e := &demand[i]
		if i > 0 && e.Node == demand[i-1].Node {
			continue
		}
		viewers := int64(min(max(e.Viewers, 0), maxViewers))
		w.viewers += viewers
		for at < len(n.nodes) && n.nodes[at].ID < e.Node {
			at++
		}
		if at == len(n.nodes) || n.nodes[at].ID != e.Node {
			if viewers > 0 {
				w.unknown = append(w.unknown, *e)
			}
			continue
		}
		if e.Parent != lastID {
			lastID, last = e.Parent, -1
			if j, ok := n.index[e.Parent]; ok {
				last = j
			}
		}
		x := want{node: int32(at), parent: last, viewers: viewers}
		if x.node == n.origin {
			x.parent = -1
		}
		w.list = append(w.list, x)
		for _, v := range [...]uint64{uint64(x.node), uint64(x.parent), uint64(x.viewers)} {
			w.hash = (w.hash ^ v) * 1099511628211
		}
	}
	return w
}

func (w *wants) equal(o *wants) bool {
	return w == o || w.hash == o.hash && w.viewers == o.viewers && slices.Equal(w.list, o.list) && slices.Equal(w.unknown, o.unknown)
}

// track is what is known of one track between decisions.
type track struct {
	name  string
	rate  float64
	group *group
	round uint64
	// Of the plan that was last told.
	version uint64
	moved   int
}

// groupKey is what tracks of a group have in common.
type groupKey struct {
	demand  uint64
	bound   float64
	protect Protection
}

// regroup sorts the snapshot's tracks into groups that are planned as one: those
// with the same demand, bound and protection whose trees are the same.
func (c *Controller) regroup(s *Snapshot) {
	c.round++
	tracks := s.Tracks
	byName := func(a, b Track) int { return cmp.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(tracks, byName) {
		tracks = slices.Clone(tracks)
		slices.SortStableFunc(tracks, byName)
	}
	clear(c.buckets)
	c.groups = c.groups[:0]
	var last *wants
	resolved := make([]*wants, len(tracks))
	for i := range tracks {
		if i > 0 && slices.Equal(tracks[i].Demand, tracks[i-1].Demand) {
			resolved[i] = last
		} else {
			last = c.net.resolve(tracks[i].Demand)
			resolved[i] = last
		}
	}
	// Those that run first: a new track joins a running one that is like it.
	for _, fresh := range []bool{false, true} {
		for i := range tracks {
			x := &tracks[i]
			if x.Name == "" || i > 0 && x.Name == tracks[i-1].Name {
				continue
			}
			k := c.tracks[x.Name]
			if (k == nil || k.round == 0) != fresh {
				continue
			}
			if k == nil {
				k = &track{name: x.Name}
				c.tracks[x.Name] = k
			}
			k.rate = number(x.RateMbps)
			k.round = c.round
			bound := ms(x.Bound)
			if x.Bound <= 0 {
				bound = ms(c.cfg.Bound)
			}
			c.assign(k, resolved[i], bound, min(x.Protect, ProtectHot))
		}
	}
	for name, k := range c.tracks {
		if k.round != c.round {
			delete(c.tracks, name)
		}
	}
}

// assign puts a track into a group.
func (c *Controller) assign(k *track, w *wants, bound float64, protect Protection) {
	key := groupKey{w.hash, bound, protect}
	for _, g := range c.buckets[key] {
		if g.demand.equal(w) && (k.group == nil || k.group == g || g.alike(k.group)) {
			g.add(k)
			return
		}
	}
	g := k.group
	switch {
	case g == nil:
		g = newGroup(&c.net)
	case g.round == c.round: // others of its tracks have it already
		g = g.clone()
	}
	g.round = c.round
	g.changed = g.changed || g.demand == nil || !g.demand.equal(w) || g.bound != bound || g.protect != protect
	g.demand, g.bound, g.protect = w, bound, protect
	g.tracks, g.tree.rate = g.tracks[:0], 0
	g.add(k)
	c.buckets[key] = append(c.buckets[key], g)
	c.groups = append(c.groups, g)
}
