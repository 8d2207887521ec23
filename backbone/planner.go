package backbone

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"trellis/internal/relay"
	"trellis/routing/control"
	"trellis/wire"
	"trellis/wire/peer"
)

// The origin of a track plans its tree. The loop puts together what is known
// (snapshot.go), the planner's goroutine decides, and the loop tells the nodes:
//
//	rootChanged --> snapshot --> Planner.Decide --> planned --> PLAN to children

// Planner decides the trees of the tracks that enter at this node. It is called
// by one goroutine, never twice at a time, and may take its time. It returns the
// plans that have changed. One that also has Plans() []control.Plan, with all of
// them, is asked for those.
type Planner interface {
	Decide(control.Snapshot) []control.Plan
}

// When a decision is made: a while after something changed, so that what changes
// together is decided together, and now and then because delays have moved.
const (
	planDebounce = 200 * time.Millisecond
	planPeriod   = 5 * time.Second
	// planRepeat is after how long a route is told again that a node lacks.
	planRepeat = time.Second
	// planAvoid is how long a link is left out of the graph for a node that was
	// refused at its end.
	planAvoid = 10 * time.Second
)

// planning is the loop's part of the planner.
type planning struct {
	roots    map[wire.TrackName]*root
	versions map[wire.TrackName]version // of tracks that had a root, while their broadcast lives
	changed  time.Time                  // since when something is new, zero if nothing is
	decided  time.Time
	busy     bool // the planner decides
	avoid    map[[2]string]time.Time
	flaps    linkFlaps
	links    []control.Link // of the graph, nil: to be built anew
}

// version is the last version of a track's plan.
type version struct {
	epoch uint64
	last  uint64
}

// root is a track that entered here and that other nodes take.
type root struct {
	name    wire.TrackName
	epoch   uint64
	track   *relay.Track
	info    wire.TrackInfo
	version uint64
	plan    control.Plan
	routes  map[string]*rooted
}

// rooted is the route of one node in a root's plan.
type rooted struct {
	route   control.Route
	version uint64 // in which it last changed
	told    time.Time
	changes changeRing
}

// rootJoined: a child of ours has been accepted.
func (m *Mesh) rootJoined(c *child, info wire.TrackInfo) {
	ann := c.sub.Track().Announcement()
	if m.cfg.Planner == nil || !ann.Local {
		return
	}
	if r := m.plans.roots[c.name]; r == nil || r.track != c.sub.Track() {
		v := m.plans.versions[c.name]
		if v.epoch != ann.Epoch {
			v = version{epoch: ann.Epoch}
		}
		m.plans.roots[c.name] = &root{
			name: c.name, epoch: ann.Epoch, track: c.sub.Track(), info: info, version: v.last, routes: map[string]*rooted{},
		}
	}
	m.rootChanged(c.name)
}

// rootChanged: there is something new to plan for a track, if it enters here.
func (m *Mesh) rootChanged(name wire.TrackName) {
	r := m.plans.roots[name]
	if r == nil {
		return
	}
	if len(m.children[name]) == 0 {
		delete(m.plans.roots, name)
	} else {
		m.avoidRefused(r)
	}
	m.planSoon(time.Now())
}

func (m *Mesh) planSoon(now time.Time) {
	if m.plans.changed.IsZero() {
		m.plans.changed = now
	}
}

// avoidRefused leaves out of the graph what nodes could not be led over: where
// the plan that they have names a parent that did not take them.
func (m *Mesh) avoidRefused(r *root) {
	now := time.Now()
	for c := range m.children[r.name] {
		for node, e := range c.demand {
			at := r.routes[node]
			if at == nil || e.Obstacle == wire.CodeCancel || e.Version < at.version {
				continue
			}
			if parent := last(at.route.Path); parent != "" && parent != e.Parent {
				m.plans.avoid[[2]string{parent, node}] = now
			}
		}
	}
}

// decide starts a decision if one is due.
func (m *Mesh) decide(now time.Time) {
	if m.cfg.Planner == nil {
		return
	}
	due := !m.plans.changed.IsZero() && now.Sub(m.plans.changed) >= planDebounce || len(m.plans.roots) > 0 && now.Sub(m.plans.decided) >= planPeriod
	if due && !m.plans.busy {
		m.plans.busy, m.plans.changed, m.plans.decided = true, time.Time{}, now
		m.snapshots <- m.snapshot(now) // there is room: the planner is not busy
	}
}

// runPlanner decides, one snapshot at a time.
func (m *Mesh) runPlanner(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s := <-m.snapshots:
			began := time.Now()
			plans := m.cfg.Planner.Decide(s)
			if all, ok := m.cfg.Planner.(interface{ Plans() []control.Plan }); ok {
				plans = all.Plans() // with today's delays, where nothing else has changed
			}
			took := time.Since(began)
			m.later(func() { m.planned(plans, took) })
		}
	}
}

// planned takes what the planner has decided.
func (m *Mesh) planned(plans []control.Plan, took time.Duration) {
	now := time.Now()
	m.plans.busy = false
	m.metrics.planning.Observe(took.Seconds())
	byName := make(map[string]*root, len(m.plans.roots))
	for name, r := range m.plans.roots {
		byName[name.String()] = r
	}
	for _, p := range plans {
		if r := byName[p.Track]; r != nil {
			p.Summary.Planning = took
			m.enact(r, p, now)
		}
	}
}

// enact makes a plan the one of its track, and tells the nodes whose routes have
// changed.
func (m *Mesh) enact(r *root, p control.Plan, now time.Time) {
	r.plan = p
	left := r.routes
	routes := make(map[string]*rooted, len(p.Routes))
	next := r.version + 1
	changed := 0
	for _, route := range p.Routes {
		at := left[route.Node]
		if at == nil {
			at = &rooted{}
		}
		if !sameRoute(at.route, route) || at.version == 0 {
			at.version, at.told = next, time.Time{}
			at.changes.add(Change{
				At: now, Version: next, Path: route.Path, Backup: route.Backup, Reason: route.Reason, Note: route.Note,
			})
			changed++
		}
		at.route = route
		routes[route.Node] = at
	}
	if changed == 0 && len(routes) == len(left) {
		r.routes = routes
		return
	}
	r.version, r.routes = next, routes
	m.plans.versions[r.name] = version{epoch: r.epoch, last: next}
	m.log.Debug("plan", slog.String("track", p.Track), slog.Uint64("version", next), slog.Int("routes", len(routes)),
		slog.Int("changed", changed), slog.Duration("took", p.Summary.Planning))
	m.tellPlan(r, now)
}

// sameRoute reports whether a node has nothing to do when its route becomes b.
func sameRoute(a, b control.Route) bool {
	return slices.Equal(a.Path, b.Path) && slices.Equal(a.Backup, b.Backup) && a.Protect == b.Protect
}

// tellPlan tells nodes the routes that they lack, by the children through which
// they take the track.
func (m *Mesh) tellPlan(r *root, now time.Time) {
	for c := range m.children[r.name] {
		var routes []peer.Route
		for node, e := range c.demand {
			at := r.routes[node]
			if at == nil || e.Version >= at.version || now.Sub(at.told) < planRepeat || m.childWith(r.name, node) != c {
				continue
			}
			at.told = now
			routes = append(routes, wireRoute(at.route))
		}
		slices.SortFunc(routes, func(a, b peer.Route) int { return cmp.Compare(a.Node, b.Node) })
		c.sayPlan(r.version, routes)
	}
}

// repeatPlans tells again what did not arrive, as nodes that have moved meanwhile
// may have missed it. Called once a second.
func (m *Mesh) repeatPlans(now time.Time) {
	for _, r := range m.plans.roots {
		m.tellPlan(r, now)
	}
	for key, at := range m.plans.avoid {
		if now.Sub(at) >= planAvoid {
			delete(m.plans.avoid, key)
			m.planSoon(now)
		}
	}
	m.plans.flaps.forget(now)
}

// forgetPlans drops the versions of a broadcast that is over.
func (m *Mesh) forgetPlans(name wire.Broadcast) {
	for track := range m.plans.versions {
		if track.Broadcast == name {
			delete(m.plans.versions, track)
		}
	}
}

// wireRoute puts a route into the words of the wire. A path beyond its limits is
// none.
func wireRoute(r control.Route) peer.Route {
	path, backup := r.Path, r.Backup
	if len(path) > peer.MaxHops {
		path = nil
	}
	if len(backup) > peer.MaxHops {
		backup = nil
	}
	return peer.Route{
		Node: r.Node, Path: path, Backup: backup, Delay: r.Delay, BackupDelay: r.BackupDelay, Bound: r.Bound,
		Protect: uint8(min(r.Protect, control.ProtectHot)), PriceMicroUSD: uint64(max(r.Price, 0) * 1e6),
		Since: uint64(max(r.Since.UnixMicro(), 0)), Reason: truncate(r.Reason), Note: truncate(r.Note),
	}
}
