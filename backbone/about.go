package backbone

import (
	"context"
	"maps"
	"slices"
	"time"

	"trellis/routing/spf"
	"trellis/wire/peer"
)

// about is what this node says of itself now. Where the node stands among the
// others is not the mesh's to say.
func (m *Mesh) about() peer.NodeValue {
	v := peer.NodeValue{}
	if m.cfg.About != nil {
		v = m.cfg.About()
	}
	v.Region, v.Provider = m.self.Region, m.cfg.Provider
	v.MaxChildren, v.EgressMbps = uint64(max(m.cfg.MaxChildren, 0)), uint64(m.cfg.EgressMbps)
	v.UsedMbps = uint64(m.egress.mbps)
	v.Capabilities |= peer.CapRelay
	v.Coordinate = m.know.about.Coordinate
	if m.draining {
		v.State |= peer.NodeDraining
	}
	if m.overload.on {
		v.State |= peer.NodeOverloaded
	}
	return v
}

// advertiseSelf tells what this node is like, where that has changed enough.
func (m *Mesh) advertiseSelf(now time.Time) {
	v, was := m.about(), m.know.about
	if v.MaxViewers == was.MaxViewers && steady(v.Viewers, was.Viewers, v.MaxViewers) {
		v.Viewers = was.Viewers
	}
	if v.EgressMbps == was.EgressMbps && steady(v.UsedMbps, was.UsedMbps, v.EgressMbps) {
		v.UsedMbps = was.UsedMbps
	}
	m.know.setAbout(v, now)
}

// steady reports whether a load is near enough to what was told: within a tenth
// of its limit, or, without one, of itself.
func steady(now, was, limit uint64) bool {
	if limit == 0 {
		limit = max(was, 10)
	}
	return 10*max(now, was)-10*min(now, was) < limit
}

// Overview is what is known of all nodes at one time.
type Overview struct {
	Self  string
	Nodes []KnownNode // sorted by id, this one among them
	// Links holds the measured delays of links, as both ends advertise them. It is
	// not changed any more.
	Links *spf.Graph
}

// KnownNode is a node by its advert.
type KnownNode struct {
	ID   string
	Boot time.Time
	peer.NodeValue
}

// Overview returns what the adverts say of the nodes and of the links between them.
func (m *Mesh) Overview(ctx context.Context) (Overview, error) {
	o := Overview{Self: m.self.Node}
	err := m.call(ctx, func() {
		for _, id := range slices.Sorted(maps.Keys(m.adverts.records)) {
			r := m.adverts.records[id]
			v := r.about
			v.Coordinate = slices.Clone(v.Coordinate)
			o.Nodes = append(o.Nodes, KnownNode{ID: id, Boot: time.UnixMicro(int64(r.boot)), NodeValue: v})
		}
		o.Links = m.topology()
	})
	return o, err
}
