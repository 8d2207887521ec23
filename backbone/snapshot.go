package backbone

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"trellis/routing/control"
	"trellis/wire/peer"
)

// relayDelay is what a relay adds when it forwards.
const relayDelay = 200 * time.Microsecond

// snapshot is what the planner decides from: the nodes and links of all records,
// and who wants the tracks that enter here.
func (m *Mesh) snapshot(now time.Time) control.Snapshot {
	s := control.Snapshot{Now: now}
	for id, r := range m.adverts.records {
		n := controlNode(id, r.about)
		if id == m.self.Node && n.MaxChildren == 0 {
			n.MaxChildren = defaultMaxChildren // of what enters here
		}
		s.Nodes = append(s.Nodes, n)
	}
	slices.SortFunc(s.Nodes, func(a, b control.Node) int { return strings.Compare(a.ID, b.ID) })
	for _, l := range m.controlLinks(now) {
		if _, refused := m.plans.avoid[[2]string{l.From, l.To}]; refused {
			l.Calm = false // not for newcomers; who takes other tracks over it stays
		}
		s.Links = append(s.Links, l)
	}
	for name, r := range m.plans.roots {
		t := control.Track{Name: name.String(), RateMbps: m.rateOf(name), Protect: m.cfg.Protect(name, r.info.Kind)}
		for node, e := range m.below(name) {
			t.Demand = append(t.Demand, control.Demand{Node: node, Viewers: int(min(e.Viewers, 1<<31)), Parent: e.Parent})
		}
		slices.SortFunc(t.Demand, func(a, b control.Demand) int { return strings.Compare(a.Node, b.Node) })
		s.Tracks = append(s.Tracks, t)
	}
	slices.SortFunc(s.Tracks, func(a, b control.Track) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func controlNode(id string, v peer.NodeValue) control.Node {
	n := control.Node{
		ID: id, Region: v.Region, Provider: v.Provider, MaxChildren: int(min(v.MaxChildren, 1<<31)),
		EgressMbps: float64(v.EgressMbps), UsedMbps: float64(v.UsedMbps), Delay: relayDelay,
		Draining: v.State&peer.NodeDraining != 0, Overloaded: v.State&peer.NodeOverloaded != 0,
	}
	if v.Capabilities&peer.CapRelay == 0 {
		n.MaxChildren = 0
	}
	return n
}

// controlLinks returns the links that both ends advertise, sorted. They are put
// together anew when a record has changed.
func (m *Mesh) controlLinks(now time.Time) []control.Link {
	if m.plans.links != nil {
		return m.plans.links
	}
	all := []control.Link{}
	seen := map[[2]string]bool{}
	for from, r := range m.adverts.records {
		price := float64(r.about.PriceMicroUSD) / 1e6
		r.eachLink(func(to string, v peer.LinkValue) {
			back, ok := m.adverts.records[to]
			if !ok {
				return
			}
			if _, ok := back.link(from); !ok {
				return
			}
			key := [2]string{from, to}
			seen[key] = true
			loss := float64(v.LossPpm) / 1e6
			all = append(all, control.Link{
				From: from, To: to, Delay: linkCost(v.DelayP50, loss) - hopCost, DelayP95: v.DelayP95,
				PriceUSDPerGB: price, Calm: m.plans.flaps.calm(key, now),
			})
		})
	}
	m.plans.flaps.saw(seen, now)
	slices.SortFunc(all, func(a, b control.Link) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To))
	})
	m.plans.links = all
	return all
}

// linkFlaps remembers which links of the graph have come and gone, so that one
// that returns is not trusted at once.
type linkFlaps struct {
	up   map[[2]string]bool
	gone map[[2]string]peerState
}

func newLinkFlaps() linkFlaps {
	return linkFlaps{up: map[[2]string]bool{}, gone: map[[2]string]peerState{}}
}

// maxFlaps bounds how many links are remembered that have failed.
const maxFlaps = 1 << 14

// saw takes the links that the graph has now.
func (f *linkFlaps) saw(links map[[2]string]bool, now time.Time) {
	for key := range f.up {
		if !links[key] && (len(f.gone) < maxFlaps || f.gone[key].flaps > 0) {
			p := f.gone[key]
			p.failed(now)
			p.calmAt = time.Time{}
			f.gone[key] = p
		}
	}
	for key := range links {
		if p, ok := f.gone[key]; ok && !f.up[key] {
			p.returned(now)
			f.gone[key] = p
		}
	}
	f.up = links
}

// calm reports whether a link may be trusted.
func (f *linkFlaps) calm(key [2]string, now time.Time) bool {
	p, failed := f.gone[key]
	return !failed || f.up[key] && p.calm(now)
}

// forget drops what has been quiet for long.
func (f *linkFlaps) forget(now time.Time) {
	for key, p := range f.gone {
		if now.Sub(p.lastDown) > flapMemory {
			delete(f.gone, key)
		}
	}
}
