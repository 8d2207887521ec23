package backbone

import (
	"cmp"
	"slices"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/peer"
)

// standbyFactor is how many children may stand by for each that may be served:
// not all of them lose their parents at once.
const standbyFactor = 4

// grant decides whether a peer may become a child. A child that resumes is not
// asked: it was counted when it came, and refusing it then would cost a gap.
func (m *Mesh) grant(s peer.Subscribe, local bool) error {
	limit := m.cfg.MaxChildren
	if limit < 0 {
		if !local {
			return refusal(wire.CodeBusy, "%s does not relay", m.self.Node)
		}
		limit = defaultMaxChildren
	}
	serving, waiting := 0, 0
	for c := range m.children[s.Track] {
		if c.valve.isPaused() {
			waiting++
		} else {
			serving++
		}
	}
	switch {
	case s.Mode == peer.ModeStandby && waiting >= standbyFactor*limit:
		return refusal(wire.CodeBusy, "%d children stand by for %s", waiting, s.Track)
	case s.Mode == peer.ModeLive && serving >= limit:
		return refusal(wire.CodeBusy, "%d children take %s", serving, s.Track)
	case s.Mode == peer.ModeLive && m.cfg.EgressMbps > 0 && m.egress.mbps+m.rateOf(s.Track) > m.cfg.EgressMbps:
		return refusal(wire.CodeBusy, "%.0f of %.0f Mbit/s are sent", m.egress.mbps, m.cfg.EgressMbps)
	}
	return nil
}

// rateOf returns the measured rate of a track in Mbit/s, 0 if it is not known yet.
func (m *Mesh) rateOf(name wire.TrackName) float64 {
	if r := m.rates[name]; r != nil {
		return r.mbps
	}
	return 0
}

// alternatives names children that take a track from us and may serve who is
// refused: those nearest to it first, as far as it has told its distances.
func (m *Mesh) alternatives(asker string, s peer.Subscribe) []string {
	type choice struct {
		node string
		cost time.Duration
	}
	var all []choice
	near := m.adverts.records[asker]
	for c := range m.children[s.Track] {
		node := c.link.peer.Node
		if c.accepted.IsZero() || !c.below() || node == asker || slices.Contains(s.Hops, node) {
			continue
		}
		ch := choice{node: node, cost: time.Hour}
		if r := m.adverts.records[node]; r != nil && r.about.State&(peer.NodeDraining|peer.NodeOverloaded) != 0 {
			continue
		}
		if near != nil {
			if v, ok := near.link(node); ok {
				ch.cost = v.DelayP50
			}
		}
		all = append(all, ch)
	}
	slices.SortFunc(all, func(a, b choice) int { return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.node, b.node)) })
	nodes := make([]string, 0, peer.MaxAlternatives)
	for _, c := range all[:min(len(all), peer.MaxAlternatives)] {
		nodes = append(nodes, c.node)
	}
	return nodes
}

// rateMeter turns a counter of bytes into Mbit/s, smoothed over some seconds.
type rateMeter struct {
	bytes uint64
	at    time.Time
	mbps  float64
}

// add takes the counter as it is now.
func (r *rateMeter) add(bytes uint64, now time.Time) {
	dt := now.Sub(r.at).Seconds()
	if r.at.IsZero() || bytes < r.bytes {
		r.bytes, r.at = bytes, now
		return
	}
	if dt <= 0 {
		return
	}
	rate := float64(bytes-r.bytes) * 8 / dt / 1e6
	if r.mbps == 0 {
		r.mbps = rate
	} else {
		r.mbps += (rate - r.mbps) / 4
	}
	r.bytes, r.at = bytes, now
}

// measureRates looks at what is sent in all, and at each track. Called once a second.
func (m *Mesh) measureRates(now time.Time) {
	sent := uint64(0)
	for _, l := range m.links {
		sent += l.sent()
	}
	m.egress.add(sent, now)
	tracks := make(map[wire.TrackName]*relay.Track, len(m.carried)+len(m.children))
	for name, u := range m.carried {
		tracks[name] = u.track
	}
	for name, all := range m.children {
		for c := range all {
			tracks[name] = c.sub.Track()
			break
		}
	}
	for name, track := range tracks {
		r := m.rates[name]
		if r == nil {
			r = &rateMeter{}
			m.rates[name] = r
		}
		r.add(track.Written(), now)
	}
	for name := range m.rates {
		if tracks[name] == nil {
			delete(m.rates, name)
		}
	}
}

// sent counts the payload bytes sent to the peer.
func (l *link) sent() uint64 {
	n := uint64(0)
	for k := range numKinds {
		n += l.stats.out.bytes[k].n.Load()
	}
	return n
}
