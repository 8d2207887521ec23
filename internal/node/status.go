package node

import (
	"context"
	"time"

	"trellis/backbone"
	"trellis/edge/rtc"
	"trellis/internal/relay"
	"trellis/wire"
)

// Status is a node as GET /v1/status shows it.
type Status struct {
	Node       Self                  `json:"node"`
	Discovery  *DiscoveryStatus      `json:"discovery,omitempty"` // nil: the node stands alone
	Nodes      []backbone.NodeStatus `json:"nodes"`
	Links      []LinkStatus          `json:"links"`
	Sessions   Sessions              `json:"sessions"`
	Broadcasts []BroadcastStatus     `json:"broadcasts"`
	WebRTC     rtc.Status            `json:"webrtc"`
}

// Self is the node itself.
type Self struct {
	ID       string    `json:"id"`
	Region   string    `json:"region"`
	Provider string    `json:"provider"`
	Cluster  string    `json:"cluster"`
	HopID    uint64    `json:"hop_id"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	UptimeS  float64   `json:"uptime_s"`
	Ready    bool      `json:"ready"`
	Draining bool      `json:"draining"`
	// Degraded: discovery fails or errs; see Discovery. Nothing is dropped for it.
	Degraded bool `json:"degraded"`
}

// LinkStatus is a link, with its delay as quantiles of one way.
type LinkStatus struct {
	backbone.LinkStatus

	OneWayMs Quantiles `json:"one_way_ms"`
}

// Quantiles are milliseconds.
type Quantiles struct {
	Min float64 `json:"min"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// Sessions counts the clients.
type Sessions struct {
	MoQ  int `json:"moq"`
	WHIP int `json:"whip"` // WebRTC publishers
	WHEP int `json:"whep"` // WebRTC viewers
}

// BroadcastStatus is a broadcast that the node knows.
type BroadcastStatus struct {
	relay.BroadcastStatus

	Tracks []TrackStatus `json:"tracks"`
}

// TrackStatus is a track that the node carries: what it holds of it, where it
// comes from and where it goes to.
type TrackStatus struct {
	relay.TrackStatus

	// Parent is the node that sends it to us, empty at its origin.
	Parent   string   `json:"parent"`
	MovingTo string   `json:"moving_to,omitempty"`
	Cause    string   `json:"cause,omitempty"`
	CostMs   float64  `json:"cost_ms"`
	Path     []string `json:"path"`
	// Children are the nodes that we send it to.
	Children []string `json:"children"`
}

// Status returns what the node is and does.
func (n *Node) Status(ctx context.Context) (Status, error) {
	now := time.Now()
	s := Status{
		Node: Self{
			ID: n.cfg.ID, Region: n.cfg.Region, Provider: n.cfg.Provider, Cluster: n.cfg.Cluster,
			HopID: wire.HopID(n.cfg.ID), Version: n.cfg.Version,
			Started: n.health.start.UTC().Round(0), UptimeS: now.Sub(n.health.start).Seconds(),
			Ready: n.ready(), Draining: n.health.draining.Load(),
		},
		Nodes: []backbone.NodeStatus{}, Links: []LinkStatus{},
		Broadcasts: []BroadcastStatus{},
	}
	if s.Discovery = n.discoveryStatus(); s.Discovery != nil {
		s.Node.Degraded = s.Discovery.Degraded
	}
	s.WebRTC = n.rtc.Status()
	s.Sessions.MoQ = n.moq.Sessions()
	s.Sessions.WHIP, s.Sessions.WHEP = n.rtc.Sessions()
	type key struct{ broadcast, track string }
	routes := map[key]backbone.TrackStatus{}
	if n.port.mesh != nil {
		mesh, err := n.port.mesh.Status(ctx)
		if err != nil {
			return s, err
		}
		s.Nodes = mesh.Nodes
		for _, l := range mesh.Links {
			s.Links = append(s.Links, LinkStatus{LinkStatus: l, OneWayMs: Quantiles{l.DelayMinMs, l.DelayP50Ms, l.DelayP95Ms}})
		}
		for _, t := range mesh.Tracks {
			routes[key{t.Broadcast, t.Track}] = t
		}
	}
	for _, b := range n.table.Status() {
		shown := BroadcastStatus{BroadcastStatus: b, Tracks: make([]TrackStatus, 0, len(b.Tracks))}
		for _, t := range b.Tracks {
			r, routed := routes[key{b.Name, t.Name}]
			if !routed {
				r = backbone.TrackStatus{Path: b.Path, Children: []string{}}
			}
			shown.Tracks = append(shown.Tracks, TrackStatus{
				TrackStatus: t, Parent: r.Parent, MovingTo: r.MovingTo, Cause: r.Cause,
				CostMs: r.CostMs, Path: r.Path, Children: r.Children,
			})
		}
		s.Broadcasts = append(s.Broadcasts, shown)
	}
	return s, nil
}
