package backbone

import (
	"context"
	"maps"
	"slices"
	"time"

	"trellis/wire/peer"
)

// GraphStatus is what a node knows of the mesh, as GET /v1/graph shows it. Delays
// are round trips.
type GraphStatus struct {
	Self  string      `json:"self"`
	At    time.Time   `json:"at"`
	Nodes []GraphNode `json:"nodes"`
	// Own links are measured here, both directions. Links are as one of their ends
	// advertises them; an edge of the graph counts when both do.
	Own   []OwnLink   `json:"own"`
	Links []GraphLink `json:"links"`
	// Chosen says with whom this node wants links of its own accord, and why.
	Chosen map[string]string `json:"chosen"`
}

// GraphNode is a node by its advert, or by discovery alone.
type GraphNode struct {
	ID         string   `json:"id"`
	Region     string   `json:"region"`
	Provider   string   `json:"provider"`
	Version    string   `json:"version,omitempty"`
	URL        string   `json:"url,omitempty"`
	Latitude   float64  `json:"lat,omitempty"`
	Longitude  float64  `json:"lon,omitempty"`
	State      []string `json:"state"` // draining, overloaded, degraded
	Heard      bool     `json:"heard"` // there is an advert of it
	AgeMs      float64  `json:"age_ms,omitempty"`
	Links      int      `json:"links"`
	Broadcasts int      `json:"broadcasts"`
	Egress     Usage    `json:"egress_mbps"`
	Viewers    Usage    `json:"viewers"`
	// Children is for one track: used is the most of any here, for this node only.
	Children   Usage   `json:"children"`
	PriceUSDGB float64 `json:"price_usd_per_gb,omitempty"`
	// RTTMs from here: measured on a link now or lately, else a prior from the
	// coordinates, or a guess.
	RTTMs float64 `json:"rtt_ms"`
	Prior bool    `json:"prior"`
}

// Usage is how much of a limit is used; limit 0: there is none.
type Usage struct {
	Used  uint64 `json:"used"`
	Limit uint64 `json:"limit"`
}

// GraphLink is one direction of a link, as its node advertises it.
type GraphLink struct {
	From     string  `json:"from"`
	To       string  `json:"to"`
	Both     bool    `json:"both"` // the other end advertises it, too
	RTTMinMs float64 `json:"rtt_min_ms"`
	RTTP50Ms float64 `json:"rtt_p50_ms"`
	RTTP95Ms float64 `json:"rtt_p95_ms"`
	JitterMs float64 `json:"jitter_ms"`
	Loss     float64 `json:"loss"` // the worse of both ways
	AgeMs    float64 `json:"age_ms"`
}

// OwnLink is a link of this node.
type OwnLink struct {
	Peer           string   `json:"peer"`
	Region         string   `json:"region"`
	State          string   `json:"state"`      // up, suspect, leaving
	HeldDown       float64  `json:"held_s"`     // how long it is still a last resort, after failures
	Failures       int      `json:"failures"`   // within ten minutes of one another
	Causes         []string `json:"causes"`     // why it is kept
	Dialled        bool     `json:"dialled"`    // by this node
	PeerWants      bool     `json:"peer_wants"` // it is of use to the peer itself
	UpS            float64  `json:"up_s"`
	Samples        int      `json:"samples"`
	AgeMs          float64  `json:"age_ms"` // of the last measurement
	RTTMinMs       float64  `json:"rtt_min_ms"`
	RTTP50Ms       float64  `json:"rtt_p50_ms"`
	RTTP95Ms       float64  `json:"rtt_p95_ms"`
	JitterMs       float64  `json:"jitter_ms"`
	LossIn         float64  `json:"loss_in"`
	LossOut        float64  `json:"loss_out"`
	Synchronised   bool     `json:"synchronised"`
	ClockOffsetMs  float64  `json:"clock_offset_ms"`
	ClockErrorMs   float64  `json:"clock_error_ms"`
	Lanes          int      `json:"lanes"`
	InMbps         float64  `json:"in_mbps"` // of media, smoothed
	OutMbps        float64  `json:"out_mbps"`
	Subscriptions  int      `json:"subscriptions"` // of ours at the peer
	Children       int      `json:"children"`      // of the peer's here
	CoordinateRTT  float64  `json:"coordinate_rtt_ms"`
	CoordinateMiss float64  `json:"coordinate_error"` // share of the measured round trip
}

// Graph returns what this node knows of the mesh.
func (m *Mesh) Graph(ctx context.Context) (GraphStatus, error) {
	var g GraphStatus
	err := m.call(ctx, func() { g = m.graphStatus(time.Now()) })
	return g, err
}

func (m *Mesh) graphStatus(now time.Time) GraphStatus {
	g := GraphStatus{Self: m.self.Node, At: m.cfg.WallClock(), Nodes: []GraphNode{}, Own: []OwnLink{}, Links: []GraphLink{}, Chosen: map[string]string{}}
	for id, cause := range m.chosen {
		g.Chosen[id] = cause.String()
	}
	seen := map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(m.adverts.records)) {
		r := m.adverts.records[id]
		seen[id] = true
		n := graphNode(id, r, now)
		if id != m.self.Node {
			n.RTTMs, n.Prior = m.rttTo(id, r.about.Region)
		} else {
			n.Children.Used = m.mostChildren()
			n.Egress.Used = uint64(m.egress.mbps)
		}
		r.eachLink(func(to string, v peer.LinkValue) {
			n.Links++
			g.Links = append(g.Links, m.graphLink(r, to, v, now))
		})
		g.Nodes = append(g.Nodes, n)
	}
	for _, d := range m.nodes.Load().Nodes {
		if !seen[d.ID] {
			n := GraphNode{ID: d.ID, Region: d.Region, Provider: d.Provider, State: []string{}}
			n.RTTMs, n.Prior = m.rttTo(d.ID, d.Region)
			g.Nodes = append(g.Nodes, n)
		}
	}
	slices.SortFunc(g.Nodes, func(a, b GraphNode) int { return compareText(a.ID, b.ID) })
	slices.SortFunc(g.Links, func(a, b GraphLink) int {
		if c := compareText(a.From, b.From); c != 0 {
			return c
		}
		return compareText(a.To, b.To)
	})
	for _, id := range slices.Sorted(maps.Keys(m.links)) {
		g.Own = append(g.Own, m.ownLink(m.links[id], now))
	}
	return g
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func graphNode(id string, r *record, now time.Time) GraphNode {
	v := r.about
	n := GraphNode{
		ID: id, Region: v.Region, Provider: v.Provider, Version: v.Version, URL: v.URL,
		Latitude: float64(v.Latitude) / 100, Longitude: float64(v.Longitude) / 100,
		State: stateWords(v.State), Heard: true, AgeMs: millis(now.Sub(r.made)), Broadcasts: len(r.broadcasts),
		Egress: Usage{v.UsedMbps, v.EgressMbps}, Viewers: Usage{v.Viewers, v.MaxViewers}, Children: Usage{Limit: v.MaxChildren},
		PriceUSDGB: float64(v.PriceMicroUSD) / 1e6,
	}
	return n
}

// stateWords are the states that a node is in.
func stateWords(s peer.NodeState) []string {
	words := []string{}
	for _, w := range []struct {
		bit  peer.NodeState
		word string
	}{{peer.NodeDraining, "draining"}, {peer.NodeOverloaded, "overloaded"}, {peer.NodeDegraded, "degraded"}} {
		if s&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return words
}

func (m *Mesh) rttTo(id, region string) (ms float64, prior bool) {
	rtt, prior := m.know.distance(id, region)
	return millis(rtt), prior
}

// mostChildren is how many nodes take the track that most take from here.
func (m *Mesh) mostChildren() uint64 {
	most := 0
	for _, all := range m.children {
		most = max(most, len(all))
	}
	return uint64(most)
}

func (m *Mesh) graphLink(r *record, to string, v peer.LinkValue, now time.Time) GraphLink {
	l := GraphLink{
		From: r.node, To: to, RTTMinMs: millis(2 * v.DelayMin), RTTP50Ms: millis(2 * v.DelayP50), RTTP95Ms: millis(2 * v.DelayP95),
		JitterMs: millis(v.Jitter), Loss: float64(v.LossPpm) / 1e6, AgeMs: millis(now.Sub(r.made)),
	}
	if back := m.adverts.records[to]; back != nil {
		_, l.Both = back.link(r.node)
	}
	return l
}

func (m *Mesh) ownLink(l *link, now time.Time) OwnLink {
	id, s := l.peer.Node, l.status()
	o := OwnLink{
		Peer: id, Region: s.Region, State: s.State, Causes: m.causes(l), Dialled: l.dialled, PeerWants: l.kept,
		UpS: now.Sub(l.up).Seconds(), Samples: s.Samples,
		RTTMinMs: 2 * s.DelayMinMs, RTTP50Ms: 2 * s.DelayP50Ms, RTTP95Ms: 2 * s.DelayP95Ms, JitterMs: s.JitterMs,
		LossIn: s.LossIn, LossOut: s.LossOut,
		Synchronised: s.Synchronised, ClockOffsetMs: s.ClockOffsetMs, ClockErrorMs: s.ClockErrorMs,
		Lanes: s.Lanes, InMbps: l.rateIn.mbps, OutMbps: l.rateOut.mbps, Subscriptions: s.Subscriptions, Children: s.Children,
	}
	if !l.measuredAt.IsZero() {
		o.AgeMs = millis(now.Sub(l.measuredAt))
	}
	if p := m.peer(id); p.flaps > 0 && now.Sub(p.lastDown) < flapMemory {
		o.Failures, o.HeldDown = p.flaps, max(p.calmAt.Sub(now).Seconds(), 0)
	}
	if r := m.adverts.records[id]; r != nil && o.RTTP50Ms > 0 {
		if at, ok := parseCoordinate(r.about.Coordinate); ok && at.known() && m.know.places.own.known() {
			o.CoordinateRTT = m.know.places.own.rtt(&at)
			o.CoordinateMiss = (o.CoordinateRTT - o.RTTP50Ms) / o.RTTP50Ms
		}
	}
	return o
}

// causes says why a link is kept: our own choice, routes, and the peer's choice.
func (m *Mesh) causes(l *link) []string {
	all := []string{}
	if c, ok := m.chosen[l.peer.Node]; ok {
		all = append(all, c.String())
	}
	all = append(all, slices.Sorted(maps.Keys(m.wants[l.peer.Node]))...)
	if l.kept {
		all = append(all, LinkPeer.String())
	}
	return all
}

// measureFlows looks at what passes on each link. Called once a second.
func (m *Mesh) measureFlows(now time.Time) {
	for _, l := range m.links {
		in := uint64(0)
		for k := range numKinds {
			in += l.stats.in.bytes[k].n.Load()
		}
		l.rateIn.add(in, now)
		l.rateOut.add(l.sent(), now)
	}
}
