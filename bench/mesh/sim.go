package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"trellis/backbone"
	"trellis/wire"
	"trellis/wire/peer"
)

// sim runs the knowledge of many nodes (backbone.Knowledge, the very code of a
// node) in virtual time. What they say to one another crosses as bytes, with the
// delays of the world. There is no QUIC below: a link comes up after the round
// trips of a handshake, and loses nothing.
type sim struct {
	world *world
	dice  *rand.Rand
	now   time.Time
	queue events
	order uint64
	nodes []*node
	index map[string]int

	// What is being watched.
	published map[wire.Broadcast]*publication
	cuts      []*cut
	expired   int // records of nodes that live
	gone      map[int]*departure
}

// node is one node.
type node struct {
	id     int
	name   string
	know   *backbone.Knowledge
	links  map[int]*linkEnd
	said   []*linkEnd // those with something to be sent
	chosen map[string]backbone.LinkCause
	chose  time.Time
	began  bool
	dead   bool
	cost   cost
}

// linkEnd is one end of a link.
type linkEnd struct {
	peer   int
	buf    []byte // said, not sent yet
	meter  backbone.Meter
	up     time.Time
	probed time.Time // when the next probe is due
	judged time.Time
	heard  time.Time
	idle   time.Time // since when neither end wants it
	cut    bool      // nothing passes any more
}

// cost is what a node has spent.
type cost struct {
	bytes    [numFlows]uint64 // sent
	packets  uint64           // sent with control messages
	probes   uint64
	messages uint64
	cpu      [numWorks]time.Duration
}

// flows are what bytes are spent on.
const (
	flowAdvert = iota
	flowFresh
	flowKnown
	flowGraft
	flowProbe
	numFlows
)

// works are what time is spent on.
const (
	workProbes = iota
	workAdverts
	workChoose
	numWorks
)

// event is something that happens at a node.
type event struct {
	at    int64 // ns since the epoch
	order uint64
	to    int32
	from  int32  // noNode: the node's own tick
	bytes []byte // control messages
	probe *peer.Probe
	run   func()
}

const noNode = -1

// events are a heap, the earliest first. The standard one calls through an
// interface for every comparison, and there are hundreds of thousands a second.
type events []event

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.order < o.order }

func (q *events) push(e event) {
	*q = append(*q, e)
	h := *q
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
}

func (q *events) pop() event {
	h := *q
	first, last := h[0], h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	*q = h
	for i := 0; len(h) > 0; {
		least := i*4 + 1
		if least >= len(h) {
			h[i] = last
			break
		}
		for c := least + 1; c < min(i*4+5, len(h)); c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if !h[least].before(&last) {
			h[i] = last
			break
		}
		h[i] = h[least]
		i = least
	}
	return first
}

const (
	tickEvery   = 100 * time.Millisecond
	chooseEvery = 10 * time.Second
	idleAfter   = 20 * time.Second // a third of what a node waits, to spare time
	// booting is the time over which the nodes start.
	booting = 5 * time.Second
)

func newSim(n int, seed uint64, starting time.Duration) (*sim, error) {
	dice := rand.New(rand.NewPCG(seed, 0x6d657368))
	w, err := newWorld(n, dice)
	if err != nil {
		return nil, err
	}
	s := &sim{
		world: w, dice: dice, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), index: map[string]int{},
		published: map[wire.Broadcast]*publication{}, gone: map[int]*departure{},
	}
	pool := backbone.NewEntryPool()
	for i, d := range w.nodes {
		s.index[d.ID] = i
		at := s.now.Add(time.Duration(dice.Int64N(int64(starting))))
		know, err := backbone.NewKnowledge(backbone.KnowledgeConfig{
			Node: d.ID, Region: d.Region, Boot: uint64(at.UnixMicro()), Pool: pool,
			Rand:  rand.New(rand.NewPCG(seed, uint64(i))),
			About: peer.NodeValue{Region: d.Region, Provider: d.Provider, Capabilities: peer.CapRelay, MaxChildren: 32, EgressMbps: 10_000},
		}, at)
		if err != nil {
			return nil, err
		}
		s.nodes = append(s.nodes, &node{id: i, name: d.ID, know: know, links: map[int]*linkEnd{}})
		s.after(at.Sub(s.now), event{to: int32(i), from: noNode})
	}
	return s, nil
}

func (s *sim) after(d time.Duration, e event) {
	s.order++
	e.at, e.order = s.now.Add(d).UnixNano(), s.order
	s.queue.push(e)
}

// run lets time pass.
func (s *sim) run(d time.Duration) {
	end := s.now.Add(d)
	for len(s.queue) > 0 && s.queue[0].at < end.UnixNano() {
		e := s.queue.pop()
		s.now = s.now.Add(time.Duration(e.at - s.now.UnixNano()))
		s.handle(&e)
	}
	s.now = end
}

func (s *sim) handle(e *event) {
	n := s.nodes[e.to]
	switch {
	case e.run != nil:
		e.run()
	case n.dead:
	case e.from == noNode:
		s.tick(n)
		s.after(tickEvery, event{to: int32(n.id), from: noNode})
	default:
		l := n.links[int(e.from)]
		if l == nil || l.cut {
			return
		}
		l.heard = s.now
		if e.probe != nil {
			n.spend(workProbes, func() { l.meter.Receive(*e.probe, s.now, wall(s.now)) })
			return
		}
		n.spend(workAdverts, func() { s.receive(n, int(e.from), e.bytes) })
	}
}

// spend runs f and counts what it takes.
func (n *node) spend(work int, f func()) {
	began := time.Now()
	f()
	n.cost.cpu[work] += time.Since(began)
}

func wall(t time.Time) uint64 { return uint64(t.UnixMicro()) }

// receive parses control messages and hands them to the node.
func (s *sim) receive(n *node, from int, b []byte) {
	for len(b) > 0 {
		t, body, rest, err := peer.ParseMessage(b)
		if err != nil {
			panic(fmt.Sprintf("from %s: %v", s.nodes[from].name, err)) // our own bytes
		}
		b = rest
		msg, err := parse(t, body)
		if err != nil {
			panic(fmt.Sprintf("from %s: %v", s.nodes[from].name, err))
		}
		s.note(n, n.know.Receive(s.nodes[from].name, msg, s.now))
	}
	n.know.Flush(s.now)
	s.send(n)
}

func parse(t peer.Type, body []byte) (peer.Message, error) {
	switch t {
	case peer.TypeAdvert:
		return peer.ParseAdvert(body)
	case peer.TypeKnown:
		return peer.ParseKnown(body)
	case peer.TypeGraft:
		return peer.ParseGraft(body)
	case peer.TypePrune:
		return peer.ParsePrune(body)
	case peer.TypeFresh:
		return peer.ParseFresh(body)
	default:
		return nil, fmt.Errorf("unexpected %v", t)
	}
}

// send puts on the way what a node has said at this moment: one flight for each
// link, as a link's outbox does.
func (s *sim) send(n *node) {
	for _, l := range n.said {
		n.cost.packets += uint64(len(l.buf)/packetBytes + 1)
		s.after(s.world.delay(n.id, l.peer, s.dice), event{to: int32(l.peer), from: int32(n.id), bytes: l.buf})
		l.buf = nil
	}
	n.said = n.said[:0]
}

// say counts a message and puts it into the link's outbox.
func (n *node) say(l *linkEnd, msg peer.Message) {
	was := len(l.buf)
	if was == 0 {
		n.said = append(n.said, l)
	}
	l.buf = peer.AppendMessage(l.buf, msg)
	flow := flowGraft
	switch msg.(type) {
	case peer.Advert:
		flow = flowAdvert
	case peer.Fresh:
		flow = flowFresh
	case peer.Known:
		flow = flowKnown
	}
	n.cost.bytes[flow] += uint64(len(l.buf) - was)
	n.cost.messages++
}

// tick is what a node does ten times a second.
func (s *sim) tick(n *node) {
	n.began = true
	if n.chose.IsZero() || s.now.Sub(n.chose) >= chooseEvery {
		n.chose = s.now
		n.spend(workChoose, func() { n.chosen = n.know.Choose(s.world.nodes, nil, nil, s.now) })
		s.dialChosen(n)
	}
	s.probe(n)
	n.spend(workAdverts, func() {
		expired, c := n.know.Tick(s.now)
		n.know.Flush(s.now)
		s.note(n, c)
		s.noteExpired(expired)
		s.send(n)
	})
	for _, l := range n.links {
		if s.now.Sub(l.heard) >= l.meter.Down() {
			s.down(n, l.peer)
		}
	}
}

// probe sends the probes that are due, and takes what has been measured.
func (s *sim) probe(n *node) {
	for _, l := range n.links {
		if !l.probed.After(s.now) {
			n.spend(workProbes, func() {
				period := l.meter.Period(s.now.Sub(l.up))
				p := l.meter.Next(period, wall(s.now))
				n.cost.bytes[flowProbe] += uint64(len(p.Append(nil)))
				n.cost.probes++
				l.probed = s.now.Add(period)
				if !l.cut {
					s.after(s.world.delay(n.id, l.peer, s.dice), event{to: int32(l.peer), from: int32(n.id), probe: &p})
				}
			})
		}
		if s.now.Sub(l.judged) >= time.Second {
			l.judged = s.now
			n.spend(workProbes, func() { s.note(n, n.know.Measured(s.nodes[l.peer].name, l.meter.Quality(s.now), s.now)) })
		}
	}
}

// dialChosen makes the links that a node has chosen, and ends those that neither
// end has wanted for a while.
func (s *sim) dialChosen(n *node) {
	for name := range n.chosen {
		to := s.index[name]
		if n.links[to] == nil && !s.nodes[to].dead {
			rtt := 2 * s.world.least(n.id, to)
			s.after(3*rtt, event{to: int32(n.id), from: noNode, run: func() { s.up(n, s.nodes[to]) }})
		}
	}
	for to, l := range n.links {
		_, ours := n.chosen[s.nodes[to].name]
		_, theirs := s.nodes[to].chosen[n.name]
		switch {
		case ours || theirs:
			l.idle = time.Time{}
		case l.idle.IsZero():
			l.idle = s.now
		case s.now.Sub(l.idle) >= idleAfter:
			s.down(n, to)
			s.down(s.nodes[to], n.id)
		}
	}
}

// up makes a link.
func (s *sim) up(a, b *node) {
	if !b.began || a.dead || b.dead || a.links[b.id] != nil || b.links[a.id] != nil {
		return
	}
	for _, end := range [2][2]*node{{a, b}, {b, a}} {
		n, o := end[0], end[1]
		l := &linkEnd{peer: o.id, up: s.now, heard: s.now, probed: s.now, judged: s.now.Add(time.Duration(s.dice.Int64N(int64(time.Second))) - time.Second)}
		n.links[o.id] = l
		n.spend(workAdverts, func() {
			n.know.LinkUp(o.name, s.world.nodes[o.id].Region, s.world.least(n.id, o.id), func(m peer.Message) { n.say(l, m) }, s.now)
			n.know.Flush(s.now)
			s.send(n)
		})
	}
}

// down takes a link off one end.
func (s *sim) down(n *node, to int) {
	if n.links[to] == nil || n.dead {
		return
	}
	for _, c := range s.cuts {
		c.noticed(s, n.id, to)
	}
	delete(n.links, to)
	n.spend(workAdverts, func() {
		s.note(n, n.know.LinkDown(s.nodes[to].name, s.now))
		n.know.Flush(s.now)
		s.send(n)
	})
}
