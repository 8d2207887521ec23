package backbone

import (
	"time"

	"trellis/wire"
	"trellis/wire/peer"
)

// This file is what a simulation of many nodes drives, beside Knowledge: the code
// is that of a Mesh, without its links.

// Meter measures one end of a link from probes. It has no timer.
type Meter struct{ m measure }

// Period is within which time an idle link sends its next probe, that long after
// it came up.
func (*Meter) Period(up time.Duration) time.Duration {
	if up < youngLink {
		return probePeriodMedia
	}
	return probePeriodIdle
}

// Next returns the probe to send now. wall is the node's own clock in µs.
func (p *Meter) Next(period time.Duration, wall uint64) peer.Probe { return p.m.next(period, wall) }

// Receive takes a probe of the peer.
func (p *Meter) Receive(probe peer.Probe, now time.Time, wall uint64) { p.m.receive(probe, now, wall) }

// Quality returns what has been measured in the last minute.
func (p *Meter) Quality(now time.Time) Quality { return p.m.quality(now) }

// Down is after how long a silence the link counts as down, on a node whose
// timers are not late.
func (p *Meter) Down() time.Duration {
	_, down := silenceLimits(p.m.srtt, p.m.rttvar, 0, p.m.peerPeriod())
	return down
}

// EntryPool shares what the records of many nodes in one process have in common.
type EntryPool struct{ entries map[sharedKey]*entry }

// NewEntryPool returns an empty pool.
func NewEntryPool() *EntryPool { return &EntryPool{entries: map[sharedKey]*entry{}} }

// SetBroadcast says that a broadcast has entered at this node.
func (k *Knowledge) SetBroadcast(name wire.Broadcast, v peer.BroadcastValue, now time.Time) {
	k.adverts.set(peer.EntryBroadcast, string(name), v.Append(nil), now)
}

// Nodes returns how many nodes are known, this one included.
func (k *Knowledge) Nodes() int { return len(k.adverts.records) }

// Linked reports whether both of two nodes are known to advertise their link.
func (k *Knowledge) Linked(a, b string) bool {
	ra, rb := k.adverts.records[a], k.adverts.records[b]
	if ra == nil || rb == nil {
		return false
	}
	_, ab := ra.link(b)
	_, ba := rb.link(a)
	return ab && ba
}

// Stats returns what the trees by which records come have cost.
func (k *Knowledge) Stats() FloodStats { return k.flood.stats }

// FloodDelay returns how long the links are, one way, by which a node's record
// comes; false if it is not known.
func (k *Knowledge) FloodDelay(node string) (time.Duration, bool) {
	r := k.adverts.records[node]
	if r == nil || r.tree.delay >= farAway {
		return 0, false
	}
	return r.tree.delay, true
}

// What follows puts a node into the state that it has come to after a while, so
// that a simulation can begin there.

// Remember says that the round trip to a node has been measured.
func (k *Knowledge) Remember(id string, rtt time.Duration, now time.Time) {
	k.places.measured[id] = roundTrip{rtt: rtt, at: now}
}

// Adopt says that a link has been measured and advertised.
func (k *Knowledge) Adopt(id string, q Quality, now time.Time) {
	n := k.links[id]
	n.quality = q
	k.advertise(id, n, now)
	k.flood.links[id].delay = q.DelayP50
	k.adverts.told, k.adverts.urgent = k.adverts.own().seq, false
}

// Stand takes a step towards where the node stands, by its distance to another.
func (k *Knowledge) Stand(o *Knowledge, rtt time.Duration) {
	k.places.own.update(&o.places.own, rtt, k.places.dice)
}

// TellPlace says where the node stands.
func (k *Knowledge) TellPlace(now time.Time) {
	k.places.told, k.places.toldAt = k.places.own, now
	k.setAbout(k.about, now)
	k.adverts.told, k.adverts.urgent = k.adverts.own().seq, false
}

// Whole returns the node's own record, in parts.
func (k *Knowledge) Whole(now time.Time) []peer.Advert { return k.adverts.own().since(0, now) }

// Plant takes another node's record, which comes by the link from parent, that
// long after the owner said it.
func (k *Knowledge) Plant(parts []peer.Advert, parent string, delay time.Duration, now time.Time) {
	for _, a := range parts {
		k.adverts.apply(a, now)
	}
	t := &k.adverts.records[parts[0].Node].tree
	t.parent, t.delay = k.flood.links[parent].slot, delay
}

// PlantChild says that a link has grafted a record.
func (k *Knowledge) PlantChild(owner, child string) {
	k.adverts.records[owner].tree.push.set(k.flood.links[child].slot)
}
