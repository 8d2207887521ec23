package routing

import "slices"

// reservation keeps egress free for what any single failure activates. Failing
// a group makes the backup arcs on the paths of all terminals below it carry the
// track at once, each arc once, however many terminals share it.
type reservation struct {
	pr     *protector
	rate   float64
	room   []float64 // by node of the problem: egress beside the primary trees; negative for no limit
	groups [][]int32 // by terminal: numbers of the failures that activate it
	fails  int       // distinct failures
	freed  [][]int32 // by node, failure: primary arcs out of the node that fall silent

	active [][]bool  // by node, failure: the backup arc into the node carries
	load   [][]int32 // by node, failure: active arcs out of the node
	kept   [][]int32 // loads of the best tree so far
}

func newReservation(pr *protector, tree Tree, l *loads) *reservation {
	r := &reservation{pr: pr, rate: pr.k.RateMbps, room: make([]float64, pr.p.n), groups: make([][]int32, pr.p.n)}
	for v := range r.room {
		gv := pr.p.node[v]
		r.room[v] = -1
		if limit := pr.g.nodes[gv].EgressMbps; limit > 0 {
			r.room[v] = max(0, limit-l.egress[gv])
		}
	}
	number := map[int32]int32{}
	for _, t := range pr.needs {
		// Failures are counted by node and by group of the grade at once: a group's
		// loss is the loss of all its nodes together.
		groups, _ := pr.groups.inner(tree, pr.k.Source, int(pr.p.node[t]))
		nodes, _ := pr.nodes.inner(tree, pr.k.Source, int(pr.p.node[t]))
		for _, n := range nodes {
			groups = append(groups, ^n) // apart from the groups' numbers
		}
		for _, g := range groups {
			i, ok := number[g]
			if !ok {
				i = int32(len(number))
				number[g] = i
			}
			if !slices.Contains(r.groups[t], i) {
				r.groups[t] = append(r.groups[t], i)
			}
		}
	}
	r.fails = len(number)
	r.findFreed(tree, number)
	r.active = make([][]bool, pr.p.n)
	r.load = make([][]int32, pr.p.n)
	for v := range r.active {
		r.active[v] = make([]bool, r.fails)
		r.load[v] = make([]int32, r.fails)
	}
	return r
}

// findFreed counts for each failure the primary arcs that no longer carry: those
// into dead nodes, and all below them.
func (r *reservation) findFreed(tree Tree, number map[int32]int32) {
	pr := r.pr
	r.freed = make([][]int32, pr.p.n)
	for v := range r.freed {
		r.freed[v] = make([]int32, r.fails)
	}
	alive := make([]bool, len(tree.Parent))
	for g, i := range number {
		dead := func(v int) bool {
			if g < 0 {
				return int32(v) == ^g
			}
			return pr.groups.of[v] == g
		}
		tree.walk(pr.k.Source, func(v int) {
			u := tree.Parent[v]
			if v == pr.k.Source || u == None {
				alive[v] = true
				return
			}
			alive[v] = alive[u] && !dead(v)
			if x := pr.local[u]; x >= 0 && !alive[v] {
				r.freed[x][i]++
			}
		})
	}
}

func (r *reservation) reset() {
	for v := range r.active {
		clear(r.active[v])
		clear(r.load[v])
	}
}

// fits reports whether u can carry one more copy in every failure that
// activates terminal t.
func (r *reservation) fits(t, u int32) bool {
	if r.room[u] < 0 {
		return true
	}
	for _, g := range r.groups[t] {
		if float64(r.load[u][g]+1-r.freed[u][g])*r.rate > r.room[u]+loadSlackMbps {
			return false
		}
	}
	return true
}

// chainFits reports whether t can hang below u: u needs room for a copy, and
// its ancestors where the arc between them does not carry already.
func (r *reservation) chainFits(t, u int32) bool {
	if !r.fits(t, u) {
		return false
	}
	for v := u; v > 0; v = r.pr.t.c[v].parent {
		a := r.pr.t.c[v].parent
		if r.room[a] < 0 {
			continue
		}
		for _, g := range r.groups[t] {
			if !r.active[v][g] && float64(r.load[a][g]+1-r.freed[a][g])*r.rate > r.room[a]+loadSlackMbps {
				return false
			}
		}
	}
	return true
}

// activate notes that t, now in the standby tree, is fed over it in its failures.
func (r *reservation) activate(t int32) {
	for v := t; v > 0; v = r.pr.t.c[v].parent {
		a := r.pr.t.c[v].parent
		for _, g := range r.groups[t] {
			if !r.active[v][g] {
				r.active[v][g] = true
				r.load[a][g]++
			}
		}
	}
}

// keep remembers the loads of the current tree as the best's.
func (r *reservation) keep() {
	r.kept = make([][]int32, len(r.load))
	for v := range r.load {
		r.kept[v] = slices.Clone(r.load[v])
	}
}

// commit books the worst failure of each node, so that other tracks' standby
// trees leave it free.
func (r *reservation) commit(l *loads, pr *protector) {
	for v, row := range r.kept {
		most := int32(0)
		for g, n := range row {
			most = max(most, n-r.freed[v][g])
		}
		l.egress[pr.p.node[v]] += r.rate * float64(most)
	}
}
