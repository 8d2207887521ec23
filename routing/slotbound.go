package routing

import "math"

// A bound that knows slots. Relax the tree: a slot is a place and a time from
// which one node may be fed, and a node that is heard at a time brings slots of
// its own from then on. What remains of the problem is a flow with gains through
// time, in which no node may be used more often than it exists; that limit is
// priced (Lagrange). For given prices the best flow falls apart: the value of a
// slot at (place, time) is that of the best node it can feed, slots included,
// less the node's price, and follows from later times by recursion. Any prices
// give a valid bound; a subgradient method looks for good ones.
//
// Times are rounded down to a quantum, so that no tree is lost.

// slotKind is a node, or several that are alike.
type slotKind struct {
	spot    int32
	node    int32 // in the problem; any one of the class
	slots   float64
	copies  float64
	viewers int64 // 0 for relays
	bound   float64
	last    int32 // layer in which it must be heard; mandatory terminals only
	must    bool
	base    float64 // price of a use at which a terminal is worth nothing
	least   float64 // the lowest price that is valid
	net     float64 // a terminal's worth above its price; a relay's price
	saved   float64 // net at the best bound
	uses    float64
	drift   float64 // uses, smoothed
	floor   float64 // least arrival
	top     float64 // what hearing the track is worth at best
}

// slotGoal is what is bounded.
type slotGoal int

const (
	goalInBound slotGoal = iota // viewers in bound, from above
	goalLate                    // lateness for the same viewers served and in bound, from below
)

// slotBound is the relaxation of one tree's problem for one goal, which is
// maximised: lateness counts negative.
type slotBound struct {
	goal    slotGoal
	quantum float64
	layers  int32
	kinds   []slotKind
	source  int32 // spot
	fan     float64
	largest float64 // a terminal's viewers, at most

	// Spots, by (place, processing); arcs between them by tail.
	spotOf   []int32 // of each node of the problem
	nodeOf   []int32 // any node of each spot
	spots    int32
	lo       []int32 // first layer in which it can be heard
	start    []int32
	to       []int32
	hop      []int32 // layers
	kindsOf  [][]int32
	value    []float64 // of a slot, by spot and layer
	next     []int32   // arc that the best use of a slot takes, -1 for none
	gain     []float64 // of feeding the best node at a spot in a layer
	bestKind []int32
	mass     []float64
	fed      []float64
	shares   []slotShare
	sharp    int

	steps int64
}

const (
	// maxSlotLayers bounds the resolution in time.
	maxSlotLayers = 1200
	// maxSlotCells bounds the memory: arcs times layers is the work of a round.
	maxSlotCells = 60_000_000
	// slotCellStep is what an arc in a layer takes, in steps.
	slotCellStep = 0.5
	// lateHorizon ends time, in multiples of the latest least delay or bound; who
	// is heard later counts as heard then, and needs no slot.
	lateHorizon = 1.6
	// slotLayers is how many layers are aimed at; fewer if arcs are many.
	slotLayers = 700
)

// run lowers the bound until it meets the target, or the steps are spent, and
// returns it.
//
// Slots multiply on their way out, and so do errors in prices: a node that is
// worth a little too much, where many slots may lead to it, is worth a fortune at
// the source. So the search starts from prices that are right if slots multiplied
// freely, a one-dimensional problem (Kraft's inequality, priced), and then
// changes each by a factor, up or down, as its node is used too often or too
// seldom.
func (b *slotBound) run(target float64, steps int64) float64 {
	limit := b.steps + steps
	b.sharp = 5
	b.multiply()
	best := b.begin(target, limit)
	b.evaluate()
	rate, waiting := 0.4, 0
	for b.steps <= limit && best > target+1e-9*math.Abs(target) && rate > 0.004 {
		b.adjust(rate)
		x := b.evaluate()
		if x < best-1e-5*math.Abs(best-target) {
			waiting = 0
		} else {
			waiting++
		}
		if x < best {
			best = x
			b.save()
		}
		if waiting > 10 {
			waiting = 0
			rate *= 0.6
			b.sharp = min(b.sharp+1, 9)
			b.restore()
			b.evaluate()
		}
	}
	return best
}

func (b *slotBound) save() {
	for i := range b.kinds {
		b.kinds[i].saved = b.kinds[i].net
	}
}

func (b *slotBound) restore() {
	for i := range b.kinds {
		b.kinds[i].net = b.kinds[i].saved
		b.kinds[i].drift = 0
	}
}

// multiply finds for every spot and layer how many nodes could be fed there by
// then from one slot of the source, if slots multiplied freely.
func (b *slotBound) multiply() {
	n := int(b.layers)
	clear(b.fed)
	clear(b.mass)
	b.mass[int(b.source)*n] = 1
	fan := make([]float64, b.spots)
	for i, kinds := range b.kindsOf {
		for _, v := range kinds {
			fan[i] = max(fan[i], b.kinds[v].slots)
		}
	}
	for layer := range b.layers {
		for i := range b.spots {
			at := int(i)*n + int(layer)
			m := b.mass[at]
			if layer > 0 {
				b.fed[at] = max(b.fed[at], b.fed[at-1])
			}
			if m == 0 {
				continue
			}
			for a := b.start[i]; a < b.start[i+1]; a++ {
				heard := layer + b.hop[a]
				if heard >= b.layers {
					continue
				}
				to := int(b.to[a])*n + int(heard)
				b.fed[to] = max(b.fed[to], m)
				b.mass[to] = max(b.mass[to], min(m*fan[b.to[a]], 1e250))
			}
		}
	}
	b.steps += int64(slotCellStep * float64(len(b.to)) * float64(b.layers))
}

// begin finds the best prices for slots that multiply freely: each terminal's is
// such that a slot of the source is worth a unit, whomever it leads to. The bound
// is convex in the unit.
func (b *slotBound) begin(target float64, limit int64) float64 {
	const half = 2 // steps of the unit to a doubling
	best, at := math.Inf(1), 0
	unit := func(i int) float64 {
		if i == 0 {
			return 0
		}
		return b.largest * math.Pow(2, float64(i)/half-6)
	}
	try := func(i int) bool {
		b.setUnit(unit(i))
		x := b.evaluate()
		if x < best {
			best, at = x, i
			b.save()
			return true
		}
		return false
	}
	try(0)
	for i := 2; i < 40 && b.steps < limit && best > target+1e-9*math.Abs(target); i += 2 {
		if !try(i) && i > at+4 {
			break
		}
	}
	if at > 0 && b.steps < limit && !try(at-1) {
		try(at + 1)
	}
	b.restore()
	return best
}

// setUnit prices terminals for a value of a slot of the source.
func (b *slotBound) setUnit(unit float64) {
	n := int(b.layers)
	for i := range b.kinds {
		k := &b.kinds[i]
		k.net, k.drift = 0, k.copies
		if k.viewers == 0 || k.copies == 0 || unit == 0 {
			continue
		}
		k.net = math.Inf(1)
		for layer := max(b.lo[k.spot], 0); layer <= min(k.last, b.layers-1); layer++ {
			if f := b.fed[int(k.spot)*n+int(layer)]; f > 0 {
				k.net = min(k.net, unit/f-b.worth(k, layer)+k.top)
			}
		}
		if math.IsInf(k.net, 1) {
			k.net = 0
		}
	}
}

// adjust changes what each node is worth above its price by a factor, against
// the excess of its uses.
func (b *slotBound) adjust(rate float64) {
	n := int(b.layers)
	for i := range b.kinds {
		k := &b.kinds[i]
		k.drift = 0.7*k.drift + 0.3*min(k.uses, 16*k.copies)
		x := math.Log((k.drift + 0.02*k.copies) / (k.copies * 1.02))
		x = max(-1, min(1, x))
		if k.viewers > 0 {
			k.net *= math.Exp(-rate * x)
			continue
		}
		// Relays have a price only, and it starts at a share of what one brings.
		if k.net == 0 && x > 0 {
			k.net = 0.1 * k.slots * b.value[int(k.spot)*n+int(max(b.lo[k.spot], 0))]
		}
		k.net *= math.Exp(rate * x)
	}
}

// price is what a use of kind k costs.
func (b *slotBound) price(k *slotKind) float64 {
	switch {
	case k.viewers == 0:
		return k.net
	case b.goal == goalInBound:
		return max(0, k.base-k.net)
	}
	return max(k.least, k.base-k.net)
}

// worth is what hearing the track in a layer is worth to kind k.
func (b *slotBound) worth(k *slotKind, layer int32) float64 {
	switch {
	case k.viewers == 0:
		return 0
	case k.must && layer > k.last:
		return math.Inf(-1)
	case b.goal == goalInBound:
		if layer <= k.last {
			return float64(k.viewers)
		}
		return 0
	case b.goal == goalLate:
		return -float64(k.viewers) * max(0, max(float64(layer)*b.quantum, k.floor)-k.bound-boundSlackMs)
	}
	return 0
}

// evaluate computes the bound for the current prices, and how often the best
// flow uses each node.
func (b *slotBound) evaluate() float64 {
	n := int(b.layers)
	for layer := b.layers - 1; layer >= 0; layer-- {
		for i := range b.spots {
			if layer < b.lo[i] {
				continue
			}
			best, arc := 0.0, int32(-1)
			for a := b.start[i]; a < b.start[i+1]; a++ {
				at := layer + b.hop[a]
				if at >= b.layers {
					continue
				}
				if x := b.gain[int(b.to[a])*n+int(at)]; x > best {
					best, arc = x, a
				}
			}
			at := int(i)*n + int(layer)
			b.value[at], b.next[at] = best, arc
			gain, kind := math.Inf(-1), int32(-1)
			for _, v := range b.kindsOf[i] {
				k := &b.kinds[v]
				if x := b.worth(k, layer) + k.slots*best - b.price(k); x > gain {
					gain, kind = x, v
				}
			}
			b.gain[at], b.bestKind[at] = gain, kind
		}
	}
	b.steps += int64(slotCellStep * float64(len(b.to)) * float64(b.layers))
	bound := b.fan * b.value[int(b.source)*n]
	for i := range b.kinds {
		b.kinds[i].uses = 0
		bound += b.kinds[i].copies * b.price(&b.kinds[i])
	}
	b.count()
	return bound
}

// count follows the best flow from the source. Uses that are nearly as good as
// the best get their share: of two that are equal a subgradient may take either,
// and going back and forth between them leads nowhere.
func (b *slotBound) count() {
	n := int(b.layers)
	clear(b.mass)
	b.mass[int(b.source)*n] = b.fan
	for layer := range b.layers {
		for i := range b.spots {
			at := int(i)*n + int(layer)
			m := b.mass[at]
			if m < 1e-6 || b.next[at] < 0 {
				continue
			}
			b.shares = b.shares[:0]
			sum := 0.0
			for a := b.start[i]; a < b.start[i+1]; a++ {
				heard := layer + b.hop[a]
				if heard >= b.layers {
					continue
				}
				to := int(b.to[a])*n + int(heard)
				if b.gain[to] < 0.85*b.value[at] {
					continue
				}
				for _, v := range b.kindsOf[b.to[a]] {
					k := &b.kinds[v]
					r := (b.worth(k, heard) + k.slots*b.value[to] - b.price(k)) / b.value[at]
					if r < 0.85 {
						continue
					}
					for range b.sharp {
						r *= r
					}
					r *= k.copies
					sum += r
					b.shares = append(b.shares, slotShare{v, int32(to), r})
				}
			}
			for _, x := range b.shares {
				k := &b.kinds[x.kind]
				y := m * x.part / sum
				k.uses += y
				b.mass[x.to] = min(b.mass[x.to]+y*k.slots, 1e9)
			}
		}
	}
}

// slotShare is a part of a slot's use.
type slotShare struct {
	kind, to int32
	part     float64
}
