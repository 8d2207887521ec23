package backbone

import (
	"math/rand/v2"
	"slices"
	"time"

	"trellis/routing/discovery"
	"trellis/wire/peer"
)

// places is where a node stands among the others, and how far it is to them.
type places struct {
	own      coordinate
	told     coordinate // as our record has it
	toldAt   time.Time
	dice     *rand.Rand
	measured map[string]roundTrip // on links that there are or were
}

type roundTrip struct {
	rtt time.Duration
	at  time.Time
}

const (
	rttMemory = 10 * time.Minute // that a measured round trip is believed without a link
	// A place is told again when it has moved by a tenth of what it is to most of
	// the neighbours, and by a millisecond; at most every half a minute, or every
	// two seconds while it is still new.
	placeMoved  = 0.1
	placeMoveMs = 1
	placeEvery  = 30 * time.Second
	placeSoon   = 2 * time.Second
)

func newPlaces(dice *rand.Rand) *places {
	return &places{own: newCoordinate(), dice: dice, measured: map[string]roundTrip{}}
}

// measure takes the round trip of a link.
func (p *places) measure(id string, rtt time.Duration, other *record, now time.Time) {
	p.measured[id] = roundTrip{rtt: rtt, at: now}
	if other == nil {
		return
	}
	if at, ok := parseCoordinate(other.about.Coordinate); ok {
		p.own.update(&at, rtt, p.dice)
	}
}

// news reports whether the place is to be told again.
func (p *places) news(now time.Time) bool {
	if p.toldAt.IsZero() {
		return true
	}
	every := placeEvery
	if p.told.n < settledAfter {
		every = placeSoon
	}
	if now.Sub(p.toldAt) < every {
		return false
	}
	rtts := make([]time.Duration, 0, len(p.measured))
	for _, m := range p.measured {
		rtts = append(rtts, m.rtt)
	}
	switch {
	case len(rtts) == 0:
		return false
	case !p.told.known() && p.own.known():
		return true // a place without an idea of itself is none to others
	}
	slices.Sort(rtts)
	median := float64(rtts[len(rtts)/2]) / float64(time.Millisecond)
	return p.own.moved(&p.told) >= max(placeMoved*median, placeMoveMs)
}

// forget drops what is too old to be believed.
func (p *places) forget(linked map[string]*neighbour, now time.Time) {
	for id, m := range p.measured {
		if linked[id] == nil && now.Sub(m.at) >= rttMemory {
			delete(p.measured, id)
		}
	}
}

// knowing is how well a delay is known.
type knowing uint8

const (
	nothing      knowing = iota // of either place
	guessed                     // from coordinates
	measuredHere                // on a link that there is or was
)

// reckon returns the one-way delay to a node, and how well it is known.
func (k *Knowledge) reckon(id string) (time.Duration, knowing) {
	if m, ok := k.places.measured[id]; ok {
		return m.rtt / 2, measuredHere
	}
	if r := k.adverts.records[id]; r != nil && !k.places.toldAt.IsZero() {
		if at, ok := parseCoordinate(r.about.Coordinate); ok && at.known() && k.places.own.known() {
			return time.Duration(k.places.own.rtt(&at) * float64(time.Millisecond) / 2), guessed
		}
	}
	return 0, nothing
}

// distance is the round trip to a node: measured, else as the coordinates have it
// (prior), else a guess from its region.
func (k *Knowledge) distance(id, region string) (rtt time.Duration, prior bool) {
	switch oneWay, known := k.reckon(id); {
	case known != nothing:
		return 2 * oneWay, known == guessed
	case region == k.about.Region:
		return guessSameRegion, true
	default:
		return guessOtherRegion, true
	}
}

// Choose returns with whom to link, of the nodes that discovery knows, and why.
// avoid says who does not answer or refuses us, wanted whom routes want; either
// may be nil.
func (k *Knowledge) Choose(nodes []discovery.Node, avoid, wanted func(id string) bool, now time.Time) map[string]LinkCause {
	all := make([]candidate, 0, len(nodes))
	seen := make(map[string]time.Time, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		if n.ID == k.self {
			continue
		}
		c := candidate{id: n.ID, region: n.Region, avoid: avoid != nil && avoid(n.ID), wanted: wanted != nil && wanted(n.ID)}
		c.rtt, _ = k.distance(n.ID, n.Region)
		heard, ok := k.heard[n.ID]
		if r := k.adverts.records[n.ID]; r != nil {
			heard, ok = now, true
			c.avoid = c.avoid || r.about.State&peer.NodeDraining != 0
		}
		if !ok {
			heard = now // we have known of it only since now
		}
		seen[n.ID] = heard
		c.unheard = now.Sub(heard) >= unheardAfter
		all = append(all, c)
	}
	k.heard = seen
	k.places.forget(k.links, now)
	return k.set.choose(all, uint64(now.Unix()/int64(chooseEvery/time.Second)))
}
