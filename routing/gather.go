package routing

import (
	"math"
	"slices"
)

// Construction from the leaves up, for short slots. Where every node may have
// but few children, a slot near the source is worth many farther out, and to
// hang terminals into a growing tree one by one gives the near ones to whoever
// comes first. So the tree is built as Huffman's (1952) is: subtrees are joined,
// two at a time, below one of their own roots or below a relay, until so few are
// left that the source can feed them. A subtree has slack: by how much the track
// may be late at its root beyond the least delay. With F children per node and a
// hop of h to the next copy, a subtree of slack s takes F^(-s/h) of the source's
// slots (Kraft); each step joins the two that save most of that, or lose least.

// gatherer builds trees from the leaves up.
type gatherer struct {
	p *problem
	s *search

	*dense

	places []int32 // relays that may be roots, one of each place
	twins  [][]int32

	roots []int32     // of the groups that are left
	limit []float64   // by root: latest arrival
	slack [][]float64 // by root: at each of places, if its group hung there
	best  []gatherJoin
	rate  float64 // of the fall of a group's share with its slack
}

// gatherJoin joins two groups below node top, one of their roots or a relay.
type gatherJoin struct {
	other, top int32 // -1 for none
	limit      float64
	gain       float64
}

// Limits on what a gatherer looks at: beyond the first it is of no use for its
// time; the second bounds the work of the first look at all pairs.
const (
	maxGathered   = 700
	maxGatherWork = 4_000_000
)

func newGatherer(s *search) *gatherer {
	p := s.p
	g := &gatherer{p: p, s: s, dense: s.matrix}
	g.limit, g.slack, g.best = make([]float64, p.n), make([][]float64, p.n), make([]gatherJoin, p.n)
	return g
}

// choosePlaces picks the relays that may become roots: of each place one, and if
// that is too many, those that are near enough to most of the terminals.
func (g *gatherer) choosePlaces(terminals []int32) {
	p := g.p
	g.places, g.twins = g.places[:0], g.twins[:0]
	at := map[int32]int{}
	for r := int32(1); r < p.n; r++ {
		if p.viewers[r] > 0 || p.slots[r] < 2 || g.s.cur.c[r].status != outside {
			continue
		}
		if i, ok := at[p.place[r]]; ok {
			g.twins[i] = append(g.twins[i], r)
			continue
		}
		at[p.place[r]] = len(g.places)
		g.places, g.twins = append(g.places, r), append(g.twins, nil)
	}
	k := len(terminals)
	most := max(8, 2*maxGatherWork/max(1, k*k))
	if len(g.places) <= most {
		return
	}
	near := make([]int, p.n)
	order := make([]int, len(g.places))
	for i, r := range g.places {
		order[i] = i
		for _, t := range terminals {
			if g.limit[t]-g.hop[g.at(r, t)] >= p.least[r] {
				near[r]++
			}
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return near[g.places[b]] - near[g.places[a]] })
	places, twins := make([]int32, most), make([][]int32, most)
	for j, i := range order[:most] {
		places[j], twins[j] = g.places[i], g.twins[i]
	}
	g.places, g.twins = places, twins
}

// weigh is the share of the source's slots that a group of some slack takes.
func (g *gatherer) weigh(slack float64) float64 { return math.Exp(-g.rate * slack) }

// look notes what slack the group of v would have at every place.
func (g *gatherer) look(v int32) {
	row := g.slack[v]
	if cap(row) < len(g.places) {
		row = make([]float64, len(g.places))
	}
	row = row[:len(g.places)]
	for i, r := range g.places {
		row[i] = math.Inf(-1)
		if r >= 0 {
			row[i] = g.limit[v] - g.hop[g.at(r, v)] - g.p.least[r]
		}
	}
	g.slack[v] = row
}

// join finds the best way to join the groups of a and b.
func (g *gatherer) join(a, b int32) gatherJoin {
	p, t := g.p, g.s.cur
	none := gatherJoin{other: -1, top: -1, gain: math.Inf(-1)}
	if w := g.s.f.weightLimit; w > 0 && t.c[a].weight+t.c[b].weight > w {
		return none
	}
	slack, at := -boundSlackMs, -1
	x, y := g.slack[a], g.slack[b]
	y = y[:len(x)]
	for i, s := range x {
		if s > slack && y[i] > slack {
			slack, at = min(s, y[i]), i
		}
	}
	best := none
	if at >= 0 {
		best = gatherJoin{other: b, top: g.places[at], limit: slack + p.least[g.places[at]]}
	}
	// Below a root of their own, at equal slack, they need no relay.
	for range 2 {
		if t.c[a].kids < p.slots[a] {
			limit := min(g.limit[a], g.limit[b]-g.hop[g.at(a, b)])
			if s := limit - p.least[a]; s >= slack {
				slack = s
				best = gatherJoin{other: b, top: a, limit: limit}
			}
		}
		a, b = b, a
	}
	if best.top < 0 {
		return none
	}
	best.other = b
	best.gain = g.weigh(g.limit[a]-p.least[a]) + g.weigh(g.limit[b]-p.least[b]) - g.weigh(slack)
	return best
}

// gather joins groups until at most want are left, or no two can be joined in
// time. The roots are outside, or roots of floating subtrees.
func (g *gatherer) gather(roots []int32, want int, rate float64) {
	t := g.s.cur
	g.rate = rate
	g.roots = append(g.roots[:0], roots...)
	for _, v := range g.roots {
		if t.c[v].status == outside {
			t.detach(v)
			g.limit[v] = g.p.deadline[v]
		} else {
			g.limit[v] = t.limit(v)
		}
	}
	g.choosePlaces(g.roots)
	for _, v := range g.roots {
		g.look(v)
	}
	for i := range g.roots {
		g.rematch(i)
	}
	for len(g.roots) > want {
		at := -1
		for i, v := range g.roots {
			if g.best[v].top >= 0 && (at < 0 || g.best[v].gain > g.best[g.roots[at]].gain) {
				at = i
			}
		}
		if at < 0 {
			return
		}
		g.take(at)
	}
}

// rematch finds the best partner of group i among those after it.
func (g *gatherer) rematch(i int) {
	a := g.roots[i]
	best := gatherJoin{other: -1, top: -1, gain: math.Inf(-1)}
	for _, b := range g.roots[i+1:] {
		if j := g.join(a, b); j.gain > best.gain {
			best = j
		}
	}
	g.best[a] = best
	g.s.f.steps += int64((len(g.roots) - i) * (len(g.places)/8 + 4))
}

// take makes the best join of group at. The new group takes its place among the
// groups, and the other's is closed.
func (g *gatherer) take(at int) {
	t := g.s.cur
	a := g.roots[at]
	j := g.best[a]
	place := -1
	if j.top != a && j.top != j.other {
		place = slices.Index(g.places, j.top)
		t.detach(j.top)
	}
	for _, v := range [2]int32{a, j.other} {
		if v != j.top {
			t.link(v, g.arc[g.at(j.top, v)])
		}
	}
	g.limit[j.top] = j.limit
	g.roots[at] = j.top
	gone := -1
	for i, v := range g.roots {
		if i != at && (v == j.other || v == a) {
			gone = i
		}
	}
	g.roots = slices.Delete(g.roots, gone, gone+1)
	g.look(j.top)
	if place >= 0 {
		g.replace(place)
	}
	mine := slices.Index(g.roots, j.top)
	for i, v := range g.roots {
		b := &g.best[v]
		switch {
		case i == mine, b.other == a, b.other == j.other, place >= 0 && b.top == j.top:
			g.rematch(i)
		case i < mine:
			if x := g.join(v, j.top); x.gain > b.gain {
				*b = x
			}
			g.s.f.steps += int64(len(g.places)/8 + 4)
		}
	}
}

// replace puts the next relay of the same place where one has been used.
func (g *gatherer) replace(i int) {
	if len(g.twins[i]) > 0 {
		g.places[i], g.twins[i] = g.twins[i][0], g.twins[i][1:]
		return
	}
	g.places[i] = -1
	for _, v := range g.roots {
		g.slack[v][i] = math.Inf(-1)
	}
}
