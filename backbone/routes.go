package backbone

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"trellis/routing/control"
	"trellis/wire"
	"trellis/wire/peer"
)

// RoutesStatus says where a track goes, and why, as GET /v1/routes shows it. At
// the origin it has all nodes; elsewhere this one and those below.
type RoutesStatus struct {
	Node      string        `json:"node"` // who says so
	Broadcast string        `json:"broadcast"`
	Track     string        `json:"track"`
	Origin    string        `json:"origin"`
	Version   uint64        `json:"version"` // of the plan, 0: there is none
	Protect   string        `json:"protect"`
	RateMbps  float64       `json:"rate_mbps"`
	Summary   *PlanSummary  `json:"summary,omitempty"` // at the origin
	Routes    []RouteStatus `json:"routes"`
}

// PlanSummary is what the plan is worth.
type PlanSummary struct {
	Viewers    int      `json:"viewers"`
	Reachable  int      `json:"reachable"` // for whom the graph allows the bound
	InBound    int      `json:"in_bound"`
	Served     int      `json:"served"`
	Protected  int      `json:"protected"`
	USDPerHour float64  `json:"usd_per_hour"`
	PlanningMs float64  `json:"planning_ms"`
	Unserved   []string `json:"unserved"`
}

// RouteStatus is where one node takes the track from.
type RouteStatus struct {
	Node        string      `json:"node"`
	Viewers     int         `json:"viewers"`
	Parent      string      `json:"parent"` // empty if it has none now
	Planned     []string    `json:"planned"`
	Obstacle    string      `json:"obstacle,omitempty"` // why it is not where it is planned
	Version     uint64      `json:"version"`            // that the node follows
	Path        []HopStatus `json:"path"`               // as it is, from the origin to the node
	PredictedMs float64     `json:"predicted_ms"`       // on the planned path
	BoundMs     float64     `json:"bound_ms"`           // 0: none is known here
	SlackMs     float64     `json:"slack_ms"`           // bound less predicted
	PriceUSDh   float64     `json:"price_usd_per_hour"` // of the last hop
	Protect     string      `json:"protect"`
	Backup      []string    `json:"backup"`
	BackupMs    float64     `json:"backup_ms"`
	Standby     string      `json:"standby,omitempty"` // the backup parent that stands by now, known to the node itself
	Reason      string      `json:"reason"`
	Note        string      `json:"note,omitempty"`
	Since       *time.Time  `json:"since,omitempty"`
	Changes     []Change    `json:"changes"` // the newest first
}

// HopStatus is a node on a path.
type HopStatus struct {
	Node string `json:"node"`
	// LinkMs is the measured delay of the link that leads to the node, and
	// PredictedMs that of the path up to it.
	LinkMs      float64 `json:"link_ms"`
	PredictedMs float64 `json:"predicted_ms"`
	// AgeMs is how old objects were when they came to the node, and AgeErrMs the
	// bound of its error, where Age is "measured".
	Age      string  `json:"age"` // origin, measured, unsynchronised, unknown
	AgeMs    float64 `json:"age_ms"`
	AgeErrMs float64 `json:"age_err_ms"`
}

// ErrNotCarried says that the node knows nothing of the track's way.
var ErrNotCarried = errors.New("the track is not carried here")

// Routes explains where a track goes. Nodes other than edge are left out, unless
// it is empty.
func (m *Mesh) Routes(ctx context.Context, name wire.TrackName, edge string) (RoutesStatus, error) {
	var s RoutesStatus
	found := false
	err := m.call(ctx, func() { s, found = m.routes(name, time.Now()) })
	if err == nil && !found {
		err = ErrNotCarried
	}
	if edge != "" {
		s.Routes = slices.DeleteFunc(s.Routes, func(r RouteStatus) bool { return r.Node != edge })
	}
	return s, err
}

func (m *Mesh) routes(name wire.TrackName, now time.Time) (RoutesStatus, bool) {
	s := RoutesStatus{
		Node: m.self.Node, Broadcast: string(name.Broadcast), Track: name.Track, Origin: m.self.Node,
		Protect: protectName(control.ProtectNone), RateMbps: m.rateOf(name), Routes: []RouteStatus{},
	}
	below := m.below(name)
	u, r := m.carried[name], m.plans.roots[name]
	if u == nil && len(m.children[name]) == 0 {
		return s, false
	}
	if u != nil {
		s.Origin, s.Version, s.Protect = u.origin, u.plan.version, protectName(u.plan.protect())
		s.Routes = append(s.Routes, m.ownRoute(u, now))
	}
	if r != nil {
		s.Version, s.Protect, s.Summary = r.version, protectName(m.cfg.Protect(name, r.info.Kind)), r.summary()
	}
	for node, e := range below {
		rs := RouteStatus{
			Node: node, Viewers: int(min(e.Viewers, 1<<31)), Parent: e.Parent, Version: e.Version,
			Path: m.walk(name, node, below), Planned: []string{}, Backup: []string{}, Changes: []Change{},
			Protect: protectName(control.ProtectNone),
		}
		if e.Obstacle != wire.CodeCancel {
			rs.Obstacle = e.Obstacle.String()
		}
		if r != nil && r.routes[node] != nil {
			at := r.routes[node]
			rs.planned(wireRoute(at.route))
			rs.Changes = at.changes.all()
		}
		s.Routes = append(s.Routes, rs)
	}
	slices.SortFunc(s.Routes, func(a, b RouteStatus) int { return strings.Compare(a.Node, b.Node) })
	return s, true
}

// ownRoute is the route of this node.
func (m *Mesh) ownRoute(u *upstream, now time.Time) RouteStatus {
	s := RouteStatus{
		Node: m.self.Node, Viewers: m.ownViewers(u), Version: u.plan.version, Reason: u.cause,
		Planned: []string{}, Backup: []string{}, Changes: u.plan.changes.all(), Protect: protectName(control.ProtectNone),
	}
	if u.plan.version > 0 {
		s.planned(u.plan.route)
	}
	if u.plan.obstacle != wire.CodeCancel {
		s.Obstacle = u.plan.obstacle.String()
	}
	if u.feed != nil {
		s.Parent = u.feed.node()
	}
	if u.spare != nil {
		s.Standby = u.spare.node()
	}
	hops := m.hopsTo(u.track.Name())
	hops[len(hops)-1].Age = u.age(now)
	s.Path = m.hopStatus(u.origin, hops)
	if !u.plan.planned() {
		s.PredictedMs = s.Path[len(s.Path)-1].PredictedMs
	}
	return s
}

// planned takes over what the plan says.
func (s *RouteStatus) planned(r peer.Route) {
	s.Planned = append(s.Planned, r.Path...)
	s.Backup = append(s.Backup, r.Backup...)
	s.PredictedMs, s.BackupMs, s.BoundMs = millis(r.Delay), millis(r.BackupDelay), millis(r.Bound)
	s.SlackMs = s.BoundMs - s.PredictedMs
	s.PriceUSDh, s.Protect = float64(r.PriceMicroUSD)/1e6, protectName(control.Protection(r.Protect))
	s.Reason, s.Note = r.Reason, r.Note
	if r.Since > 0 {
		t := time.UnixMicro(int64(r.Since)).UTC()
		s.Since = &t
	}
}

// walk goes from a node upwards, by the parents that the nodes themselves name.
func (m *Mesh) walk(name wire.TrackName, node string, below map[string]heard) []HopStatus {
	var up []peer.Hop
	for len(up) < peer.MaxHops {
		e, ok := below[node]
		if !ok {
			break
		}
		up = append(up, peer.Hop{Node: node, Age: e.Age})
		node = e.Parent
	}
	if node == m.self.Node {
		slices.Reverse(up)
		up = append(m.hopsTo(name), up...)
	} else {
		slices.Reverse(up) // the tree is changing just now
	}
	return m.hopStatus(m.originOf(name), up)
}

func (m *Mesh) originOf(name wire.TrackName) string {
	if u := m.carried[name]; u != nil {
		return u.origin
	}
	return m.self.Node
}

func (m *Mesh) hopStatus(origin string, hops []peer.Hop) []HopStatus {
	all := make([]HopStatus, len(hops))
	sum := time.Duration(0)
	for i, h := range hops {
		s := HopStatus{Node: h.Node, Age: ageWord(h.Age.State)}
		if i > 0 {
			d := m.linkDelay(hops[i-1].Node, h.Node)
			if sum += d; i > 1 {
				sum += relayDelay
			}
			s.LinkMs = millis(d)
		}
		if h.Node == origin {
			s.Age = "origin"
		}
		s.PredictedMs = millis(sum)
		if h.Age.State == peer.AgeMeasured {
			s.AgeMs, s.AgeErrMs = millis(h.Age.P50), millis(h.Age.Err)
		}
		all[i] = s
	}
	return all
}

// linkDelay returns what a link costs by the records, 0 if it has none.
func (m *Mesh) linkDelay(from, to string) time.Duration {
	r := m.adverts.records[from]
	if r == nil {
		return 0
	}
	v, ok := r.link(to)
	if !ok {
		return 0
	}
	return linkCost(v.DelayP50, float64(v.LossPpm)/1e6) - hopCost
}

func ageWord(s peer.AgeState) string {
	switch s {
	case peer.AgeMeasured:
		return "measured"
	case peer.AgeUnsynchronised:
		return "unsynchronised"
	default:
		return "unknown"
	}
}

func protectName(p control.Protection) string {
	return [...]string{"none", "cold", "warm", "hot"}[min(p, control.ProtectHot)]
}

func (r *root) summary() *PlanSummary {
	p := r.plan.Summary
	return &PlanSummary{
		Viewers: p.Viewers, Reachable: p.Reachable, InBound: p.InBound, Served: p.Served, Protected: p.Protected,
		USDPerHour: p.USDPerHour, PlanningMs: millis(p.Planning), Unserved: orEmpty(p.Unserved),
	}
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
