package main

import (
	"container/heap"
	"time"

	"trellis/backbone"
	"trellis/wire/peer"
)

// hopDelay is what the ways of records are lengthened by at each node.
const hopDelay = 100 * time.Microsecond

// warm puts the mesh into the state that it has come to after a while: links as
// nodes choose them once they know the distances, everybody's record everywhere,
// each by the shortest way. From the cold it comes there by itself, but that takes
// a thousand nodes minutes of processor time.
func (s *sim) warm() {
	for _, n := range s.nodes {
		n.began = true
		for _, o := range s.nodes {
			if n != o {
				n.know.Remember(o.name, 2*s.world.least(n.id, o.id), s.now)
			}
		}
		n.chosen = n.know.Choose(s.world.nodes, nil, nil, s.now)
		n.chose = s.now.Add(-time.Duration(s.dice.Int64N(int64(chooseEvery))))
	}
	quiet := true
	for _, n := range s.nodes {
		for name := range n.chosen {
			s.warmLink(n, s.nodes[s.index[name]], &quiet)
		}
	}
	for range 40 {
		for _, n := range s.nodes {
			for to := range n.links {
				n.know.Stand(s.nodes[to].know, 2*s.world.least(n.id, to))
			}
		}
	}
	for _, n := range s.nodes {
		n.know.TellPlace(s.now)
	}
	for _, n := range s.nodes {
		s.warmTree(n)
	}
	quiet = false
}

// warmLink makes a link that has been measured. Nothing is said on it while quiet.
func (s *sim) warmLink(a, b *node, quiet *bool) {
	if a.links[b.id] != nil {
		return
	}
	for _, end := range [2][2]*node{{a, b}, {b, a}} {
		n, o := end[0], end[1]
		d := s.world.least(n.id, o.id)
		phase := time.Duration(s.dice.Int64N(int64(time.Second)))
		l := &linkEnd{peer: o.id, up: s.now.Add(-time.Hour), heard: s.now, probed: s.now.Add(phase), judged: s.now.Add(phase)}
		n.links[o.id] = l
		n.know.LinkUp(o.name, s.world.nodes[o.id].Region, d, func(m peer.Message) {
			if !*quiet {
				n.say(l, m)
			}
		}, s.now)
		n.know.Adopt(o.name, backbone.Quality{Samples: 60, DelayMin: d, DelayP50: d, DelayP95: d}, s.now)
	}
	la, lb := a.links[b.id], b.links[a.id]
	la.meter.Receive(lb.meter.Next(time.Second, wall(s.now)), s.now, wall(s.now))
	lb.meter.Receive(la.meter.Next(time.Second, wall(s.now)), s.now, wall(s.now))
}

// warmTree plants the record of a node everywhere, along the shortest ways.
func (s *sim) warmTree(owner *node) {
	parts := owner.know.Whole(s.now)
	delay := map[int]time.Duration{owner.id: 0}
	parent := map[int]int{}
	done := map[int]bool{}
	ways := &ways{{to: owner.id}}
	for ways.Len() > 0 {
		w := heap.Pop(ways).(way) //nolint:forcetypeassert // nothing else is in there
		if done[w.to] {
			continue
		}
		done[w.to] = true
		n := s.nodes[w.to]
		if n != owner {
			n.know.Plant(parts, s.nodes[parent[n.id]].name, w.delay, s.now)
			s.nodes[parent[n.id]].know.PlantChild(owner.name, n.name)
		}
		for to := range n.links {
			d := w.delay + s.world.least(n.id, to) + hopDelay
			if best, ok := delay[to]; !done[to] && (!ok || d < best) {
				delay[to], parent[to] = d, n.id
				heap.Push(ways, way{to: to, delay: d})
			}
		}
	}
}

// way is how a record may come to a node.
type way struct {
	to    int
	delay time.Duration
}

type ways []way

func (w *ways) Len() int           { return len(*w) }
func (w *ways) Less(i, j int) bool { return (*w)[i].delay < (*w)[j].delay }
func (w *ways) Swap(i, j int)      { (*w)[i], (*w)[j] = (*w)[j], (*w)[i] }
func (w *ways) Push(x any)         { *w = append(*w, x.(way)) } //nolint:forcetypeassert // heap's interface
func (w *ways) Pop() any {
	old := *w
	last := old[len(old)-1]
	*w = old[:len(old)-1]
	return last
}
