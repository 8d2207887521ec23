package main

import (
	"fmt"
	"slices"
	"time"

	"trellis/backbone"
	"trellis/wire"
	"trellis/wire/peer"
)

// publication is a broadcast that has entered somewhere.
type publication struct {
	at    time.Time
	took  []time.Duration // until each other node knew
	knows map[int]bool
}

// cut is a link that has been cut.
type cut struct {
	a, b     int
	at       time.Time
	ends     map[int]bool    // that have noticed
	seen     time.Time       // when the first did
	detected []time.Duration // until each end noticed
	took     []time.Duration // until each other node knew, from the first end's notice
	knows    map[int]bool
}

// departure is a node that has died.
type departure struct {
	at       time.Time
	isolated []time.Duration // until each other node knew no link to it
	knows    map[int]bool
	expired  []time.Duration // until its record had expired
}

// publish lets a broadcast enter at a node.
func (s *sim) publish(n *node) {
	name := wire.Broadcast(fmt.Sprintf("room/%d", len(s.published)))
	s.published[name] = &publication{at: s.now, knows: map[int]bool{n.id: true}}
	n.spend(workAdverts, func() {
		n.know.SetBroadcast(name, peer.BroadcastValue{Epoch: wall(s.now), PublisherID: 1}, s.now)
		n.know.Flush(s.now)
		s.send(n)
	})
}

// cutLink lets nothing pass on a link from now on, in either direction. The ends
// find out by themselves.
func (s *sim) cutLink(a, b int) {
	s.nodes[a].links[b].cut, s.nodes[b].links[a].cut = true, true
	s.cuts = append(s.cuts, &cut{a: a, b: b, at: s.now, ends: map[int]bool{}, knows: map[int]bool{a: true, b: true}})
}

func (c *cut) noticed(s *sim, n, to int) {
	if (n == c.a && to == c.b || n == c.b && to == c.a) && !c.ends[n] {
		c.ends[n] = true
		if c.seen.IsZero() {
			c.seen = s.now
		}
		c.detected = append(c.detected, s.now.Sub(c.at))
	}
}

// kill ends a node without a word.
func (s *sim) kill(n *node) {
	n.dead = true
	s.gone[n.id] = &departure{at: s.now, knows: map[int]bool{n.id: true}}
}

// note looks at what has changed for a node.
func (s *sim) note(n *node, c backbone.Changes) {
	for _, name := range c.Broadcasts {
		if p := s.published[name]; p != nil && !p.knows[n.id] {
			p.knows[n.id] = true
			p.took = append(p.took, s.now.Sub(p.at))
		}
	}
	if !c.Linked {
		return
	}
	for _, x := range s.cuts {
		if !x.seen.IsZero() && !x.knows[n.id] && !n.know.Linked(s.nodes[x.a].name, s.nodes[x.b].name) {
			x.knows[n.id] = true
			x.took = append(x.took, s.now.Sub(x.seen))
		}
	}
	for id, d := range s.gone {
		if !d.knows[n.id] && s.isolated(n, id) {
			d.knows[n.id] = true
			d.isolated = append(d.isolated, s.now.Sub(d.at))
		}
	}
}

// isolated reports whether a node knows of no link to another.
func (s *sim) isolated(n *node, id int) bool {
	for to := range s.nodes[id].links {
		if n.know.Linked(s.nodes[id].name, s.nodes[to].name) {
			return false
		}
	}
	return true
}

func (s *sim) noteExpired(names []string) {
	for _, name := range names {
		id := s.index[name]
		if d := s.gone[id]; d != nil {
			d.expired = append(d.expired, s.now.Sub(d.at))
		} else {
			s.expired++
		}
	}
}

// quantiles are of times, in ms.
type quantiles struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func quantilesOf(all []time.Duration) quantiles {
	if len(all) == 0 {
		return quantiles{}
	}
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return quantiles{N: len(all), P50: ms(all[len(all)/2]), P99: ms(all[len(all)*99/100]), Max: ms(all[len(all)-1])}
}
