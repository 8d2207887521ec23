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
		want[last(u.plan.route.Path)] = wantParent
	}
	m.setWants(u, want)
}

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
