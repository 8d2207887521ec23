package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// publish notes what has changed in each group, and returns the plans of its
// tracks.
func (c *Controller) publish() []Plan {
	var out []Plan
	for _, g := range c.groups {
		changed, moved := g.tell(c)
		var told sheets
		for _, k := range g.tracks {
			fresh := k.version == 0
			if len(changed) == 0 && !fresh {
				continue
			}
			t := told.of(c, g, k.rate)
			c.version++
			k.version, k.moved = c.version, moved
			p := Plan{Track: k.name, Version: k.version, Routes: t.routes, Changed: changed, Summary: t.summary}
			if fresh {
				p.Changed, k.moved = t.nodes(), 0
			}
			p.Summary.Moved = k.moved
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Plan) int { return cmp.Compare(a.Track, b.Track) })
	return out
}

// sheets are the routes of a group, written down once for each rate of its tracks:
// tracks of the same rate share them.
type sheets []sheet

type sheet struct {
	rate    float64
	routes  []Route
	summary Summary
	all     []string // see nodes
}

func (s *sheets) of(c *Controller, g *group, rate float64) *sheet {
	i := slices.IndexFunc(*s, func(t sheet) bool { return t.rate == rate })
	if i < 0 {
		i = len(*s)
		if i > 0 && (*s)[0].rate > 0 {
			*s = append(*s, (*s)[0].at(rate))
		} else {
			*s = append(*s, sheet{rate: rate, routes: g.routes(c, rate), summary: g.summary(rate)})
		}
	}
	return &(*s)[i]
}

// at is the sheet for another rate: it differs in prices alone.
func (s *sheet) at(rate float64) sheet {
	out := sheet{rate: rate, routes: slices.Clone(s.routes), summary: s.summary, all: s.all}
	for i := range out.routes {
		out.routes[i].Price *= rate / s.rate
	}
	out.summary.USDPerHour *= rate / s.rate
	return out
}

// nodes lists all nodes that have a route.
func (s *sheet) nodes() []string {
	if s.all == nil {
		for i := range s.routes {
			s.all = append(s.all, s.routes[i].Node)
		}
	}
	return s.all
}

// tell compares the group with what was last told of it, and returns the nodes
// that differ and the viewers whose path does.
func (g *group) tell(c *Controller) (changed []string, moved int) {
	t := &g.tree
	paths := make([]uint64, len(t.c))
	t.walk(t.net.origin, func(v int32) {
		x := uint64(14695981039346656037)
		if u := t.c[v].parent; u >= 0 {
			x = paths[u]
		}
		paths[v] = (x ^ t.net.hash[v]) * 1099511628211
	})
	for v := range t.c {
		s := &g.spots[v]
		if !g.routed(int32(v)) {
			if s.told {
				s.told = false
				changed = append(changed, t.net.nodes[v].ID)
			}
			continue
		}
		path, backup := paths[t.c[v].parent], uint64(0)
		if s.backup >= 0 {
			backup = paths[s.backup]
			if s.over >= 0 {
				backup = (paths[s.over] ^ t.net.hash[s.backup]) * 1099511628211
			}
		}
		if s.told && s.toldPath == path && s.toldBackup == backup && s.toldGrade == s.grade {
			continue
		}
		changed = append(changed, t.net.nodes[v].ID)
		if !s.told || s.toldPath != path {
			if s.told {
				moved += int(t.c[v].viewers)
			}
			s.since = c.now
		}
		s.told, s.toldPath, s.toldBackup, s.toldGrade = true, path, backup, s.grade
	}
	changed = append(changed, g.gone...)
	g.gone, g.changed = nil, false
	slices.Sort(changed)
	return slices.Compact(changed), moved
}

// routed reports whether node v has a route: it carries the track, or stands by
// with a subscription.
func (g *group) routed(v int32) bool {
	return v != g.tree.net.origin && g.tree.rooted(v)
}

// routes writes down the tree.
func (g *group) routes(c *Controller, rate float64) []Route {
	t := &g.tree
	n := 0
	for v := range t.c {
		if g.routed(int32(v)) {
			n++
		}
	}
	paths := make([][]string, len(t.c))
	path := func(v int32) []string {
		if paths[v] == nil {
			paths[v] = t.path(v)
		}
		return paths[v]
	}
	out := make([]Route, 0, n)
	for v := range t.c {
		if !g.routed(int32(v)) {
			continue
		}
		x, s := &t.c[v], &g.spots[v]
		d50, d95 := t.measured(x.parent, x.arc)
		r := Route{
			Node: t.net.nodes[v].ID, Path: path(x.parent),
			Delay: duration(d50), DelayP95: duration(d95), Bound: duration(g.boundOf(int32(v))),
			Protect: s.grade, Price: rate * gbPerMbpsHour * t.net.arcs[x.arc].price,
			Reason: s.why.reason, Note: g.note(c, int32(v)), Since: s.since,
		}
		if s.backup >= 0 {
			r.Backup = path(s.backup)
			if s.over >= 0 {
				r.Backup = append(slices.Clone(path(s.over)), t.net.nodes[s.backup].ID)
			}
			b50, _ := g.backupDelay(int32(v))
			r.BackupDelay = duration(b50)
		}
		out = append(out, r)
	}
	return out
}

// backupDelay is what the links of v's backup path have been measured to take, in
// ms; 0 if one of them is no more.
func (g *group) backupDelay(v int32) (p50, p95 float64) {
	t, s := &g.tree, &g.spots[v]
	i := t.net.find(s.backup, v)
	if i < 0 {
		return 0, 0
	}
	if s.over < 0 {
		return t.measured(s.backup, i)
	}
	j := t.net.find(s.over, s.backup)
	if j < 0 {
		return 0, 0
	}
	p50, p95 = t.measured(s.over, j)
	a, hop := &t.net.arcs[i], ms(t.net.nodes[s.backup].Delay)
	return p50 + a.d50 + hop, p95 + a.d95 + hop
}

// note says why v is where it is, what speaks for another place, and how far it is
// protected.
func (g *group) note(c *Controller, v int32) string {
	s := &g.spots[v]
	kept := s.kept
	if kept.rest > 0 && !s.moved.IsZero() {
		kept.rest = max(c.now.Sub(s.moved), time.Millisecond)
	}
	parts := []string{s.why.note(), kept.note(), g.protectNote(v)}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "; ")
}

func (g *group) protectNote(v int32) string {
	s := &g.spots[v]
	t := &g.tree
	if t.c[v].standby {
		return ""
	}
	want := g.protect
	if s.blast {
		want = max(want, ProtectWarm)
	}
	switch {
	case want == ProtectNone:
		return ""
	case s.backup < 0:
		return "no backup: no path with room avoids " + t.net.nodes[t.c[v].parent].ID
	case s.shares != "":
		if s.grade == ProtectCold && want > ProtectCold {
			return "backup is cold, for want of room: it shares " + s.shares + " with the path"
		}
		return "backup shares " + s.shares + " with the path"
	case s.blast && g.protect < ProtectWarm:
		return fmt.Sprintf("warm: %s carries more than the share of viewers that may depend on one", t.net.nodes[t.c[v].parent].ID)
	}
	return ""
}

// summary says what the group's tree is worth for a track of the given rate.
func (g *group) summary(rate float64) Summary {
	t := &g.tree
	s := Summary{Viewers: int(g.demand.viewers)}
	for _, w := range g.demand.list {
		if w.viewers == 0 {
			continue
		}
		n := int(w.viewers)
		v := w.node
		if t.net.least[v] <= g.bound {
			s.Reachable += n
		}
		if v == t.net.origin {
			s.Served += n
			s.InBound += n
			s.Protected += n
			continue
		}
		if !t.rooted(v) {
			s.Unserved = append(s.Unserved, g.whyNot(v))
			continue
		}
		s.Served += n
		if _, d95 := t.measured(t.c[v].parent, t.c[v].arc); d95 <= g.bound+1e-9 {
			s.InBound += n
		}
		b := g.spots[v].backup
		if b < 0 || g.spots[v].shares != "" {
			continue
		}
		if _, d95 := g.backupDelay(v); d95 > 0 && d95 <= t.c[v].bound+1e-9 {
			s.Protected += n
		}
	}
	for _, d := range g.demand.unknown {
		s.Unserved = append(s.Unserved, d.Node+": no such node is known")
	}
	price := 0.0
	for v := range t.c {
		if !g.routed(int32(v)) {
			continue
		}
		price += t.net.arcs[t.c[v].arc].price
		if x := &g.spots[v]; x.grade == ProtectHot && x.backup >= 0 {
			if i := t.net.find(x.backup, int32(v)); i >= 0 {
				price += t.net.arcs[i].price
			}
		}
	}
	s.USDPerHour = rate * gbPerMbpsHour * price
	return s
}

// whyNot says what keeps a node out of the tree.
func (g *group) whyNot(v int32) string {
	t, n := &g.tree, g.tree.net
	id := n.nodes[v].ID
	if n.inStart[v] == n.inStart[v+1] {
		return id + ": no link leads to it"
	}
	full, quiet := 0, 0
	for i := n.inStart[v]; i < n.inStart[v+1]; i++ {
		u := n.arcs[i].from
		switch {
		case !n.relays(u):
			quiet++
		case t.rooted(u):
			full++
		}
	}
	switch {
	case full > 0:
		return fmt.Sprintf("%s: %d nodes with a link to it carry the track, and none has room", id, full)
	case quiet == int(n.inStart[v+1]-n.inStart[v]):
		return id + ": none of the nodes with a link to it may relay"
	}
	return id + ": no path from the origin has room"
}
