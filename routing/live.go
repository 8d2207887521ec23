package routing

import "math"

// Live is one track's running tree. Joining, leaving and repairing change it in
// place, without garbage: a node decides in microseconds, and the planner's next
// full plan replaces what has become of it. It is not safe for concurrent use.
type Live struct {
	// Fixed at construction.
	g      *Graph
	cap    *Capacity
	source int32
	rate   float64
	bound  float64
	depth  int32

	c       []liveNode
	members []int32 // nodes of the tree, in no order
	version uint64

	// Scratch, sized at construction.
	order []int32
	near  []relayChoice
}

// liveNode is what the tree knows of one node of the graph.
type liveNode struct {
	parent, firstKid, next, prev int32 // -1 for none
	kids, depth                  int32
	at                           int32 // place in members; -1 outside
	arc                          int32 // number of the arc from the parent, explicit graphs only
	delay                        float64
	bound                        float64
	viewers                      int64
	floating                     bool
}

// relayChoice is a relay through which a join could go.
type relayChoice struct {
	node  int32
	delay float64 // from the relay to the joining node, the relay's processing included
	cost  float64
}

// maxRelayChoices is how many relays a join looks at beside its direct parents.
const maxRelayChoices = 6

// JoinResult says what a join did.
type JoinResult uint8

// Results of a join.
const (
	// Carried: the node had the track already.
	Carried JoinResult = iota
	// Attached: the node hangs below a parent now, within its bound.
	Attached
	// AttachedLate: it does, beyond its bound; there was nothing faster.
	AttachedLate
	// Refused: no parent has a free slot, or the node's egress is full.
	Refused
)

// NewLive starts a tree with the source alone. Trees that share nodes share cap.
func NewLive(g *Graph, c *Capacity, k *Track) *Live {
	l := &Live{
		g: g, cap: c, source: int32(k.Source), rate: k.RateMbps, bound: k.BoundMs, depth: int32(k.MaxDepth),
		c: make([]liveNode, g.Len()), members: make([]int32, 0, g.Len()),
		order: make([]int32, 0, g.Len()), near: make([]relayChoice, 0, maxRelayChoices+1),
	}
	if l.depth == 0 {
		l.depth = unlimitedDepth
	}
	for v := range l.c {
		l.c[v] = liveNode{parent: -1, firstKid: -1, next: -1, prev: -1, at: -1, arc: -1, bound: k.BoundMs}
	}
	for _, t := range k.Terminals {
		l.c[t.Node].bound = k.bound(t)
	}
	l.enter(l.source)
	return l
}

// Load replaces the tree by a planned one, with the viewers of the track. Arcs
// and viewers that do not fit are left out; it reports whether all did.
func (l *Live) Load(k *Track, t Tree) bool {
	l.clear()
	whole := t.walk(k.Source, func(v int) {
		u := t.Parent[v]
		if v == k.Source || u == None || l.c[u].at < 0 {
			return
		}
		if arc, ok := l.usable(u, int32(v)); ok {
			l.hang(int32(v), u, arc)
		}
	})
	for _, e := range k.Terminals {
		l.c[e.Node].bound = k.bound(e)
		if e.Viewers == 0 {
			continue
		}
		if l.c[e.Node].at < 0 || !l.cap.fits(int32(e.Node), l.rate*float64(e.Viewers)) {
			whole = whole && e.Node != k.Source && t.Parent[e.Node] == None
			continue
		}
		l.c[e.Node].viewers = e.Viewers
		l.cap.book(int32(e.Node), l.rate*float64(e.Viewers))
	}
	return whole
}

// clear returns the tree's capacity and leaves the source alone.
func (l *Live) clear() {
	for len(l.members) > 0 {
		v := l.members[len(l.members)-1]
		l.cap.book(v, -l.rate*float64(l.c[v].viewers))
		if u := l.c[v].parent; u >= 0 {
			l.cap.book(u, -l.rate)
			l.bookArc(l.c[v].arc, -l.rate)
		}
		l.members = l.members[:len(l.members)-1]
		l.c[v] = liveNode{parent: -1, firstKid: -1, next: -1, prev: -1, at: -1, arc: -1, bound: l.c[v].bound}
	}
	l.enter(l.source)
	l.version++
}

// Version grows with every change of the tree.
func (l *Live) Version() uint64 { return l.version }

// Parent returns the parent of v, [None] outside the tree and for the source.
func (l *Live) Parent(v int) int { return int(l.c[v].parent) }

// Carries reports whether v is in the tree.
func (l *Live) Carries(v int) bool { return l.c[v].at >= 0 }

// DelayMs is the delay at which v hears the track; meaningless outside the tree.
func (l *Live) DelayMs(v int) float64 { return l.c[v].delay }

// Viewers is the number of viewers at v.
func (l *Live) Viewers(v int) int64 { return l.c[v].viewers }

// Tree copies the tree.
func (l *Live) Tree() Tree {
	t := NewTree(len(l.c))
	for v := range l.c {
		t.Parent[v] = l.c[v].parent
	}
	return t
}

func (l *Live) enter(v int32) {
	l.c[v].at = int32(len(l.members))
	l.members = append(l.members, v)
}

func (l *Live) exit(v int32) {
	i := l.c[v].at
	last := l.members[len(l.members)-1]
	l.members[i], l.c[last].at = last, i
	l.members = l.members[:len(l.members)-1]
	l.c[v].at = -1
}

func (l *Live) bookArc(arc int32, mbps float64) {
	if arc >= 0 {
		l.cap.l.arc[arc] += mbps
	}
}

// usable reports whether u can take v as one more child, and the arc's number.
func (l *Live) usable(u, v int32) (arc int32, ok bool) {
	if !l.mayFeed(u) {
		return -1, false
	}
	if l.g.sites != nil {
		return -1, true
	}
	arc = l.g.arcIndex(int(u), int(v))
	return arc, arc >= 0 && l.cap.l.arcFits(arc, l.rate)
}

// mayFeed reports whether u has a slot and egress for one more child.
func (l *Live) mayFeed(u int32) bool {
	n := &l.g.nodes[u]
	return (n.MaxChildren < 0 || int(l.c[u].kids) < n.MaxChildren) && !l.cap.down[u] && !l.c[u].floating && l.cap.fits(u, l.rate)
}

// hang makes v, outside or the root of a floating subtree, a child of u.
func (l *Live) hang(v, u, arc int32) {
	c, up := &l.c[v], &l.c[u]
	if c.at < 0 {
		l.enter(v)
	}
	c.parent, c.arc, c.next, c.prev = u, arc, up.firstKid, -1
	if up.firstKid >= 0 {
		l.c[up.firstKid].prev = v
	}
	up.firstKid = v
	up.kids++
	l.cap.book(u, l.rate)
	l.bookArc(arc, l.rate)
	l.settle(v)
	l.version++
}

// settle recomputes delay and depth below v.
func (l *Live) settle(v int32) {
	c := &l.c[v]
	if c.parent >= 0 {
		up := &l.c[c.parent]
		c.depth, c.floating = up.depth+1, up.floating
		c.delay = up.delay + l.hop(c.parent, v, c.arc)
	}
	for k := c.firstKid; k >= 0; k = l.c[k].next {
		l.settle(k)
	}
}

func (l *Live) hop(u, v, arc int32) float64 {
	if arc >= 0 {
		return l.g.nodes[u].ProcMs + l.g.arcs[arc].DelayMs
	}
	d, _ := l.g.sites.arc(int(u), int(v))
	return l.g.nodes[u].ProcMs + d
}

// unhang takes v from its parent; its subtree floats.
func (l *Live) unhang(v int32) int32 {
	c := &l.c[v]
	u := c.parent
	if u < 0 {
		return -1
	}
	if c.prev >= 0 {
		l.c[c.prev].next = c.next
	} else {
		l.c[u].firstKid = c.next
	}
	if c.next >= 0 {
		l.c[c.next].prev = c.prev
	}
	l.c[u].kids--
	l.cap.book(u, -l.rate)
	l.bookArc(c.arc, -l.rate)
	c.parent, c.arc, c.next, c.prev = -1, -1, -1, -1
	c.delay, c.depth, c.floating = 0, 0, true
	l.settle(v)
	l.version++
	return u
}

// Join adds viewers at node v.
func (l *Live) Join(v int, viewers int64) JoinResult {
	c := &l.c[v]
	mbps := l.rate * float64(viewers)
	if l.cap.down[v] || !l.cap.fits(int32(v), mbps) {
		return Refused
	}
	if c.at < 0 {
		if !l.attach(int32(v), c.bound) {
			return Refused
		}
	} else {
		c.viewers += viewers
		l.cap.book(int32(v), mbps)
		return Carried
	}
	if !l.cap.fits(int32(v), mbps) { // v itself cannot have become a relay, so this holds
		return Refused
	}
	c.viewers += viewers
	l.cap.book(int32(v), mbps)
	if c.delay > c.bound+boundSlackMs {
		return AttachedLate
	}
	return Attached
}

// Leave removes viewers at node v. The node stays until [Live.Prune]: whoever
// left may come back.
func (l *Live) Leave(v int, viewers int64) {
	c := &l.c[v]
	viewers = min(viewers, c.viewers)
	c.viewers -= viewers
	l.cap.book(int32(v), -l.rate*float64(viewers))
}

// Prune removes v and then its ancestors as long as they have neither viewers
// nor children, and returns how many went. Callers wait a while first.
func (l *Live) Prune(v int) int {
	n := 0
	for u := int32(v); u >= 0 && u != l.source && l.c[u].at >= 0 && l.c[u].kids == 0 && l.c[u].viewers == 0; n++ {
		up := l.unhang(u)
		l.c[u].floating = false
		l.exit(u)
		u = up
	}
	return n
}

// offer is a place to hang a node.
type offer struct {
	parent, arc int32
	via, viaArc int32 // a relay in between; -1 for none
	delay, cost float64
	inTime      bool
}

// better prefers in time, then cheap, then fast; among the late, fast then cheap.
func (o *offer) better(p *offer) bool {
	switch {
	case p.parent < 0:
		return true
	case o.inTime != p.inTime:
		return o.inTime
	case o.inTime && math.Abs(o.cost-p.cost) > costTie:
		return o.cost < p.cost
	case o.delay != p.delay:
		return o.delay < p.delay
	}
	return o.cost < p.cost
}

// attach hangs v, outside or the root of a floating subtree, where it is
// cheapest in time.
func (l *Live) attach(v int32, limit float64) bool {
	height := l.height(v)
	best := offer{parent: -1}
	l.direct(v, limit, height, &best)
	l.relays(v, limit)
	for i := range l.near {
		if best.parent >= 0 && best.inTime && l.near[i].cost > best.cost {
			break // the relay's own arc is dearer already, and all that follow are
		}
		l.through(v, &l.near[i], limit, height, &best)
	}
	if best.parent < 0 {
		return false
	}
	if best.via >= 0 {
		l.hang(best.via, best.parent, best.viaArc)
		arc := int32(-1)
		if l.g.sites == nil {
			arc = l.g.arcIndex(int(best.via), int(v))
		}
		l.hang(v, best.via, arc)
		return true
	}
	l.hang(v, best.parent, best.arc)
	return true
}

func (l *Live) height(v int32) int32 {
	h := int32(0)
	for k := l.c[v].firstKid; k >= 0; k = l.c[k].next {
		h = max(h, l.height(k)+1)
	}
	return h
}

// direct looks at all nodes of the tree as parents of v.
func (l *Live) direct(v int32, limit float64, height int32, best *offer) {
	try := func(u, arc int32, hop, price float64) {
		c := &l.c[u]
		o := offer{parent: u, arc: arc, via: -1, viaArc: -1, delay: c.delay + hop, cost: price}
		o.inTime = o.delay <= limit+boundSlackMs
		if c.depth+1+height <= l.depth && o.better(best) && l.mayFeed(u) {
			*best = o
		}
	}
	if t := l.g.sites; t != nil {
		to := int(t.place[v])
		for _, u := range l.members {
			i := int(t.place[u])*t.places + to
			if u != v {
				try(u, -1, l.g.nodes[u].ProcMs+t.delay[i], t.price[i])
			}
		}
		return
	}
	for _, a := range l.g.inArcs[l.g.inStart[v]:l.g.inStart[v+1]] {
		arc := &l.g.arcs[a]
		if u := int32(arc.From); l.c[u].at >= 0 && l.cap.l.arcFits(a, l.rate) {
			try(u, a, l.g.nodes[u].ProcMs+arc.DelayMs, arc.PricePerGB)
		}
	}
}

// relays collects into near the relays outside the tree from which v is heard
// cheapest, or if few are in time, fastest.
func (l *Live) relays(v int32, limit float64) {
	l.near = l.near[:0]
	add := func(r int32, delay, price float64) {
		if i := len(l.near); delay > limit || i == maxRelayChoices && price > l.near[i-1].cost {
			return
		}
		if l.c[r].at >= 0 || l.cap.down[r] || r == v || !l.mayFeed(r) {
			return
		}
		n := relayChoice{node: r, delay: delay, cost: price}
		i := len(l.near)
		if i == maxRelayChoices {
			if !n.before(&l.near[i-1]) {
				return
			}
			i--
		} else {
			l.near = append(l.near, n)
		}
		for ; i > 0 && n.before(&l.near[i-1]); i-- {
			l.near[i] = l.near[i-1]
		}
		l.near[i] = n
	}
	if t := l.g.sites; t != nil {
		to := int(t.place[v])
		for class, members := range l.g.classes {
			r := l.freeMember(class, members)
			if r < 0 {
				continue
			}
			i := int(t.place[r])*t.places + to
			add(r, l.g.nodes[r].ProcMs+t.delay[i], t.price[i])
		}
		return
	}
	for _, a := range l.g.inArcs[l.g.inStart[v]:l.g.inStart[v+1]] {
		arc := &l.g.arcs[a]
		if l.cap.l.arcFits(a, l.rate) {
			add(int32(arc.From), l.g.nodes[arc.From].ProcMs+arc.DelayMs, arc.PricePerGB)
		}
	}
}

func (n *relayChoice) before(o *relayChoice) bool {
	return n.cost < o.cost || n.cost == o.cost && n.delay < o.delay
}

// freeMember is a relay of the class outside the tree, -1 if there is none
// among the first few: classes are large, and mostly free.
func (l *Live) freeMember(_ int, members []int32) int32 {
	if l.g.nodes[members[0]].MaxChildren == 0 {
		return -1
	}
	for _, r := range members[:min(4, len(members))] {
		if l.c[r].at < 0 && !l.cap.down[r] {
			return r
		}
	}
	return -1
}

// through looks at all nodes of the tree as parents of relay r, with v below it.
func (l *Live) through(v int32, r *relayChoice, limit float64, height int32, best *offer) {
	try := func(u, arc int32, hop, price float64) {
		c := &l.c[u]
		o := offer{parent: u, via: r.node, viaArc: arc, delay: c.delay + hop + r.delay, cost: price + r.cost}
		o.inTime = o.delay <= limit+boundSlackMs
		if c.depth+2+height <= l.depth && o.better(best) && l.mayFeed(u) {
			*best = o
		}
	}
	if t := l.g.sites; t != nil {
		to := int(t.place[r.node])
		for _, u := range l.members {
			i := int(t.place[u])*t.places + to
			try(u, -1, l.g.nodes[u].ProcMs+t.delay[i], t.price[i])
		}
		return
	}
	for _, a := range l.g.inArcs[l.g.inStart[r.node]:l.g.inStart[r.node+1]] {
		arc := &l.g.arcs[a]
		if u := int32(arc.From); l.c[u].at >= 0 && u != v && l.cap.l.arcFits(a, l.rate) {
			try(u, a, l.g.nodes[u].ProcMs+arc.DelayMs, arc.PricePerGB)
		}
	}
}
