package scenario

import (
	"fmt"
	"math"

	"trellis/routing"
)

// maxIndex bounds whole numbers that become an int.
const maxIndex = math.MaxInt32

// Parse reads a scenario. An error is one line that says where and what.
func Parse(b []byte) (*routing.Demand, error) {
	root, err := parseJSON(b)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	d, err := readScenario(root)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return d, nil
}

func readScenario(root value) (*routing.Demand, error) {
	var err error
	o := object{v: root, err: &err}
	if root.kind != kindObject {
		o.fail(root.line, "", "must be an object, not %s", root.kind)
		return nil, err
	}
	r := reader{object: o, index: map[string]int{}}
	d := &routing.Demand{Name: o.text("name", false)}
	r.readNodes()
	arcs := r.readArcs()
	matrix, compact := r.readMatrix(len(arcs) > 0)
	d.Tracks = r.readTracks()
	if err != nil {
		return nil, err
	}
	if compact {
		d.Graph, err = routing.NewSiteGraph(r.nodes, matrix)
	} else {
		d.Graph, err = routing.NewGraph(r.nodes, arcs)
	}
	if err != nil {
		return nil, err
	}
	return d, d.Validate()
}

// reader holds what later fields refer to.
type reader struct {
	object
	nodes []routing.Node
	lines []int // of the nodes
	index map[string]int
}

// node resolves a field that names a node.
func (r *reader) node(o object, field string) int {
	id := o.text(field, true)
	i, ok := r.index[id]
	if v, present := o.field(field); present && !ok {
		o.fail(v.line, field, "names no node (%q)", id)
	}
	return i
}

func (r *reader) readNodes() {
	r.list("nodes", true, func(i int, o object) {
		n := routing.Node{
			ID:          o.text("id", true),
			Provider:    o.text("provider", false),
			Region:      o.text("region", false),
			ProcMs:      o.limit("proc_ms", false),
			MaxChildren: int(o.integer("max_children", false, -maxIndex, maxIndex)),
			EgressMbps:  o.limit("egress_mbps", false),
		}
		if first, dup := r.index[n.ID]; dup {
			o.fail(o.v.line, "id", "%q is already nodes[%d]", n.ID, first)
		}
		r.index[n.ID] = i
		r.nodes = append(r.nodes, n)
		r.lines = append(r.lines, o.v.line)
	})
}

func (r *reader) readArcs() []routing.Arc {
	var arcs []routing.Arc
	seen := map[[2]int]int{}
	r.list("arcs", false, func(i int, o object) {
		a := routing.Arc{
			From:       r.node(o, "from"),
			To:         r.node(o, "to"),
			DelayMs:    o.limit("delay_ms", true),
			PricePerGB: o.limit("price_per_gb", false),
			CapMbps:    o.limit("cap_mbps", false),
		}
		if a.From == a.To {
			o.fail(o.v.line, "", "is a self loop")
		}
		if first, dup := seen[[2]int{a.From, a.To}]; dup {
			o.fail(o.v.line, "", "is parallel to arcs[%d]", first)
		}
		seen[[2]int{a.From, a.To}] = i
		arcs = append(arcs, a)
	})
	return arcs
}

func (r *reader) readTracks() []routing.Track {
	var tracks []routing.Track
	seen := map[string]int{}
	total := 0.0
	r.list("tracks", true, func(i int, o object) {
		k := routing.Track{
			ID:       o.text("id", true),
			Source:   r.node(o, "source"),
			RateMbps: o.limit("rate_mbps", true),
			BoundMs:  o.limit("bound_ms", true),
			MaxDepth: int(o.integer("max_depth", false, 0, maxIndex)),
		}
		if first, dup := seen[k.ID]; dup {
			o.fail(o.v.line, "id", "%q is already tracks[%d]", k.ID, first)
		}
		seen[k.ID] = i
		at := map[int]int{}
		o.list("terminals", true, func(j int, o object) {
			t := routing.Terminal{
				Node:    r.node(o, "node"),
				Viewers: o.integer("viewers", true, 0, 1<<50),
				BoundMs: o.limit("bound_ms", false),
			}
			if first, dup := at[t.Node]; dup {
				o.fail(o.v.line, "node", "is already terminals[%d]", first)
			}
			at[t.Node] = j
			if total += float64(t.Viewers); total > 1<<50 {
				o.fail(o.v.line, "viewers", "makes the sum too large")
			}
			k.Terminals = append(k.Terminals, t)
		})
		tracks = append(tracks, k)
	})
	return tracks
}

func (r *reader) readMatrix(haveArcs bool) (m routing.SiteMatrix, ok bool) {
	o, ok := r.child("site_matrix", false)
	if !ok {
		return m, false
	}
	if haveArcs {
		o.fail(o.v.line, "", "already has an arc between all nodes, and arcs are parallel to it")
	}
	site := map[string]int{}
	sites, _ := o.typed("sites", kindArray, true)
	for i, s := range sites.items {
		if s.kind != kindString {
			o.fail(s.line, fmt.Sprintf("sites[%d]", i), "must be a string, not %s", s.kind)
		}
		if first, dup := site[s.str]; dup {
			o.fail(s.line, fmt.Sprintf("sites[%d]", i), "%q is already sites[%d]", s.str, first)
		}
		site[s.str] = i
		m.Sites = append(m.Sites, s.str)
	}
	for i, n := range r.nodes {
		if _, known := site[n.Region]; !known {
			o.fail(r.lines[i], "sites", "lacks region %q of nodes[%d]", n.Region, i)
		}
	}
	m.DelayMs = o.square("delay_ms", len(m.Sites))
	m.IntraMs = o.limit("intra_ms", false)
	m.CrossProviderExtraMs = o.limit("cross_provider_extra_ms", false)
	m.Continent = map[string]string{}
	if c, has := o.child("continent", false); has {
		for i, k := range c.v.keys {
			if c.v.items[i].kind != kindString {
				c.fail(c.v.items[i].line, k, "must be a string, not %s", c.v.items[i].kind)
			}
			m.Continent[k] = c.v.items[i].str
		}
	}
	m.PriceSameSite = o.prices("price_same_site")
	m.PriceSameContinent = o.prices("price_same_continent")
	m.PriceIntercontinental = o.prices("price_intercontinental")
	m.PriceOtherProvider = o.prices("price_other_provider")
	return m, true
}

// square reads an n x n matrix whose diagonal does not matter.
func (o object) square(name string, n int) [][]float64 {
	v, _ := o.typed(name, kindArray, true)
	if len(v.items) != n {
		o.fail(v.line, name, "has %d rows for %d sites", len(v.items), n)
		return nil
	}
	out := make([][]float64, n)
	for i, row := range v.items {
		at := fmt.Sprintf("%s[%d]", name, i)
		if row.kind != kindArray || len(row.items) != n {
			o.fail(row.line, at, "must be an array of %d numbers", n)
			return nil
		}
		out[i] = make([]float64, n)
		for j, x := range row.items {
			if i == j {
				continue
			}
			if x.kind != kindNumber || x.num < 0 {
				o.fail(x.line, fmt.Sprintf("%s[%d]", at, j), "must be a number that is not negative")
				return nil
			}
			out[i][j] = x.num
		}
	}
	return out
}

func (o object) prices(name string) map[string]float64 {
	out := map[string]float64{}
	c, has := o.child(name, false)
	if !has {
		return out
	}
	for _, k := range c.v.keys {
		out[k] = c.limit(k, false)
	}
	return out
}
