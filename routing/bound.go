package routing

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// BoundKind says what a bound knows of the problem.
type BoundKind string

// The kinds of bounds, weakest first.
const (
	ByReach    BoundKind = "reach"    // least delays, whatever the capacity
	ByMatching BoundKind = "matching" // every terminal needs a slot of some parent that is near enough
	BySlots    BoundKind = "slots"    // slots multiply through time, and no node is used twice
	ByProof    BoundKind = "proof"    // the optimum itself
)

// Bounds say how good a plan is.
type Bounds struct {
	// Reachable is the number of viewers in bound if capacity were no object: the
	// bound that physics sets.
	Reachable int64
	// InBound is the most viewers that any plan can have in bound, as far as is
	// proven.
	InBound   int64
	InBoundBy BoundKind
	// LeastLateMs is the least lateness, as far as is proven, of serving the plan's
	// viewers, the same in bound. When it was found by reach alone it holds whoever
	// is in bound.
	LeastLateMs float64
	LateBy      BoundKind
	// CostUSD is the least cost, as far as is proven, of serving the same
	// viewers, the same in bound, with no more lateness. It is no bound for plans
	// that differ in these.
	CostUSD float64
	// QuantumMs is the resolution of delay at which the cost bound was found.
	QuantumMs float64
}

// Gap is by how much the plan's cost exceeds the bound, relative to the bound.
func (b Bounds) Gap(cost float64) float64 {
	if cost <= b.CostUSD+costTie {
		return 0
	}
	if b.CostUSD <= 0 {
		return math.Inf(1)
	}
	return cost/b.CostUSD - 1
}

// Bounds computes how good the plan can be at all, spending about the given
// time, counted in steps, on it. Arcs that it finds to be in no better plan are
// left out of later improvement.
func (p *Planner) Bounds(budget time.Duration) Bounds {
	steps := int64(budget.Seconds() * 1000 * stepsPerMs)
	var b Bounds
	spare := 0.0 // lateness above the least, of all tracks: any may have it all
	alone := make([]*treeState, len(p.solvers))
	own := make([]*loads, len(p.solvers))
	for i := range p.solvers {
		alone[i], own[i] = p.alone(i)
		spare += alone[i].lateSpare()
	}
	b.InBoundBy, b.LateBy = ByReach, ByReach
	if p.Proven() {
		b.InBoundBy, b.LateBy = ByProof, ByProof
	}
	for i, s := range p.solvers {
		t := alone[i]
		b.Reachable += t.p.reachable()
		for _, e := range t.p.unusable {
			if t.leastTo(p.d.Graph, e.Node) <= s.k.bound(e)+boundSlackMs {
				b.Reachable += e.Viewers
			}
		}
		score := t.score()
		if p.Proven() {
			b.InBound += score.InBound
			b.LeastLateMs += score.LateMs
			b.CostUSD += score.CostUSD
			continue
		}
		b = b.withSlots(p.d.Graph, s.k, own[i], t, steps/int64(2*len(p.solvers)))
		cost, quantum, pruned := costBound(t, spare, steps/int64(len(p.solvers)))
		if len(p.solvers) == 1 && s.ideal() && len(pruned.from) < len(t.p.from) {
			s.narrow(pruned) // what is left to gain is money, and lies there
		}
		b.CostUSD += cost
		b.QuantumMs = max(b.QuantumMs, quantum)
	}
	return b
}

// withSlots returns b with the bounds of one more track, on viewers in bound and
// on lateness. Slots are looked at where they cost something.
func (b Bounds) withSlots(g *Graph, k *Track, l *loads, t *treeState, steps int64) Bounds {
	score := t.score()
	reach, inBound, least := t.p.reachable(), t.p.assignable(), t.leastLate()
	if inBound < reach && b.InBoundBy == ByReach {
		b.InBoundBy = ByMatching
	}
	local := t.p.local.InBound
	if score.InBound < inBound && steps > 0 {
		if s := newSlotBound(g, k, l, t, goalInBound); s != nil {
			// A hair is added for rounding; viewers come whole.
			x := s.run(float64(score.InBound-local), steps/2)
			steps -= s.steps
			if most := int64(math.Floor(x*(1+1e-9)+1e-6)) + local; most < inBound {
				inBound = max(most, score.InBound)
				b.InBoundBy = BySlots
			}
		}
	}
	if score.LateMs > least+lateTie && steps > 0 {
		if s := newSlotBound(g, k, l, t, goalLate); s != nil {
			if x := -s.run(-score.LateMs, steps) * (1 - 1e-9); x > least {
				least = min(x, score.LateMs)
				b.LateBy = BySlots
			}
		}
	}
	b.InBound += inBound
	b.LeastLateMs += least
	return b
}

// alone is track i's tree in a problem that knows no other track, which is what
// a bound must assume; for a single track it is the problem itself.
func (p *Planner) alone(i int) (*treeState, *loads) {
	s := p.solvers[i]
	if len(p.solvers) == 1 {
		return s.r.best, s.l
	}
	own := &loads{g: p.d.Graph, egress: make([]float64, p.d.Graph.Len())}
	if p.loads.arc != nil {
		own.arc = make([]float64, len(p.loads.arc))
	}
	for _, t := range s.k.Terminals {
		if t.Node == s.k.Source {
			own.egress[t.Node] = s.k.RateMbps * float64(t.Viewers)
		}
	}
	o := &solver{g: s.g, k: s.k, l: own, rng: s.rng, copies: s.copies}
	tree := s.tree()
	o.build(&tree)
	o.r.cur.load(s.k.Source, tree, o.localNumbers()) // as it is, whatever it leaves out
	return o.r.cur, own
}

// leastTo is the least delay to a node of the graph that the problem left out.
func (t *treeState) leastTo(g *Graph, node int) float64 {
	p, least := t.p, math.Inf(1)
	for u := range p.n {
		if a, ok := g.Arc(int(p.node[u]), node); ok && p.slots[u] > 0 {
			least = min(least, p.least[u]+g.nodes[p.node[u]].ProcMs+a.DelayMs)
		}
	}
	return least
}

// leastLate is the least lateness of serving what the tree serves.
func (t *treeState) leastLate() float64 {
	least := 0.0
	for _, v := range t.p.terminals {
		if late := t.p.least[v] - t.p.bound[v]; t.c[v].status == rooted && late > boundSlackMs {
			least += float64(t.p.viewers[v]) * late
		}
	}
	return least
}

// lateSpare is by how much the tree's lateness exceeds what its late terminals
// could have.
func (t *treeState) lateSpare() float64 {
	spare := 0.0
	for _, v := range t.p.terminals {
		if late := t.c[v].delay - t.p.bound[v]; t.c[v].status == rooted && late > boundSlackMs {
			spare += float64(t.p.viewers[v]) * (late - max(0, t.p.least[v]-t.p.bound[v]))
		}
	}
	return spare
}

// targets lists the terminals a tree serves and the latest arrival of each in
// any tree that serves the same, has the same in bound, and is not later in sum.
func (t *treeState) targets(spare float64) (served []int32, deadline []float64) {
	p := t.p
	deadline = make([]float64, p.n)
	for _, v := range p.terminals {
		if t.c[v].status != rooted {
			continue
		}
		served = append(served, v)
		deadline[v] = p.bound[v]
		if t.c[v].delay > p.bound[v]+boundSlackMs {
			deadline[v] = max(p.least[v], p.bound[v]) + (spare+lateTie)/float64(p.viewers[v])
		}
	}
	return served, deadline
}

// quanta are the resolutions tried, coarse to fine; the first knows no layers.
var quanta = []float64{math.Inf(1), 4, 2, 1, 0.5, 0.25, 0.125, 0.0625, 0.03125}

const (
	// maxLayeredArcs bounds the memory of a layered graph: 8 bytes each.
	maxLayeredArcs = 40_000_000
	// layeredArcsPerMs is how large a layered graph may be to be worked through,
	// many times over, in a millisecond of budget.
	layeredArcsPerMs = 9_000
	// layeredStep is what looking at one layered arc takes, in steps: they lie in
	// rows, and are looked at in order.
	layeredStep = 0.25
	// ascendRounds is in how many small steps the bound is raised.
	ascendRounds = 32
	// maxAscendRounds is how small the steps become at last.
	maxAscendRounds = 256
)

// costBound bounds from below the cost of serving what the tree serves, with
// finer and finer resolution until the bound meets the tree or steps are spent. The
// problem it returns has lost arcs that no better tree has.
func costBound(t *treeState, spare float64, steps int64) (bound, quantum float64, pruned *problem) {
	targets, deadline := t.targets(spare)
	if len(targets) == 0 {
		return 0, 0, t.p
	}
	cost := t.score().CostUSD
	left := float64(steps)
	p := t.p
	rounds := ascendRounds
	for i := 0; left > 0; i++ {
		q := quanta[min(i, len(quanta)-1)]
		if i >= len(quanta) {
			// No finer, but in smaller steps, and with the arcs that are left.
			if rounds *= 2; rounds > maxAscendRounds {
				break
			}
		}
		g := newLayered(p, deadline, targets, q, maxLayeredArcs)
		if g == nil {
			break
		}
		g.ascend(rounds, int64(left/layeredStep))
		left -= layeredStep * float64(g.steps+int64(len(g.reduced)))
		if g.bound > bound || i == 0 {
			bound, quantum = g.bound, q
		}
		if bound >= cost-costTie {
			break
		}
		// No better tree has an arc whose use alone costs more than the gap.
		before := len(p.from)
		p = p.without(g.useless(cost - g.bound + costTie))
		left -= layeredStep * float64(2*len(g.reduced))
		arcs := float64(len(g.reduced)) * float64(len(p.from)) / float64(max(before, 1))
		if math.IsInf(q, 1) || i >= len(quanta) {
			continue
		}
		// Skip to the finest resolution that the budget lets through.
		most := left / stepsPerMs * layeredArcsPerMs
		for i+2 < len(quanta) && arcs*q/quanta[i+2] <= most {
			i++
		}
		if arcs*2 > most {
			break
		}
	}
	// The sum of many raises may exceed the truth by rounding.
	return min(bound*(1-1e-12), cost), quantum, p
}

// assignable is the most viewers that could be in bound if each terminal needed
// a slot of a parent near enough by least delays, and nothing else: a
// maximum-weight transversal, greedy by weight (Edmonds and Fulkerson, 1965).
func (p *problem) assignable() int64 {
	m := slotMatching{p: p, room: slices.Clone(p.slots), holder: make([]int32, p.n), seen: make([]bool, p.n)}
	for i := range m.holder {
		m.holder[i] = -1
	}
	order := slices.Clone(p.terminals)
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(p.viewers[b], p.viewers[a]) })
	total := p.local.InBound
	for _, t := range order {
		clear(m.seen)
		if p.least[t] <= p.bound[t]+boundSlackMs && m.augment(t) {
			total += p.viewers[t]
		}
	}
	return total
}

// slotMatching assigns terminals to slots of parents.
type slotMatching struct {
	p      *problem
	room   []int32
	holder []int32 // parent of each terminal, -1 for none
	seen   []bool  // parents visited in this round
}

func (m *slotMatching) augment(t int32) bool {
	p := m.p
	near := func(a int32) bool { return p.least[p.from[a]]+p.hop[a] <= p.bound[t]+boundSlackMs }
	for a := p.inStart[t]; a < p.inStart[t+1]; a++ {
		if u := p.from[a]; m.room[u] > 0 && near(a) {
			m.room[u]--
			m.holder[t] = u
			return true
		}
	}
	for a := p.inStart[t]; a < p.inStart[t+1]; a++ {
		u := p.from[a]
		if m.seen[u] || !near(a) {
			continue
		}
		m.seen[u] = true
		for _, x := range p.terminals {
			if m.holder[x] == u && m.augment(x) {
				m.holder[t] = u
				return true
			}
		}
	}
	return false
}
