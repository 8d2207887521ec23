package control

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// far stands for a delay that nobody has.
const far = math.MaxFloat64

// ms is a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// duration is ms backwards, to the microsecond.
func duration(x float64) time.Duration {
	if !(x < 1e12) {
		return math.MaxInt64
	}
	return time.Duration(x*1000+0.5) * time.Microsecond
}

// network is the snapshot's graph with numbers for names. Odd input is dropped
// here: names that occur twice, links to unknown nodes, numbers that are none.
type network struct {
	nodes  []Node // sorted by id
	index  map[string]int32
	hash   []uint64 // of the id, for fingerprints of paths
	origin int32    // -1 if the snapshot has none

	// Links by head, inStart[v] to inStart[v+1], and in a row by tail.
	arcs    []arc
	inStart []int32
	out     tails
	slots   []int32 // by link of the snapshot: its arc; empty if some have none

	// least possible delay from the origin, at the links' 95th percentiles; far if
	// there is no path.
	least []float64

	// epoch grows when something material has changed.
	epoch uint64

	heap  heap
	fixed []bool // scratch of spread
}

// arc is one direction of a link.
type arc struct {
	from, to int32
	d50, d95 float64 // ms, as measured
	price    float64
	capacity float64 // Mbit/s; 0: unlimited
	calm     bool
	damper   damper
	seen     float64 // what was believed when the epoch last grew
}

// reserveShare stands in for the 95th percentile of a link that has none yet.
const reserveShare = 0.10

// load takes over the snapshot, and returns the old number of every node, or -1;
// nil if no number has changed.
func (n *network) load(s *Snapshot, cfg *Config) (renumbered []int32) {
	nodes := tidyNodes(s.Nodes)
	same := len(nodes) == len(n.nodes)
	for i := range nodes {
		if !same || nodes[i].ID != n.nodes[i].ID {
			same = false
			break
		}
	}
	if same && n.refresh(s.Links, s.Now, cfg) {
		n.compareNodes(nodes)
		n.nodes = nodes
		n.findLeast()
		return nil
	}
	old := *n
	if !same {
		n.number(nodes, cfg.Origin)
		renumbered = make([]int32, len(nodes))
		for i := range nodes {
			renumbered[i] = -1
			if j, ok := old.index[nodes[i].ID]; ok {
				renumbered[i] = j
			}
		}
	} else {
		n.compareNodes(nodes)
		n.nodes = nodes
	}
	n.loadArcs(s.Links)
	n.inherit(&old, renumbered, s.Now, cfg)
	n.findLeast()
	return renumbered
}

func (n *network) number(nodes []Node, origin string) {
	n.nodes = nodes
	n.index = make(map[string]int32, len(nodes))
	n.hash = make([]uint64, len(nodes))
	for i := range nodes {
		n.index[nodes[i].ID] = int32(i)
		h := uint64(14695981039346656037) // FNV-1a
		for _, b := range []byte(nodes[i].ID) {
			h = (h ^ uint64(b)) * 1099511628211
		}
		n.hash[i] = h
	}
	n.origin = -1
	if i, ok := n.index[origin]; ok {
		n.origin = i
	}
	n.epoch++
}

// compareNodes notes whether what a plan depends on has changed.
func (n *network) compareNodes(nodes []Node) {
	for i := range nodes {
		a, b := &n.nodes[i], &nodes[i]
		if a.MaxChildren != b.MaxChildren || a.Draining != b.Draining || a.Overloaded != b.Overloaded ||
			a.Delay != b.Delay || a.EgressMbps != b.EgressMbps {
			n.epoch++
			return
		}
	}
}

// tidyNodes copies the nodes, sorted, without those that have no name or the
// name of another, and with numbers in range.
func tidyNodes(in []Node) []Node {
	out := make([]Node, 0, len(in))
	for _, v := range in {
		if v.ID == "" {
			continue
		}
		v.Delay = min(max(v.Delay, 0), maxDelay)
		v.EgressMbps = number(v.EgressMbps)
		v.UsedMbps = number(v.UsedMbps)
		out = append(out, v)
	}
	byID := func(a, b Node) int { return cmp.Compare(a.ID, b.ID) }
	if !slices.IsSortedFunc(out, byID) {
		slices.SortStableFunc(out, byID)
	}
	return slices.CompactFunc(out, func(a, b Node) bool { return a.ID == b.ID })
}

// maxDelay of a link or node: beyond it nothing is live.
const maxDelay = time.Minute

// maxNumber of Mbit/s or USD: beyond it sums lose what is small.
const maxNumber = 1e9

// number returns x, or 0 if it is none or negative.
func number(x float64) float64 {
	if !(x > 0) || math.IsInf(x, 1) {
		return 0
	}
	return min(x, maxNumber)
}

// read takes over the numbers of a link.
func (a *arc) read(l *Link) {
	a.price, a.capacity, a.calm = number(l.PriceUSDPerGB), number(l.CapacityMbps), l.Calm
	a.d50 = ms(min(max(l.Delay, 0), maxDelay))
	a.d95 = ms(min(max(l.DelayP95, 0), maxDelay))
	if a.d95 == 0 {
		a.d95 = a.d50 * (1 + reserveShare)
	}
	a.d95 = max(a.d95, a.d50)
}

// refresh is loadArcs for a snapshot with the same links as the last one, which is
// what most are. It reports whether this is one.
func (n *network) refresh(links []Link, now time.Time, cfg *Config) bool {
	if len(links) != len(n.slots) || len(links) != len(n.arcs) {
		return false
	}
	for i := range links {
		a := &n.arcs[n.slots[i]]
		if links[i].From != n.nodes[a.from].ID || links[i].To != n.nodes[a.to].ID {
			return false
		}
	}
	material := false
	for i := range links {
		a := &n.arcs[n.slots[i]]
		old := *a
		a.read(&links[i])
		material = a.measure(&old, now, cfg) || material
	}
	n.notice(material)
	return true
}

// measure damps the delay, and reports whether anything material differs from what
// the link was before.
func (a *arc) measure(old *arc, now time.Time, cfg *Config) bool {
	a.damper, a.seen = old.damper, old.seen
	a.damper.measure(a.d95, now, cfg.Hold)
	return math.Abs(a.damper.value-a.seen) > max(materialMs, materialShare*a.seen) || a.calm != old.calm ||
		math.Abs(a.price-old.price) > 0.01*old.price || (a.capacity == 0) != (old.capacity == 0)
}

// A change of a link's delay is material beyond both of these: well below what
// moves anybody, and above what measurements wander by.
const (
	materialMs    = 1
	materialShare = 0.05
)

// notice begins a new epoch if something material has changed.
func (n *network) notice(material bool) {
	if !material {
		return
	}
	n.epoch++
	for i := range n.arcs {
		n.arcs[i].seen = n.arcs[i].damper.value
	}
}

// loadArcs brings the links into rows by head. Of parallel links the first wins.
func (n *network) loadArcs(links []Link) {
	known := make([]arc, 0, len(links))
	last := struct {
		id string
		i  int32
	}{"", -1}
	for i := range links {
		l := &links[i]
		if l.From != last.id { // links come sorted by From
			last.id = l.From
			last.i = -1
			if j, ok := n.index[l.From]; ok {
				last.i = j
			}
		}
		to, ok := n.index[l.To]
		if !ok || last.i < 0 || last.i == to {
			continue
		}
		a := arc{from: last.i, to: to}
		a.read(l)
		known = append(known, a)
	}
	start := make([]int32, len(n.nodes)+1)
	for i := range known {
		start[known[i].to+1]++
	}
	for v := range n.nodes {
		start[v+1] += start[v]
	}
	next := slices.Clone(start[:len(n.nodes)])
	rows := make([]arc, len(known))
	for i := range known {
		v := known[i].to
		rows[next[v]] = known[i]
		next[v]++
	}
	// Rows are in order of the tail if the links were.
	byTail := func(a, b arc) int { return cmp.Compare(a.from, b.from) }
	n.arcs, n.inStart = rows[:0], start
	for v := range n.nodes {
		row := rows[start[v]:start[v+1]]
		if !slices.IsSortedFunc(row, byTail) {
			slices.SortStableFunc(row, byTail)
		}
		row = slices.CompactFunc(row, func(a, b arc) bool { return a.from == b.from })
		start[v] = int32(len(n.arcs))
		n.arcs = append(n.arcs, row...)
	}
	start[len(n.nodes)] = int32(len(n.arcs))
	n.indexTails()
	n.slots = n.slots[:0]
	if len(n.arcs) < len(links) {
		return // some have none: they are looked at every time
	}
	for i := range links {
		n.slots = append(n.slots, n.find(n.index[links[i].From], n.index[links[i].To]))
	}
}

// inherit carries over what was believed of each link, and measures it anew.
func (n *network) inherit(old *network, renumbered []int32, now time.Time, cfg *Config) {
	material := len(n.arcs) != len(old.arcs)
	for i := range n.arcs {
		a := &n.arcs[i]
		from, to := a.from, a.to
		if renumbered != nil {
			from, to = renumbered[from], renumbered[to]
		}
		j := old.find(from, to)
		if j < 0 {
			a.damper.value = a.d95
			a.seen = a.d95
			material = true
			continue
		}
		material = a.measure(&old.arcs[j], now, cfg) || material
	}
	n.notice(material)
}

// find returns the number of the arc between two nodes, -1 if there is none.
func (n *network) find(from, to int32) int32 {
	if from < 0 || to < 0 {
		return -1
	}
	row := n.arcs[n.inStart[to]:n.inStart[to+1]]
	i, ok := slices.BinarySearchFunc(row, from, func(a arc, f int32) int { return cmp.Compare(a.from, f) })
	if !ok {
		return -1
	}
	return n.inStart[to] + int32(i)
}

// hop is what arc i adds to the delay, as believed: its own and its sender's.
func (n *network) hop(i int32) float64 {
	a := &n.arcs[i]
	return ms(n.nodes[a.from].Delay) + a.damper.value
}

// relays reports whether node u may have children at all.
func (n *network) relays(u int32) bool {
	v := &n.nodes[u]
	return v.MaxChildren != 0 && (!v.Draining || u == n.origin)
}

// findLeast computes least, over calm links alone where that is possible.
func (n *network) findLeast() {
	if len(n.least) != len(n.nodes) {
		n.least = make([]float64, len(n.nodes))
		n.fixed = make([]bool, len(n.nodes))
	}
	for v := range n.least {
		n.least[v] = far
	}
	if n.origin < 0 {
		return
	}
	n.spread(true)
	n.spread(false)
}

// spread lowers least along links. Nodes that have a value already keep it: what
// calm links give is not bettered by others.
func (n *network) spread(calm bool) {
	n.heap.reset(len(n.nodes))
	n.least[n.origin] = 0
	for v := range n.nodes {
		if n.fixed[v] = n.least[v] < far; n.fixed[v] {
			n.heap.push(int32(v), n.least[v])
		}
	}
	for n.heap.len() > 0 {
		u, d := n.heap.pop()
		if d > n.least[u] || !n.relays(u) {
			continue
		}
		d += ms(n.nodes[u].Delay)
		for _, i := range n.out.row(u) {
			a := &n.arcs[i]
			if calm && !a.calm || n.fixed[a.to] {
				continue
			}
			if x := d + a.d95; x < n.least[a.to] {
				n.least[a.to] = x
				n.heap.push(a.to, x)
			}
		}
	}
}

// tails lists arcs by tail.
type tails struct{ start, item []int32 }

func (t *tails) row(u int32) []int32 { return t.item[t.start[u]:t.start[u+1]] }

func (n *network) indexTails() {
	t := tails{make([]int32, len(n.nodes)+1), make([]int32, len(n.arcs))}
	for i := range n.arcs {
		t.start[n.arcs[i].from+1]++
	}
	for v := range n.nodes {
		t.start[v+1] += t.start[v]
	}
	next := slices.Clone(t.start[:len(n.nodes)])
	for i := range n.arcs {
		u := n.arcs[i].from
		t.item[next[u]] = int32(i)
		next[u]++
	}
	n.out = t
}
