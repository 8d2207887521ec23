package routing

import (
	"fmt"
	"slices"
)

// Fate is what a failure does to the viewers of a track.
type Fate struct {
	Track     string
	Untouched int64 // their path is alive
	OnBackup  int64 // their backup path is alive, and within their bound
	LateOnIt  int64 // their backup path is alive, and beyond their bound
	Dark      int64 // neither path is alive: they wait for a repair
	Gone      int64 // their own node is among the failed
	// Overloaded lists nodes whose egress the activated backup exceeds.
	Overloaded []string
}

// Failed returns the set of nodes that the names mean: each is a node's id, or
// else a region, or else a provider.
func (g *Graph) Failed(names []string) ([]bool, error) {
	dead := make([]bool, g.Len())
	for _, name := range names {
		if v, ok := g.Index(name); ok {
			dead[v] = true
			continue
		}
		found := false
		for _, by := range []func(Node) string{
			func(n Node) string { return n.Region },
			func(n Node) string { return n.Provider },
		} {
			for v, n := range g.nodes {
				if by(n) == name {
					dead[v], found = true, true
				}
			}
			if found {
				break
			}
		}
		if !found {
			return nil, fmt.Errorf("%q is no node, region or provider", name)
		}
	}
	return dead, nil
}

// alive reports whether v is reached over t without touching dead nodes.
func (t Tree) alive(source, v int, dead []bool) bool {
	if t.Parent == nil || dead[source] {
		return false
	}
	for left := len(t.Parent); v != source; left-- {
		if dead[v] || left == 0 || t.Parent[v] == None {
			return false
		}
		v = int(t.Parent[v])
	}
	return true
}

// Fail computes what the loss of the dead nodes does to every track, by the
// plan alone: before anybody repairs anything.
func (d *Demand) Fail(p *Plan, dead []bool) []Fate {
	fates := make([]Fate, len(d.Tracks))
	load := make([]float64, d.Graph.Len())
	for i := range d.Tracks {
		k, t, f := &d.Tracks[i], &p.Tracks[i], &fates[i]
		f.Track = k.ID
		carries := make([]bool, d.Graph.Len()) // nodes whose arc from the standby parent is on
		var standby []float64
		if t.Backup.Parent != nil {
			standby = t.Backup.Delays(d.Graph, k.Source)
		}
		for _, e := range k.Terminals {
			switch {
			case e.Viewers == 0:
				// Nobody there asks for the track, over whatever path.
			case dead[e.Node]:
				f.Gone += e.Viewers
			case e.Node != k.Source && t.Tree.Parent[e.Node] == None:
				// Not served before, so not harmed.
			case t.Tree.alive(k.Source, e.Node, dead):
				f.Untouched += e.Viewers
				load[e.Node] += k.RateMbps * float64(e.Viewers)
			case t.Backup.alive(k.Source, e.Node, dead):
				load[e.Node] += k.RateMbps * float64(e.Viewers)
				if standby[e.Node] <= k.bound(e)+boundSlackMs {
					f.OnBackup += e.Viewers
				} else {
					f.LateOnIt += e.Viewers
				}
				for v := e.Node; v != k.Source && !carries[v]; v = int(t.Backup.Parent[v]) {
					carries[v] = true
				}
			default:
				f.Dark += e.Viewers
			}
		}
		for v, u := range t.Tree.Parent {
			if u != None && t.Tree.alive(k.Source, v, dead) && t.Tree.alive(k.Source, int(u), dead) {
				load[u] += k.RateMbps
			}
		}
		for v := range carries {
			if carries[v] {
				load[t.Backup.Parent[v]] += k.RateMbps
			}
		}
	}
	for v, mbps := range load {
		limit := d.Graph.nodes[v].EgressMbps
		if limit <= 0 || mbps <= limit+10*loadSlackMbps {
			continue
		}
		for i := range fates {
			if t := &p.Tracks[i]; t.Backup.Parent != nil && slices.Contains(t.Backup.Parent, int32(v)) {
				fates[i].Overloaded = append(fates[i].Overloaded, d.Graph.nodes[v].ID)
			}
		}
	}
	return fates
}

// Blast is the node other than the source on whom most viewers of a track
// depend.
type Blast struct {
	Node    int   // None if nobody depends on anybody
	Viewers int64 // whom its loss reaches, its own included
	// Unprotected are those of them, beside its own, without a backup path that
	// avoids it.
	Unprotected int64
	// WorstUnprotected is the most of such viewers below any one node.
	WorstUnprotected int64
}

// Blast finds the largest blast radius of track i.
func (d *Demand) Blast(p *Plan, i int) Blast {
	k, t := &d.Tracks[i], &p.Tracks[i]
	below := make([]int64, d.Graph.Len())
	bare := make([]int64, d.Graph.Len())
	relays := make([]bool, d.Graph.Len())
	inner := make([]bool, d.Graph.Len()) // of one terminal's backup path
	for _, e := range k.Terminals {
		if e.Node == k.Source || t.Tree.Parent[e.Node] == None {
			continue
		}
		below[e.Node] += e.Viewers
		var path []int
		if t.Backup.alive(k.Source, e.Node, inner) {
			for u := int(t.Backup.Parent[e.Node]); u != k.Source; u = int(t.Backup.Parent[u]) {
				inner[u] = true
				path = append(path, u)
			}
		} else {
			path = nil
		}
		covered := path != nil || t.Backup.Parent != nil && int(t.Backup.Parent[e.Node]) == k.Source
		for u := int(t.Tree.Parent[e.Node]); u != k.Source && u != None; u = int(t.Tree.Parent[u]) {
			below[u] += e.Viewers
			relays[u] = true
			if !covered || inner[u] {
				bare[u] += e.Viewers
			}
		}
		for _, u := range path {
			inner[u] = false
		}
	}
	out := Blast{Node: None}
	for v := range below {
		if relays[v] && (out.Node == None || below[v] > out.Viewers) {
			out.Node, out.Viewers, out.Unprotected = v, below[v], bare[v]
		}
		out.WorstUnprotected = max(out.WorstUnprotected, bare[v])
	}
	return out
}
