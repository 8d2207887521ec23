package backbone

import (
	"math/rand/v2"
	"time"

	"trellis/wire/peer"
)

// Knowledge is what one node knows of the mesh, and what it tells of itself:
// everybody's records and the trees by which they spread, with whom to link, and
// where the node stands among the others. It has no timer, no lock and no network:
// a Mesh drives one, and so does a simulation of a thousand nodes. Messages that
// it is given, or has said, must not be changed afterwards.
type Knowledge struct {
	self     string
	adverts  *adverts
	flood    *flood
	set      *linkSet
	places   *places
	heard    map[string]time.Time // when each node that discovery knows had a record, or was first known
	links    map[string]*neighbour
	about    peer.NodeValue // what we say of ourselves
	doubled  bool           // somebody else uses our name
	tickedAt time.Time
	toldAt   time.Time
	first    bool // a link has been measured for the first time
	freshAt  time.Time
	repairAt time.Time
	secondAt time.Time
}

// tickEvery is how often offers are made, and what is due is looked for.
const tickEvery = 100 * time.Millisecond

// Figures of links are told once in figuresEvery, or in firstEvery where a link
// has none yet: links come up by the dozen.
const (
	figuresEvery = time.Second
	firstEvery   = 2 * tickEvery
)

// neighbour is a link of ours, as it has been measured.
type neighbour struct {
	region     string
	quality    Quality
	advertised Quality
}

// KnowledgeConfig says who a node is.
type KnowledgeConfig struct {
	Node   string
	Region string
	Boot   uint64 // µs since 1970
	Links  LinkConfig
	About  peer.NodeValue
	Rand   *rand.Rand
	// Pool is shared by the nodes of a simulation. Nil otherwise.
	Pool *EntryPool
}

// NewKnowledge returns the knowledge of a node that knows only itself.
func NewKnowledge(cfg KnowledgeConfig, now time.Time) (*Knowledge, error) {
	links, err := cfg.Links.withDefaults()
	if err != nil {
		return nil, err
	}
	k := &Knowledge{
		self: cfg.Node, adverts: newAdverts(cfg.Node, cfg.Boot), set: newLinkSet(cfg.Node, cfg.Region, links),
		places: newPlaces(cfg.Rand), links: map[string]*neighbour{},
	}
	if cfg.Pool != nil {
		k.adverts.entries = cfg.Pool.entries
	}
	k.flood = newFlood(k.adverts)
	k.setAbout(cfg.About, now)
	return k, nil
}

// setAbout says of ourselves what v says, and where we stand.
func (k *Knowledge) setAbout(v peer.NodeValue, now time.Time) {
	v.Coordinate = k.places.told.wire()
	if k.places.toldAt.IsZero() {
		v.Coordinate = nil
	}
	k.about = v
	k.adverts.set(peer.EntryNode, "", v.Append(nil), now)
}

// tellPlace says where we stand, if that has changed enough.
func (k *Knowledge) tellPlace(now time.Time) {
	if k.places.news(now) {
		k.places.told, k.places.toldAt = k.places.own, now
		k.setAbout(k.about, now)
	}
}

// LinkUp adds a link. Delay is the first guess at its one-way delay. say must not
// block, and not call back.
func (k *Knowledge) LinkUp(id, region string, delay time.Duration, say func(peer.Message), now time.Time) {
	k.links[id] = &neighbour{region: region}
	k.flood.up(id, delay, say, now)
}

// LinkDown removes a link.
func (k *Knowledge) LinkDown(id string, now time.Time) Changes {
	delete(k.links, id)
	k.flood.down(id, now)
	return k.adverts.set(peer.EntryLink, id, nil, now)
}

// Receive takes a message about records, of a link that is up.
func (k *Knowledge) Receive(from string, msg peer.Message, now time.Time) Changes {
	switch msg := msg.(type) {
	case peer.Advert:
		v, c := k.flood.advert(from, msg, now)
		k.doubled = k.doubled || v == advertDouble
		return c
	case peer.Fresh:
		k.flood.freshened(from, msg, now)
	case peer.Known:
		k.flood.known(from, msg, now)
	case peer.Graft:
		k.flood.grafted(from, msg, now)
	case peer.Prune:
		k.flood.pruned(from, msg)
	}
	return Changes{}
}

// Flush tells what is new, figures of links excepted: they wait for a tick. It is to be called after each of the other methods, or
// after several at one time.
func (k *Knowledge) Flush(now time.Time) {
	if k.adverts.urgent {
		k.flood.tellOwn(now)
	}
	k.flood.flush()
}

// Tick does what is due, and returns the nodes whose records have expired. It is
// to be called every 100 ms, or more often.
func (k *Knowledge) Tick(now time.Time) (expired []string, c Changes) {
	if now.Sub(k.tickedAt) < tickEvery-tickEvery/10 {
		return nil, c
	}
	k.tickedAt = now
	k.adverts.refresh(now)
	every := figuresEvery
	if k.first {
		every = firstEvery
	}
	if k.adverts.urgent || now.Sub(k.toldAt) >= every {
		k.toldAt, k.first = now, false
		k.flood.tellOwn(now)
	}
	fresh := now.Sub(k.freshAt) >= freshEvery
	if fresh {
		k.freshAt = now
	}
	k.flood.tick(now, fresh)
	if now.Sub(k.repairAt) >= repairEvery {
		k.repairAt = now
		expired, c = k.adverts.expire(now)
		k.flood.repair(now)
	}
	if now.Sub(k.secondAt) >= time.Second {
		k.secondAt = now
		c.add(k.advertiseLinks(now))
		k.tellPlace(now)
	}
	return expired, c
}

// Measured takes what a link has measured. It is advertised within a second, where
// it has changed enough.
func (k *Knowledge) Measured(id string, q Quality, now time.Time) Changes {
	n := k.links[id]
	if n == nil || q.Samples == 0 {
		return Changes{}
	}
	first := n.quality.Samples == 0
	n.quality = q
	k.flood.links[id].delay = q.DelayP50
	k.places.measure(id, 2*q.DelayP50, k.adverts.records[id], now)
	if first {
		k.first = true
		return k.advertise(id, n, now)
	}
	return Changes{}
}

// advertiseLinks says what our links are like, where that has changed enough.
func (k *Knowledge) advertiseLinks(now time.Time) Changes {
	var c Changes
	for id, n := range k.links {
		q, was := n.quality, n.advertised
		if q.Samples == 0 {
			continue
		}
		moved := (q.DelayP50 - was.DelayP50).Abs()
		loss := max(q.LossIn, q.LossOut) - max(was.LossIn, was.LossOut)
		if was.Samples > 0 && (moved < 500*time.Microsecond || moved < was.DelayP50/10) && loss < 0.005 && loss > -0.005 {
			continue
		}
		c.add(k.advertise(id, n, now))
	}
	return c
}

func (k *Knowledge) advertise(id string, n *neighbour, now time.Time) Changes {
	q := n.quality
	n.advertised = q
	v := peer.LinkValue{
		DelayMin: q.DelayMin, DelayP50: q.DelayP50, DelayP95: q.DelayP95, Jitter: q.Jitter,
		LossPpm: uint64(max(q.LossIn, q.LossOut) * 1e6),
	}
	return k.adverts.set(peer.EntryLink, id, v.Append(nil), now)
}
