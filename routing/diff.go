package routing

import "slices"

// Move is one node's change of parent between two plans.
type Move struct {
	Track  int
	Node   int
	From   int   // old parent; None if the node is new
	To     int   // new parent; None if the node goes
	Weight int64 // viewers who depend on it afterwards
}

// Change is the way from one plan to the next: batches of moves, each of which
// may begin when those before have settled.
type Change struct {
	Version uint64
	Batches [][]Move
	// Breaks lists moves for which no room exists to make before breaking: both
	// parents' slots cannot be held at once, whatever the order.
	Breaks []Move
}

// Diff plans the way from before to after, make before break: during a move the
// old and the new parent both feed the node, so both need the slot and the
// egress. Moves that have room go first and free what others wait for.
func (d *Demand) Diff(before, after *Plan, version uint64) Change {
	out := Change{Version: version}
	load := d.loadsOf(before)
	var waiting []Move
	kids := make([][]int, len(d.Tracks))
	for i := range d.Tracks {
		a, b := before.Tracks[i].Tree, after.Tracks[i].Tree
		kids[i] = make([]int, d.Graph.Len())
		for _, u := range a.Parent {
			if u != None {
				kids[i][u]++
			}
		}
		weight := weights(&d.Tracks[i], b)
		d.Tracks[i].walkBoth(a, b, func(v int) {
			if a.Parent[v] != b.Parent[v] {
				waiting = append(waiting, Move{i, v, int(a.Parent[v]), int(b.Parent[v]), weight[v]})
			}
		})
	}
	fed := make([]map[int]bool, len(d.Tracks)) // nodes that hear the track, by now
	for i := range fed {
		fed[i] = map[int]bool{d.Tracks[i].Source: true}
		for v, u := range before.Tracks[i].Tree.Parent {
			if u != None {
				fed[i][v] = true
			}
		}
	}
	for len(waiting) > 0 {
		var batch, rest []Move
		for _, m := range waiting {
			if d.roomFor(m, load, kids[m.Track], fed[m.Track]) {
				batch = append(batch, m)
				d.begin(m, load, kids[m.Track])
			} else {
				rest = append(rest, m)
			}
		}
		if len(batch) == 0 { // a circle of moves that wait for one another
			m := rest[0]
			rest = rest[1:]
			out.Breaks = append(out.Breaks, m)
			d.end(m, load, kids[m.Track])
			d.begin(m, load, kids[m.Track])
			fed[m.Track][m.Node] = m.To != None
			waiting = rest
			continue
		}
		for _, m := range batch {
			d.end(m, load, kids[m.Track])
			fed[m.Track][m.Node] = m.To != None
		}
		out.Batches = append(out.Batches, batch)
		waiting = rest
	}
	return out
}

// walkBoth visits all nodes of either tree: the new one's from the top, then
// those that only the old one had, from the bottom.
func (k *Track) walkBoth(a, b Tree, visit func(v int)) {
	seen := make([]bool, len(a.Parent))
	b.walk(k.Source, func(v int) {
		seen[v] = true
		visit(v)
	})
	var old []int
	a.walk(k.Source, func(v int) {
		if !seen[v] {
			old = append(old, v)
		}
	})
	for _, v := range slices.Backward(old) {
		visit(v)
	}
}

func weights(k *Track, t Tree) []int64 {
	w := make([]int64, len(t.Parent))
	for _, e := range k.Terminals {
		for v := e.Node; v != k.Source && t.Parent[e.Node] != None; v = int(t.Parent[v]) {
			w[v] += e.Viewers
		}
	}
	return w
}

// roomFor reports whether the new parent hears the track and can feed one more
// beside what it feeds already.
func (d *Demand) roomFor(m Move, l *loads, kids []int, fed map[int]bool) bool {
	if m.To == None {
		return kids[m.Node] == 0
	}
	k, n := &d.Tracks[m.Track], &d.Graph.nodes[m.To]
	need := k.RateMbps
	if n.MaxChildren >= 0 && kids[m.To] >= n.MaxChildren || !fed[m.To] {
		return false
	}
	if n.EgressMbps > 0 && l.egress[m.To]+need > n.EgressMbps+loadSlackMbps {
		return false
	}
	if own := &d.Graph.nodes[m.Node]; m.From == None && own.EgressMbps > 0 &&
		l.egress[m.Node]+k.localMbps(m.Node) > own.EgressMbps+loadSlackMbps {
		return false
	}
	i := d.Graph.arcIndex(m.To, m.Node)
	return i < 0 || l.arcFits(i, k.RateMbps)
}

// localMbps is what the viewers at a node take.
func (k *Track) localMbps(v int) float64 {
	for _, e := range k.Terminals {
		if e.Node == v {
			return k.RateMbps * float64(e.Viewers)
		}
	}
	return 0
}

// begin books the new parent, end gives back the old one.
func (d *Demand) begin(m Move, l *loads, kids []int) {
	if m.To == None {
		return
	}
	k := &d.Tracks[m.Track]
	kids[m.To]++
	l.egress[m.To] += k.RateMbps
	if i := d.Graph.arcIndex(m.To, m.Node); i >= 0 {
		l.arc[i] += k.RateMbps
	}
	if m.From == None {
		l.egress[m.Node] += k.localMbps(m.Node)
	}
}

func (d *Demand) end(m Move, l *loads, kids []int) {
	if m.From == None {
		return
	}
	k := &d.Tracks[m.Track]
	kids[m.From]--
	l.egress[m.From] -= k.RateMbps
	if i := d.Graph.arcIndex(m.From, m.Node); i >= 0 {
		l.arc[i] -= k.RateMbps
	}
	if m.To == None {
		l.egress[m.Node] -= k.localMbps(m.Node)
	}
}
