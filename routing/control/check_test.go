package control_test

import (
	"fmt"
	"slices"
	"strings"

	"trellis/routing/control"
)

// checker judges plans by what the snapshot says, and knows nothing of how they
// were made.
type checker struct {
	origin string
	nodes  map[string]control.Node
	links  map[[2]string]control.Link
	tracks map[string]control.Track
	loose  bool // limits may be exceeded: reality was there first
	depth  int  // of paths; 0: any
	odd    bool // names occur more than once: what is said of them is not compared
}

func newChecker(origin string, s *control.Snapshot) *checker {
	c := &checker{origin: origin, nodes: map[string]control.Node{}, links: map[[2]string]control.Link{}, tracks: map[string]control.Track{}}
	for _, n := range s.Nodes {
		c.nodes[n.ID] = n
	}
	for _, l := range s.Links {
		c.links[[2]string{l.From, l.To}] = l
	}
	for _, t := range s.Tracks {
		c.tracks[t.Name] = t
	}
	return c
}

// plans reports the first thing that is wrong with any plan, or with all together.
func (c *checker) plans(all []control.Plan) error {
	egress := map[string]float64{}
	arcs := map[[2]string]float64{}
	for i := range all {
		if err := c.plan(&all[i], egress, arcs); err != nil {
			return fmt.Errorf("track %s: %w", all[i].Track, err)
		}
	}
	if c.loose {
		return nil
	}
	own := map[string]float64{}
	for _, t := range c.tracks {
		for _, d := range t.Demand {
			own[d.Parent] += t.RateMbps
		}
	}
	for id, mbps := range egress {
		n := c.nodes[id]
		if n.EgressMbps == 0 {
			continue
		}
		room := max(0, n.EgressMbps-max(0, n.UsedMbps-own[id]))
		if mbps > room*1.0201+1e-6 {
			return fmt.Errorf("node %s sends %g Mbit/s to children, has room for %g", id, mbps, room)
		}
	}
	for a, mbps := range arcs {
		if l := c.links[a]; l.CapacityMbps > 0 && mbps > l.CapacityMbps*1.0201+1e-6 {
			return fmt.Errorf("link %v carries %g Mbit/s of %g", a, mbps, l.CapacityMbps)
		}
	}
	return nil
}

func (c *checker) plan(p *control.Plan, egress map[string]float64, arcs map[[2]string]float64) error {
	k := c.tracks[p.Track]
	routes := map[string]*control.Route{}
	kids := map[string]int{}
	for i := range p.Routes {
		r := &p.Routes[i]
		if i > 0 && p.Routes[i-1].Node >= r.Node {
			return fmt.Errorf("routes are not sorted at %s", r.Node)
		}
		routes[r.Node] = r
	}
	for _, r := range routes {
		if err := c.path("path", r.Path, r.Node); err != nil {
			return err
		}
		parent := r.Path[len(r.Path)-1]
		kids[parent]++
		egress[parent] += k.RateMbps
		arcs[[2]string{parent, r.Node}] += k.RateMbps
		if parent != c.origin {
			up := routes[parent]
			if up == nil {
				return fmt.Errorf("%s hangs below %s, which has no route", r.Node, parent)
			}
			if !slices.Equal(append(slices.Clone(up.Path), parent), r.Path) {
				return fmt.Errorf("%s goes over %v, its parent over %v", r.Node, r.Path, up.Path)
			}
		}
		if r.Reason == "" || r.Note == "" {
			return fmt.Errorf("%s has no reason (%q, %q)", r.Node, r.Reason, r.Note)
		}
		if r.Since.IsZero() {
			return fmt.Errorf("%s has no time of change", r.Node)
		}
		if err := c.backup(r, routes); err != nil {
			return err
		}
		if r.Protect == control.ProtectHot && len(r.Backup) > 0 {
			b := r.Backup[len(r.Backup)-1]
			kids[b]++
			egress[b] += k.RateMbps
		}
	}
	for id, n := range kids {
		if limit := c.nodes[id].MaxChildren; !c.loose && limit >= 0 && n > limit {
			return fmt.Errorf("%s has %d children of %d", id, n, limit)
		}
	}
	return c.summary(p, routes)
}

// path checks a path from the origin to the parent of node.
func (c *checker) path(what string, path []string, node string) error {
	if len(path) == 0 || path[0] != c.origin {
		return fmt.Errorf("%s of %s does not begin at the origin: %v", what, node, path)
	}
	if c.depth > 0 && !c.loose && len(path) > c.depth {
		return fmt.Errorf("%s of %s has more than %d links: %v", what, node, c.depth, path)
	}
	whole := append(slices.Clone(path), node)
	for i, id := range whole {
		if slices.Contains(whole[:i], id) {
			return fmt.Errorf("%s of %s passes %s twice: %v", what, node, id, path)
		}
		if _, ok := c.nodes[id]; !ok {
			return fmt.Errorf("%s of %s passes %s, which is unknown", what, node, id)
		}
		if i == 0 {
			continue
		}
		if _, ok := c.links[[2]string{whole[i-1], id}]; !ok {
			return fmt.Errorf("%s of %s needs a link %s -> %s, which is not there", what, node, whole[i-1], id)
		}
		if n := c.nodes[whole[i-1]]; n.MaxChildren == 0 && !c.odd {
			return fmt.Errorf("%s of %s goes over %s, which does not relay", what, node, n.ID)
		}
	}
	return nil
}

func (c *checker) backup(r *control.Route, routes map[string]*control.Route) error {
	if len(r.Backup) == 0 {
		if r.Protect != control.ProtectNone {
			return fmt.Errorf("%s is protected and has no backup", r.Node)
		}
		return nil
	}
	if r.Protect == control.ProtectNone {
		return fmt.Errorf("%s has a backup and is not protected", r.Node)
	}
	if err := c.path("backup", r.Backup, r.Node); err != nil {
		return err
	}
	b := r.Backup[len(r.Backup)-1]
	if b == r.Path[len(r.Path)-1] {
		return fmt.Errorf("%s has its parent %s as backup", r.Node, b)
	}
	if b != c.origin {
		up := routes[b]
		over := up != nil && r.Protect >= control.ProtectWarm && up.Protect >= r.Protect && !slices.Contains(r.Path, b) &&
			!slices.Contains(up.Path, r.Node) && slices.Equal(append(slices.Clone(up.Backup), b), r.Backup)
		if !over && (up == nil || !slices.Equal(append(slices.Clone(up.Path), b), r.Backup)) {
			return fmt.Errorf("backup %v of %s is not where %s takes the track from", r.Backup, r.Node, b)
		}
	}
	if strings.Contains(r.Note, " shares ") {
		return nil // which is said
	}
	for _, id := range r.Backup[1:] {
		if slices.Contains(r.Path[1:], id) {
			return fmt.Errorf("%s: path %v and backup %v share %s", r.Node, r.Path, r.Backup, id)
		}
	}
	return nil
}

func (c *checker) summary(p *control.Plan, routes map[string]*control.Route) error {
	viewers, served := 0, 0
	seen := map[string]bool{}
	for _, d := range c.tracks[p.Track].Demand {
		if seen[d.Node] {
			continue
		}
		seen[d.Node] = true
		viewers += max(d.Viewers, 0)
		if d.Node == c.origin || routes[d.Node] != nil {
			served += max(d.Viewers, 0)
		}
	}
	s := p.Summary
	if !c.odd && (s.Viewers != viewers || s.Served != served) {
		return fmt.Errorf("summary has %d of %d viewers served, counted %d of %d", s.Served, s.Viewers, served, viewers)
	}
	if s.InBound > s.Served || s.Protected > s.Served || s.Reachable > s.Viewers {
		return fmt.Errorf("summary contradicts itself: %+v", s)
	}
	if s.Served < s.Viewers && len(s.Unserved) == 0 {
		return fmt.Errorf("%d viewers are not served, and nobody says why", s.Viewers-s.Served)
	}
	return nil
}
