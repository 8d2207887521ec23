package routing

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Standby trees. A terminal whose path has inner nodes gets a second path whose
// inner nodes share no group with them. The second paths form a tree too, so a
// terminal can hang only below nodes whose own backup path avoids what the
// terminal must avoid. Capacity is reserved for any single failure: what one
// loss activates together must fit beside what is left running, but two losses
// are not expected together.

// protector builds the standby tree of one track.
type protector struct {
	g      *Graph
	k      *Track
	p      *problem
	groups failGroups // of the grade asked for
	wide   failGroups // of all grades up to it: what is avoided if that is possible
	nodes  failGroups // at grade node, which every grade includes
	t      *treeState
	f      *finder

	avoid     []map[int32]bool // by node of p: groups on its primary path
	avoidWide []map[int32]bool
	shun      []map[int32]bool // by node of p: nodes on its primary path, numbered as in p
	needs     []int32          // terminals that need a second path
	local     []int32
	reserve   *reservation
}

// Protect returns a copy of the plan with standby trees that survive the loss
// of any one group of the grade, for as many viewers as it can find a way for.
func Protect(d *Demand, plan *Plan, grade Grade, seed uint64) (*Plan, error) {
	l, err := newLoads(d)
	if err != nil {
		return nil, err
	}
	out := &Plan{Tracks: slices.Clone(plan.Tracks)}
	for i := range d.Tracks {
		l.add(&d.Tracks[i], plan.Tracks[i].Tree, +1)
	}
	rng := rand.New(rand.NewPCG(seed, 0x6261636b7570))
	for i := range d.Tracks {
		pr := newProtector(d, i, plan.Tracks[i].Tree, l, grade)
		out.Tracks[i].Backup = pr.best(rng)
		pr.reserve.commit(l, pr)
	}
	return out, nil
}

// backupOrders is how many orders of terminals are tried, of which the best counts.
const backupOrders = 12

func newProtector(d *Demand, i int, tree Tree, l *loads, grade Grade) *protector {
	k := &d.Tracks[i]
	pr := &protector{
		g: d.Graph, k: k,
		groups: newFailGroups(d.Graph, max(grade, ByNode)),
		wide:   newFailGroups(d.Graph, min(max(grade, ByNode), ByRegion)),
		nodes:  newFailGroups(d.Graph, ByNode),
	}
	pr.build(tree, l)
	delays := tree.Delays(d.Graph, k.Source)
	for _, t := range pr.p.terminals {
		v := int(pr.p.node[t])
		if delays[v] < 0 {
			continue // not served: nothing to protect
		}
		groups, _ := pr.groups.inner(tree, k.Source, v)
		wide, _ := pr.wide.inner(tree, k.Source, v)
		inner, _ := pr.nodes.inner(tree, k.Source, v)
		if len(inner) == 0 {
			continue
		}
		pr.avoid[t], pr.shun[t] = map[int32]bool{}, map[int32]bool{}
		for _, g := range groups {
			pr.avoid[t][g] = true
		}
		pr.avoidWide[t] = map[int32]bool{}
		for _, g := range wide {
			pr.avoidWide[t][g] = true
		}
		for _, n := range inner {
			pr.shun[t][n] = true
		}
		pr.needs = append(pr.needs, t)
	}
	pr.reserve = newReservation(pr, tree, l)
	return pr
}

// build makes the problem of the standby tree. Its slots ignore egress, which
// the reservation judges; loads of arcs do not count for backups.
func (pr *protector) build(tree Tree, l *loads) {
	free := &loads{g: pr.g, egress: make([]float64, pr.g.Len())}
	if l.arc != nil {
		free.arc = make([]float64, len(l.arc))
	}
	var keep []int32
	for v, u := range tree.Parent {
		if u != None {
			keep = append(keep, int32(v))
		}
	}
	s := &solver{g: pr.g, k: pr.k, l: free}
	// A standby tree needs relays beside the primary's.
	copies := s.firstCopies()
	for c := range copies {
		copies[c]++
	}
	pr.p = newProblem(pr.g, pr.k, free, copies, keep, false)
	pr.t = newTreeState(pr.p)
	pr.f = newFinder(pr.p)
	pr.avoid = make([]map[int32]bool, pr.p.n)
	pr.avoidWide = make([]map[int32]bool, pr.p.n)
	pr.shun = make([]map[int32]bool, pr.p.n)
	pr.local = make([]int32, pr.g.Len())
	for i := range pr.local {
		pr.local[i] = -1
	}
	for v, gv := range pr.p.node {
		pr.local[gv] = int32(v)
	}
}

// level says how much a backup path must avoid.
type level int

const (
	nodesOnly level = iota // the nodes of the primary path
	asAsked                // and their groups
	allGrades              // and the groups of narrower grades: a provider's loss is not the only one
)

// conflicts reports whether node u, as an inner node of the backup path of
// terminal t, shares a fate with t's primary path.
func (pr *protector) conflicts(t, u int32, l level) bool {
	gu, gt := pr.p.node[u], pr.p.node[t]
	shares := func(f *failGroups, avoid []map[int32]bool) bool {
		group := f.of[gu]
		return group != f.of[pr.k.Source] && group != f.of[gt] && avoid[t][group]
	}
	return pr.shun[t][gu] ||
		l >= asAsked && shares(&pr.groups, pr.avoid) ||
		l >= allGrades && shares(&pr.wide, pr.avoidWide)
}

// best tries several orders of the terminals and keeps the tree that protects
// most.
func (pr *protector) best(rng *rand.Rand) Tree {
	var best Tree
	var bestValue [3]int64
	bestCost := math.Inf(1)
	order := slices.Clone(pr.needs)
	noise := make([]float64, pr.p.n)
	for try := range backupOrders {
		for _, t := range order {
			noise[t] = 1
			if try > 1 {
				noise[t] = 0.2 + rng.Float64()
			}
		}
		slices.SortFunc(order, func(a, b int32) int {
			x, y := float64(pr.p.viewers[a])*noise[a], float64(pr.p.viewers[b])*noise[b]
			if try == 1 { // who has least time to spare first
				x, y = pr.p.least[a]-pr.p.bound[a], pr.p.least[b]-pr.p.bound[b]
			}
			return cmp.Or(cmp.Compare(y, x), cmp.Compare(a, b))
		})
		value, cost := pr.construct(order)
		c := slices.Compare(value[:], bestValue[:])
		if best.Parent == nil || c > 0 || c == 0 && cost < bestCost-costTie {
			best, bestValue, bestCost = pr.t.tree(pr.g.Len()), value, cost
			pr.reserve.keep()
		}
		if w := pr.wanted(); value[0] == w && value[1] == w {
			break
		}
	}
	return best
}

// wanted is the number of viewers who need a second path and may have one in
// bound.
func (pr *protector) wanted() int64 {
	n := int64(0)
	for _, t := range pr.needs {
		if pr.p.least[t] <= pr.p.bound[t]+boundSlackMs {
			n += pr.p.viewers[t]
		}
	}
	return n
}

// construct builds a standby tree in the given order. The value counts viewers
// protected as asked in bound, against narrower losses as well, and protected at
// all.
func (pr *protector) construct(order []int32) (value [3]int64, cost float64) {
	pr.t.reset()
	pr.reserve.reset()
	done := make([]bool, pr.p.n)
	for _, pass := range []struct {
		level  level
		inTime bool
	}{{allGrades, true}, {asAsked, true}, {nodesOnly, true}, {allGrades, false}, {asAsked, false}, {nodesOnly, false}} {
		for relays := range 2 { // first leave terminals out as relays: theirs are the odd paths
			for _, t := range order {
				if done[t] || pr.t.c[t].status != outside {
					continue
				}
				if pr.attach(t, pass.level, pass.inTime, relays == 1) {
					done[t] = true
					w := pr.p.viewers[t]
					if pass.level >= asAsked && pass.inTime {
						value[0] += w
					}
					if pass.level == allGrades && pass.inTime {
						value[1] += w
					}
					value[2] += w
				}
			}
		}
	}
	return value, pr.t.score().CostUSD
}

func (pr *protector) attach(t int32, l level, inTime, overTerminals bool) bool {
	f := pr.f
	f.banned = func(u int32) bool {
		return pr.p.viewers[u] > 0 || pr.conflicts(t, u, l) || !pr.reserve.fits(t, u)
	}
	f.bannedRoot = func(u int32) bool {
		if u > 0 && pr.p.viewers[u] > 0 && !overTerminals {
			return true
		}
		for a := u; a > 0; a = pr.t.c[a].parent {
			if pr.conflicts(t, a, l) {
				return true
			}
		}
		return !pr.reserve.chainFits(t, u)
	}
	limit := pr.p.bound[t]
	if !inTime {
		limit = unlimitedDelay
	}
	p := f.cheapest(pr.t, t, limit, unlimitedDelay)
	if !inTime && p.ok() {
		p = f.fastest(pr.t, t, unlimitedDelay)
	}
	if !p.ok() {
		return false
	}
	f.apply(pr.t, p)
	pr.reserve.activate(t)
	return true
}
