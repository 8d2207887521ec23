package backbone

import (
	"log/slog"
	"slices"
	"time"

	"trellis/routing/control"
	"trellis/wire"
	"trellis/wire/peer"
)

// A plan flows down the tree. Each node keeps its own route and follows it, and
// sends on those of the nodes below. Where the route cannot be followed, the
// reason goes up with the demand.

// following is the route that the origin has given us, and how far we are with it.
type following struct {
	version  uint64 // 0: none yet
	route    peer.Route
	changes  changeRing
	followAt time.Time // when to look again
	obstacle wire.Code // what keeps us from it, CodeCancel nothing
	since    time.Time // since when
	told     wire.Code // as the origin knows it
}

const (
	followPeriod = 250 * time.Millisecond
	// obstaclePatience is how long an obstacle that may go by itself is not told:
	// a link that is being dialled, a child that is about to leave.
	obstaclePatience = time.Second
)

// planned reports whether the origin has a place for us.
func (p *following) planned() bool { return p.version > 0 && len(p.route.Path) > 0 }

// expected returns the delay that the plan promises by way of a parent.
func (p *following) expected(parent string) time.Duration {
	if parent == last(p.route.Backup) && parent != last(p.route.Path) {
		return p.route.BackupDelay
	}
	return p.route.Delay
}

func (p *following) protect() control.Protection { return control.Protection(p.route.Protect) }

// onPlan takes our own route out of a plan, and sends on the others.
func (m *Mesh) onPlan(l *link, p peer.Plan) {
	f := l.feed(p.ID)
	if f == nil {
		return
	}
	now := time.Now()
	others := map[*child][]peer.Route{}
	for _, r := range p.Routes {
		if r.Node == m.self.Node {
			m.adopt(f.up, p.Version, r, now)
		} else if c := m.childWith(f.track.Name(), r.Node); c != nil && c.link != l {
			others[c] = append(others[c], r)
		}
	}
	for c, routes := range others {
		c.sayPlan(p.Version, routes)
	}
}

// childWith returns the child by whose way a node takes a track.
func (m *Mesh) childWith(name wire.TrackName, node string) *child {
	var best *child
	for c := range m.children[name] {
		if e, ok := c.demand[node]; ok && (best == nil || e.order > best.demand[node].order) {
			best = c
		}
	}
	return best
}

// planPartBytes is how much of a plan goes into one message.
const planPartBytes = 32 << 10

// sayPlan tells routes to the child, in parts.
func (c *child) sayPlan(version uint64, routes []peer.Route) {
	for len(routes) > 0 {
		n, size := 0, 0
		for n < min(len(routes), peer.MaxRoutes) && (n == 0 || size+routes[n].Len() <= planPartBytes) {
			size += routes[n].Len()
			n++
		}
		c.link.say(peer.Plan{ID: c.id, Version: version, Routes: routes[:n]})
		routes = routes[n:]
	}
}

// adopt makes a route ours, if it is newer than the one we have.
func (m *Mesh) adopt(u *upstream, version uint64, r peer.Route, now time.Time) {
	if version <= u.plan.version {
		m.metrics.stalePlans.Inc()
		return
	}
	old := u.plan.route
	u.plan.version, u.plan.route = version, r
	u.told.due = true
	if !slices.Equal(old.Path, r.Path) || !slices.Equal(old.Backup, r.Backup) || old.Protect != r.Protect {
		u.plan.changes.add(Change{
			At: now, Version: version, Path: r.Path, Backup: r.Backup, Reason: r.Reason, Note: r.Note,
		})
		m.log.Debug("route planned", slog.String("track", u.track.Name().String()), slog.Any("path", r.Path),
			slog.Any("backup", r.Backup), slog.Uint64("version", version), slog.String("cause", r.Reason))
	}
	m.follow(u, now)
}

// follow brings an upstream closer to what its plan says.
func (m *Mesh) follow(u *upstream, now time.Time) {
	u.plan.followAt = now.Add(followPeriod)
	m.keepWants(u, now)
	if !u.plan.planned() {
		return
	}
	if o := m.followPath(u, now); o != u.plan.obstacle {
		u.plan.obstacle, u.plan.since = o, now
	}
	// The origin need not know of what goes by itself.
	told := u.plan.obstacle
	switch told {
	case wire.CodeBusy, wire.CodeGoingAway, wire.CodeCancel:
	default:
		if now.Sub(u.plan.since) < obstaclePatience {
			told = u.plan.told
		}
	}
	if told != u.plan.told {
		u.plan.told, u.told.due = told, true
	}
	m.followBackup(u, now)
}

// followPath moves to the planned parent, or says what is in the way.
func (m *Mesh) followPath(u *upstream, now time.Time) wire.Code {
	parent := last(u.plan.route.Path)
	switch {
	case u.feed == nil, u.next != nil, u.feed.okAt.IsZero(), u.feed.end != nil:
		return u.plan.obstacle // on the way somewhere; we shall see
	case u.feed.node() == parent:
		u.cost = u.plan.route.Delay
		return wire.CodeCancel
	}
	if o := m.obstacle(u, parent, now); o != wire.CodeCancel {
		return o
	}
	m.move(u, Candidate{Node: parent, Cost: u.plan.route.Delay, Path: u.plan.route.Path}, "planned", now)
	return wire.CodeCancel
}

// obstacle says why a node cannot become the parent of a track now, CodeCancel if
// it can.
func (m *Mesh) obstacle(u *upstream, node string, now time.Time) wire.Code {
	l := m.links[node]
	r, ok := u.refused[node]
	switch {
	case l == nil:
		return wire.CodeUnroutable
	case ok && now.Sub(r.at) < r.period():
		return r.code
	case l.leaving:
		return wire.CodeGoingAway
	case l.suspect, !m.peer(node).calm(now):
		return wire.CodeTimeout
	case slices.Contains(m.downstreamOf(u.track.Name()), node):
		return wire.CodeLoop
	default:
		return wire.CodeCancel
	}
}
