package routing

import "fmt"

// Grade names what a backup shall survive the loss of.
type Grade uint8

// Grades of protection, each with a wider group of nodes that fail together.
const (
	NoBackup Grade = iota
	ByNode
	ByRegion
	ByProvider
)

// String returns the word used on the command line.
func (g Grade) String() string {
	switch g {
	case NoBackup:
		return "none"
	case ByNode:
		return "node"
	case ByRegion:
		return "region"
	case ByProvider:
		return "provider"
	}
	return fmt.Sprintf("grade %d", uint8(g))
}

// ParseGrade reads the word that String writes.
func ParseGrade(s string) (Grade, error) {
	for g := NoBackup; g <= ByProvider; g++ {
		if s == g.String() {
			return g, nil
		}
	}
	return NoBackup, fmt.Errorf("grade %q is none of none, node, region, provider", s)
}

// failGroups numbers the groups of nodes that fail together, for one grade.
type failGroups struct {
	of     []int32 // group of each node
	groups int
}

func newFailGroups(g *Graph, grade Grade) failGroups {
	f := failGroups{of: make([]int32, g.Len())}
	number := map[string]int32{}
	for v, n := range g.nodes {
		name := n.ID
		switch grade {
		case ByRegion:
			name = n.Region
		case ByProvider:
			name = n.Provider
		case NoBackup, ByNode:
		}
		if name == "" {
			name = "\x00" + n.ID // an unnamed group has one member
		}
		i, ok := number[name]
		if !ok {
			i = int32(len(number))
			number[name] = i
		}
		f.of[v] = i
	}
	f.groups = len(number)
	return f
}

// inner returns the groups of the inner nodes of the path from the source to
// node v, the source's and v's own groups excepted: when those fail, no path
// helps. ok is false if the path is not complete.
func (f *failGroups) inner(t Tree, source, v int) (groups []int32, ok bool) {
	if t.Parent == nil {
		return groups, false
	}
	for u, left := int(t.Parent[v]), len(t.Parent); u != source; u, left = int(t.Parent[u]), left-1 {
		if u == None || left == 0 {
			return groups, false
		}
		if g := f.of[u]; g != f.of[source] && g != f.of[v] {
			groups = append(groups, g)
		}
	}
	return groups, true
}

// Protection says how many viewers survive the loss of any one group: those
// whose primary path or whole backup path avoids it, whichever group it is.
type Protection struct {
	Viewers int64 // protected, in bound or not
	InBound int64 // of them, those who then are in bound
	// Protectable is how many could be in bound on a disjoint path, if the tree
	// form and capacities were no object.
	Protectable int64
}

// Protection computes how far track i of the plan survives the loss of any one
// group of the grade.
func (d *Demand) Protection(p *Plan, i int, grade Grade) Protection {
	k, t := &d.Tracks[i], &p.Tracks[i]
	f := newFailGroups(d.Graph, grade)
	primary := t.Tree.Delays(d.Graph, k.Source)
	var standby []float64
	if t.Backup.Parent != nil {
		standby = t.Backup.Delays(d.Graph, k.Source)
	}
	var out Protection
	hit := make([]bool, f.groups)
	for _, e := range k.Terminals {
		if e.Viewers == 0 {
			continue
		}
		inBound := func(delay float64) bool { return delay >= 0 && delay <= k.bound(e)+boundSlackMs }
		var groups []int32
		ok := e.Node == k.Source
		if !ok {
			groups, ok = f.inner(t.Tree, k.Source, e.Node)
		}
		if ok && len(groups) == 0 { // nothing on the way can fail
			out.Viewers += e.Viewers
			if inBound(primary[e.Node]) {
				out.InBound += e.Viewers
			}
			continue
		}
		if standby == nil || standby[e.Node] < 0 {
			continue
		}
		for _, g := range groups {
			hit[g] = true
		}
		other, complete := f.inner(t.Backup, k.Source, e.Node)
		disjoint := ok && complete
		for _, g := range other {
			disjoint = disjoint && !hit[g]
		}
		for _, g := range groups {
			hit[g] = false
		}
		if disjoint {
			out.Viewers += e.Viewers
			if inBound(standby[e.Node]) && inBound(primary[e.Node]) {
				out.InBound += e.Viewers
			}
		}
	}
	return out
}
