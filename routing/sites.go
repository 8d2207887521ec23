package routing

import (
	"cmp"
	"fmt"
	"slices"
)

// SiteMatrix describes an arc between every ordered pair of nodes by where
// they stand: delays between regions, prices by the sender's provider.
type SiteMatrix struct {
	Sites                []string
	DelayMs              [][]float64 // row is the sender; the diagonal is unused
	IntraMs              float64
	CrossProviderExtraMs float64
	Continent            map[string]string // by region

	// Prices per GB, by the sender's provider; a provider that is missing sends
	// for nothing.
	PriceSameSite         map[string]float64
	PriceSameContinent    map[string]float64
	PriceIntercontinental map[string]float64
	PriceOtherProvider    map[string]float64
}

// siteTable holds delay and price between places, a place being a (region,
// provider) that has nodes. 1,000 nodes of 48 regions have about 144 places,
// so this is 330 kB where a million arcs would be 40 MB.
type siteTable struct {
	place  []int32 // of each node
	places int
	delay  []float64 // places x places, row is the sender
	price  []float64
	// senders lists for each place all places, cheapest sender first, so that a
	// search for cheap arcs can stop early.
	senders [][]int32
}

func (t *siteTable) arc(u, v int) (delayMs, price float64) {
	i := int(t.place[u])*t.places + int(t.place[v])
	return t.delay[i], t.price[i]
}

// NewSiteGraph makes a graph in compact form.
func NewSiteGraph(nodes []Node, m SiteMatrix) (*Graph, error) {
	g := &Graph{nodes: nodes}
	if err := g.indexNodes(); err != nil {
		return nil, err
	}
	site := make(map[string]int, len(m.Sites))
	for i, s := range m.Sites {
		if _, dup := site[s]; dup {
			return nil, fmt.Errorf("%w: site %s occurs twice", ErrGraph, s)
		}
		site[s] = i
	}
	if err := m.validate(); err != nil {
		return nil, err
	}
	type where struct{ region, provider string }
	t := &siteTable{place: make([]int32, len(nodes))}
	number := map[where]int32{}
	var at []where
	for v, n := range nodes {
		if _, ok := site[n.Region]; !ok {
			return nil, fmt.Errorf("%w: region %q of node %s is not among the sites", ErrGraph, n.Region, n.ID)
		}
		w := where{n.Region, n.Provider}
		i, ok := number[w]
		if !ok {
			i = int32(len(at))
			number[w] = i
			at = append(at, w)
		}
		t.place[v] = i
	}
	t.places = len(at)
	t.delay = make([]float64, len(at)*len(at))
	t.price = make([]float64, len(at)*len(at))
	for i, a := range at {
		for j, b := range at {
			d, p := m.IntraMs, m.PriceSameSite[a.provider]
			if a.region != b.region {
				d = m.DelayMs[site[a.region]][site[b.region]]
				p = m.PriceIntercontinental[a.provider]
				if m.Continent[a.region] == m.Continent[b.region] {
					p = m.PriceSameContinent[a.provider]
				}
			}
			if a.provider != b.provider {
				d += m.CrossProviderExtraMs
				p = m.PriceOtherProvider[a.provider]
			}
			t.delay[i*t.places+j], t.price[i*t.places+j] = d, p
		}
	}
	t.sortSenders()
	g.sites = t
	g.classify()
	return g, nil
}

func (t *siteTable) sortSenders() {
	t.senders = make([][]int32, t.places)
	for j := range t.places {
		row := make([]int32, t.places)
		for i := range row {
			row[i] = int32(i)
		}
		slices.SortFunc(row, func(a, b int32) int {
			x, y := int(a)*t.places+j, int(b)*t.places+j
			return cmp.Or(cmp.Compare(t.price[x], t.price[y]), cmp.Compare(t.delay[x], t.delay[y]), cmp.Compare(a, b))
		})
		t.senders[j] = row
	}
}

func (m *SiteMatrix) validate() error {
	if len(m.DelayMs) != len(m.Sites) {
		return fmt.Errorf("%w: %d delay rows for %d sites", ErrGraph, len(m.DelayMs), len(m.Sites))
	}
	for i, row := range m.DelayMs {
		if len(row) != len(m.Sites) {
			return fmt.Errorf("%w: delay row %d has %d entries for %d sites", ErrGraph, i, len(row), len(m.Sites))
		}
		for j, d := range row {
			if i != j && !isLimit(d) {
				return fmt.Errorf("%w: delay %s -> %s is negative or infinite", ErrGraph, m.Sites[i], m.Sites[j])
			}
		}
	}
	if !isLimit(m.IntraMs) || !isLimit(m.CrossProviderExtraMs) {
		return fmt.Errorf("%w: a delay is negative or infinite", ErrGraph)
	}
	for _, prices := range []map[string]float64{
		m.PriceSameSite, m.PriceSameContinent, m.PriceIntercontinental, m.PriceOtherProvider,
	} {
		for prov, p := range prices {
			if !isLimit(p) {
				return fmt.Errorf("%w: a price of %s is negative or infinite", ErrGraph, prov)
			}
		}
	}
	return nil
}

// classify groups nodes of one place that have the same limits. Without
// viewers of their own they are interchangeable, so that a search needs to see
// only as many of each class as it can use.
func (g *Graph) classify() {
	type key struct {
		place        int32
		proc, egress float64
		children     int
	}
	number := map[key]int32{}
	g.class = make([]int32, len(g.nodes))
	for v, n := range g.nodes {
		k := key{g.sites.place[v], n.ProcMs, n.EgressMbps, max(n.MaxChildren, -1)}
		c, ok := number[k]
		if !ok {
			c = int32(len(g.classes))
			number[k] = c
			g.classes = append(g.classes, nil)
		}
		g.class[v] = c
		g.classes[c] = append(g.classes[c], int32(v))
	}
}
