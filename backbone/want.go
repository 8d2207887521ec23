package backbone

import "time"

// wantReason says for what a node is wanted as a neighbour.
type wantReason string

// Reasons to want a link.
const (
	wantParent      wantReason = "planned_parent"
	wantBackup      wantReason = "planned_backup"
	wantAlternative wantReason = "alternative"
)

// wanted is a node to which a route needs a link.
type wanted struct {
	at  time.Time
	why wantReason
}

const (
	// wantPeriod is how long a wish lasts that is not repeated.
	wantPeriod = 30 * time.Second
	maxWanted  = 64
)

// want asks for a link to a node. Whoever keeps the links looks at m.wishes; a
// wish that is not repeated is forgotten.
func (m *Mesh) want(node string, why wantReason) {
	if m.links[node] != nil || node == m.self.Node {
		return
	}
	if _, ok := m.wishes[node]; !ok && len(m.wishes) >= maxWanted {
		return
	}
	m.wishes[node] = wanted{at: time.Now(), why: why}
}

// forgetWishes drops what nobody has wanted for a while.
func (m *Mesh) forgetWishes(now time.Time) {
	for node, w := range m.wishes {
		if now.Sub(w.at) > wantPeriod || m.links[node] != nil {
			delete(m.wishes, node)
		}
	}
}
