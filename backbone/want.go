package backbone

import (
	"maps"
	"time"
)

// Words for what a route wants a link.
const (
	wantParent      = "planned_parent"
	wantBackup      = "planned_backup"
	wantAlternative = "alternative"
	wantShortcut    = "shortcut"
)

// alternativePeriod is how long the nodes that a full parent has named are wanted
// as neighbours.
const alternativePeriod = 10 * time.Second

// neighbourhood is what an upstream wants of the link set.
type neighbourhood struct {
	held         map[string]string // node to why
	alternatives []string
	until        time.Time // when they are wanted no more
}

// keepWants asks for links to where the plan has the parent and the backup, and
// takes back what is wanted no more.
func (m *Mesh) keepWants(u *upstream, now time.Time) {
	want := map[string]string{}
	if now.Before(u.near.until) {
		for _, node := range u.near.alternatives {
			want[node] = wantAlternative
		}
	}
	if u.plan.planned() {
		if m.wantsSpare(u) {
			want[last(u.plan.route.Backup)] = wantBackup
		}
		if m.shortcut(u, now) {
			want[u.origin] = wantShortcut
		}
		want[last(u.plan.route.Path)] = wantParent
	}
	m.setWants(u, want)
}

// shortcutGain and shortcutGainPercent are by how much a link to the origin itself
// must promise to be shorter than a planned path that is well in time: less moves
// nobody (routing/control, Config.GainDelay), and the origin of a thousand nodes has
// no room for the links of all.
const (
	shortcutGain        = 10 * time.Millisecond
	shortcutGainPercent = 15
)

// shortcut reports whether a link to the origin itself would be worth having: it
// is measured to be shorter than what is planned, or nobody has measured it and
// it may be. Plans know measured links only, so somebody must try. A backup that is
// late is looked at in the same way: whoever has to live on it is to be in time, too.
func (m *Mesh) shortcut(u *upstream, now time.Time) bool {
	r := &u.plan.route
	if len(r.Path) < 2 {
		return false // we have it
	}
	direct, known := m.know.reckon(u.origin)
	if p := m.peers[u.origin]; known < measuredHere && p != nil && p.avoided(now) {
		return false // it has been tried
	}
	return shorter(direct, known, r.Delay, r.Bound) ||
		len(r.Backup) > 1 && late(r.BackupDelay, r.Bound) && shorter(direct, known, r.BackupDelay, r.Bound)
}

// shorter compares the direct way with a planned one. Where that needs 85 % of its
// bound, the least gain counts, a guess that is half as long again as the link
// turns out to be is worth trying, and so is a link of which nothing is known: in a
// young mesh coordinates have no idea for a while. For all that the planner knows
// no way is in time there, so it has raised the bound to 1.1 times the least delay that
// it finds (at the 95th percentile: hence not 90 %): the direct link may be the one that is.
func shorter(direct time.Duration, known knowing, planned, bound time.Duration) bool {
	gain := max(shortcutGain, planned*shortcutGainPercent/100)
	if planned*20 > bound*17 {
		switch gain = relayDelay; known {
		case nothing:
			return true
		case guessed:
			direct = direct * 2 / 3
		case measuredHere:
		}
	}
	return known != nothing && direct+gain < planned
}

// late reports whether a delay is beyond its bound, as far as half of the frames
// tell: the bound is for 95 of 100, which take a little longer.
func late(planned, bound time.Duration) bool { return bound > 0 && planned*100 > bound*99 }

func (m *Mesh) setWants(u *upstream, want map[string]string) {
	if maps.Equal(want, u.near.held) {
		return
	}
	for node, why := range want {
		if node != m.self.Node && u.near.held[node] != why {
			m.want(node, why)
		}
	}
	for node, why := range u.near.held {
		if node != m.self.Node && want[node] != why {
			m.unwant(node, why)
		}
	}
	u.near.held = want
}
