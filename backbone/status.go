package backbone

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/wire"
)

// Status is the mesh as GET /v1/status shows it.
type Status struct {
	Node     string        `json:"node"`
	Region   string        `json:"region"`
	Provider string        `json:"provider"`
	Cluster  string        `json:"cluster"`
	Boot     time.Time     `json:"boot"`
	Draining bool          `json:"draining"`
	Nodes    []NodeStatus  `json:"nodes"`
	Links    []LinkStatus  `json:"links"`
	Tracks   []TrackStatus `json:"tracks"`
}

// NodeStatus is another node, by its adverts.
type NodeStatus struct {
	ID         string  `json:"id"`
	Region     string  `json:"region"`
	Provider   string  `json:"provider"`
	Linked     bool    `json:"linked"`
	Broadcasts int     `json:"broadcasts"`
	AgeMs      float64 `json:"age_ms"` // of its advert
}

// LinkStatus is a link that is up. Delays are one way.
type LinkStatus struct {
	Peer            string                `json:"peer"`
	Region          string                `json:"region"`
	Provider        string                `json:"provider"`
	Addr            string                `json:"addr"`
	Dialled         bool                  `json:"dialled"`
	Up              time.Time             `json:"up"`
	State           string                `json:"state"` // up, suspect, leaving
	Lanes           int                   `json:"lanes"`
	PerLane         []LaneStatus          `json:"per_lane"`
	Samples         int                   `json:"samples"`
	DelayMinMs      float64               `json:"delay_min_ms"`
	DelayP50Ms      float64               `json:"delay_p50_ms"`
	DelayP95Ms      float64               `json:"delay_p95_ms"`
	JitterMs        float64               `json:"jitter_ms"`
	LossIn          float64               `json:"loss_in"`
	LossOut         float64               `json:"loss_out"`
	Synchronised    bool                  `json:"synchronised"`
	ClockOffsetMs   float64               `json:"clock_offset_ms"` // how far the peer's clock is ahead
	ClockErrorMs    float64               `json:"clock_error_ms"`
	BytesSent       uint64                `json:"bytes_sent"` // of QUIC, all lanes
	BytesReceived   uint64                `json:"bytes_received"`
	PacketsSent     uint64                `json:"packets_sent"`
	PacketsLost     uint64                `json:"packets_lost"`
	CongestionBytes uint64                `json:"congestion_window_bytes"`
	OpenStreams     int64                 `json:"open_streams"` // groups being sent
	Subscriptions   int                   `json:"subscriptions"`
	Children        int                   `json:"children"`
	In              map[string]FlowStatus `json:"in"` // by kind of track
	Out             map[string]FlowStatus `json:"out"`
	Dropped         map[string]uint64     `json:"dropped"` // groups, by reason
	Drops           []DropEvent           `json:"drops"`   // the last of them, with their numbers
}

// FlowStatus counts what passed in one direction.
type FlowStatus struct {
	Groups  uint64 `json:"groups"`
	Objects uint64 `json:"objects"`
	Bytes   uint64 `json:"bytes"`
}

// TrackStatus is where a track comes from and goes to.
type TrackStatus struct {
	Broadcast string   `json:"broadcast"`
	Track     string   `json:"track"`
	Origin    string   `json:"origin"`
	Parent    string   `json:"parent"` // empty where the track enters, or has no parent now
	MovingTo  string   `json:"moving_to,omitempty"`
	Cause     string   `json:"cause,omitempty"` // why the parent is the parent
	CostMs    float64  `json:"cost_ms"`         // expected delay from the origin
	Path      []string `json:"path"`            // from the origin to us
	Children  []string `json:"children"`
}

// Status returns what the mesh is doing.
func (m *Mesh) Status(ctx context.Context) (Status, error) {
	var s Status
	err := m.call(ctx, func() { s = m.status(time.Now()) })
	return s, err
}

func (m *Mesh) status(now time.Time) Status {
	s := Status{
		Node: m.self.Node, Region: m.self.Region, Cluster: m.self.Cluster, Provider: m.cfg.Provider,
		Boot: m.cfg.Boot, Draining: m.draining,
		Nodes: []NodeStatus{}, Links: []LinkStatus{}, Tracks: []TrackStatus{},
	}
	for _, id := range slices.Sorted(maps.Keys(m.adverts.records)) {
		if r := m.adverts.records[id]; id != m.self.Node {
			s.Nodes = append(s.Nodes, NodeStatus{
				ID: id, Region: r.about.Region, Provider: r.about.Provider, Linked: m.links[id] != nil,
				Broadcasts: len(r.broadcasts), AgeMs: millis(now.Sub(r.made)),
			})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.links)) {
		s.Links = append(s.Links, m.links[id].status())
	}
	names := map[wire.TrackName]struct{}{}
	for name := range m.carried {
		names[name] = struct{}{}
	}
	for name := range m.children {
		names[name] = struct{}{}
	}
	for name := range names {
		s.Tracks = append(s.Tracks, m.trackStatus(name))
	}
	slices.SortFunc(s.Tracks, func(a, b TrackStatus) int {
		return cmp.Or(cmp.Compare(a.Broadcast, b.Broadcast), cmp.Compare(a.Track, b.Track))
	})
	return s
}

func (m *Mesh) trackStatus(name wire.TrackName) TrackStatus {
	t := TrackStatus{
		Broadcast: string(name.Broadcast), Track: name.Track, Origin: m.self.Node,
		Path: m.pathTo(name), Children: []string{},
	}
	if u := m.carried[name]; u != nil {
		t.Origin, t.Cause, t.CostMs = u.origin, u.cause, millis(u.cost)
		if u.feed != nil {
			t.Parent = u.feed.node()
		}
		if u.next != nil {
			t.MovingTo = u.next.link.peer.Node
		}
	}
	for c := range m.children[name] {
		t.Children = append(t.Children, c.link.peer.Node)
	}
	slices.Sort(t.Children)
	return t
}

func (l *link) status() LinkStatus {
	q := l.quality
	s := LinkStatus{
		Peer: l.peer.Node, Region: l.peer.Region, Provider: l.peer.Provider, Addr: l.main.RemoteAddr().String(),
		Dialled: l.dialled, Up: l.up, State: "up", Lanes: 1, PerLane: l.laneStatus(), Samples: q.Samples,
		DelayMinMs: millis(q.DelayMin), DelayP50Ms: millis(q.DelayP50), DelayP95Ms: millis(q.DelayP95), JitterMs: millis(q.Jitter),
		LossIn: q.LossIn, LossOut: q.LossOut, OpenStreams: l.stats.open.Load(), Children: len(l.children),
		In: l.stats.in.status(), Out: l.stats.out.status(), Dropped: map[string]uint64{},
		Drops: l.drops.events(),
	}
	switch {
	case l.suspect:
		s.State = "suspect"
	case l.leaving:
		s.State = "leaving"
	}
	if off := l.clock.Load(); off != nil {
		s.Synchronised, s.ClockOffsetMs, s.ClockErrorMs = true, float64(off.offset)/1e3, float64(off.err)/1e3
	}
	add := func(c *quic.Conn) {
		st := c.ConnectionStats()
		s.BytesSent += st.BytesSent
		s.BytesReceived += st.BytesReceived
		s.PacketsSent += st.PacketsSent
		s.PacketsLost += st.PacketsLost
		s.CongestionBytes += st.CongestionWindow
	}
	add(l.main)
	for _, ln := range l.lanes.load() {
		s.Lanes++
		add(ln.conn)
	}
	l.feedsMu.RLock()
	s.Subscriptions = len(l.feeds)
	l.feedsMu.RUnlock()
	for d := range numDrops {
		if n := l.stats.dropped[d].n.Load(); n > 0 {
			s.Dropped[d.String()] = n
		}
	}
	return s
}

func (f *flow) status() map[string]FlowStatus {
	all := map[string]FlowStatus{}
	for k := range numKinds {
		s := FlowStatus{Groups: f.groups[k].n.Load(), Objects: f.objects[k].n.Load(), Bytes: f.bytes[k].n.Load()}
		if s.Groups > 0 || s.Objects > 0 {
			all[wire.Kind(k).String()] = s
		}
	}
	return all
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
