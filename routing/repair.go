package routing

// Repaired says what a repair did.
type Repaired struct {
	Moved    int   // subtrees that hang elsewhere now
	Viewers  int64 // in them
	Stranded int64 // viewers for whom there is no place left
	Gone     int64 // viewers at the nodes that were lost
}

// Lose takes nodes that are marked as down out of the tree and hangs what they
// carried elsewhere: whole subtrees, those with most viewers first. What finds no
// place as a whole is taken apart and tried node by node.
func (l *Live) Lose() Repaired {
	var r Repaired
	l.order = l.order[:0]
	for i := 0; i < len(l.members); i++ {
		v := l.members[i]
		if !l.cap.down[v] || v == l.source {
			continue
		}
		r.Gone += l.c[v].viewers
		l.drop(v)
		i = -1 // members have changed places
	}
	l.rehang(&r)
	return r
}

// drop takes v out of the tree; its children float and are put into order.
func (l *Live) drop(v int32) {
	for k := l.c[v].firstKid; k >= 0; k = l.c[v].firstKid {
		l.unhang(k)
		l.order = append(l.order, k)
	}
	up := l.unhang(v)
	c := &l.c[v]
	l.cap.book(v, -l.rate*float64(c.viewers))
	c.viewers, c.floating = 0, false
	l.exit(v)
	if up >= 0 {
		l.Prune(int(up))
	}
}

// rehang hangs the floating subtrees in order.
func (l *Live) rehang(r *Repaired) {
	for len(l.order) > 0 {
		v := l.takeHeaviest()
		if l.c[v].at < 0 || !l.c[v].floating || l.c[v].parent >= 0 {
			continue // dropped since
		}
		if l.c[v].kids == 0 && l.c[v].viewers == 0 {
			l.c[v].floating = false
			l.exit(v)
			continue
		}
		viewers := l.below(v)
		if l.attach(v, l.latest(v, 0)) {
			r.Moved++
			r.Viewers += viewers
			continue
		}
		own := l.c[v].viewers
		bound := l.c[v].bound
		l.drop(v)
		if own == 0 {
			continue
		}
		if l.attach(v, bound) { // alone: it may fit where the subtree was too deep
			l.c[v].viewers = own
			l.cap.book(v, l.rate*float64(own))
			r.Moved++
			r.Viewers += own
			continue
		}
		r.Stranded += own
	}
}

// takeHeaviest removes from order the subtree with most viewers.
func (l *Live) takeHeaviest() int32 {
	at, most := 0, int64(-1)
	for i, v := range l.order {
		if n := l.below(v); n > most {
			at, most = i, n
		}
	}
	v := l.order[at]
	l.order[at] = l.order[len(l.order)-1]
	l.order = l.order[:len(l.order)-1]
	return v
}

// below is the number of viewers in v's subtree.
func (l *Live) below(v int32) int64 {
	n := l.c[v].viewers
	for k := l.c[v].firstKid; k >= 0; k = l.c[k].next {
		n += l.below(k)
	}
	return n
}

// latest is the latest arrival at v with which everybody below is in bound; base
// is the delay from v's subtree root.
func (l *Live) latest(v int32, base float64) float64 {
	limit := unlimitedDelay
	if l.c[v].viewers > 0 {
		limit = l.c[v].bound - base
	}
	for k := l.c[v].firstKid; k >= 0; k = l.c[k].next {
		limit = min(limit, l.latest(k, base+l.hop(v, k, l.c[k].arc)))
	}
	return limit
}

// Rebase replaces the graph by a newer snapshot of the same nodes and arcs, whose
// delays and prices may differ: a link has changed. It reports viewers who are
// beyond their bound now and were not before; [Live.Mend] looks after them.
func (l *Live) Rebase(g *Graph) (late int64) {
	for _, v := range l.members {
		if l.c[v].delay <= l.c[v].bound+boundSlackMs {
			late -= l.c[v].viewers
		}
	}
	l.g = g
	l.settle(l.source)
	for _, v := range l.members {
		if l.c[v].delay <= l.c[v].bound+boundSlackMs {
			late += l.c[v].viewers
		}
	}
	l.version++
	return -late
}

// Mend moves every node that is late by more than the margin to a parent that
// gains at least that, and returns how many moved. A small gain moves nobody: the
// margin is 3 ms or a tenth of the delay, whichever is more.
func (l *Live) Mend() int {
	moved := 0
	for i := 0; i < len(l.members); i++ {
		v := l.members[i]
		c := &l.c[v]
		if v == l.source || c.viewers == 0 || c.delay <= c.bound+boundSlackMs {
			continue
		}
		before, parent, arc := c.delay, c.parent, c.arc
		l.unhang(v)
		if l.attach(v, c.bound) && c.delay <= before-max(mendMs, mendShare*before) {
			moved++
			l.Prune(int(parent))
			continue
		}
		if l.c[v].parent >= 0 {
			other := l.unhang(v)
			l.hang(v, parent, arc)
			l.Prune(int(other))
			continue
		}
		l.hang(v, parent, arc)
	}
	return moved
}

// Margins of a move that mends: real routes wander by less, and step by more.
const (
	mendMs    = 3
	mendShare = 0.1
)
