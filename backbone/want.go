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

// wish asks for a link to a node for as long as it is repeated, or carries
// something. It must be called on the loop.
func (m *Mesh) wish(node string, why wantReason) {
	if node == m.self.Node {
		return
	}
	old, ok := m.wishes[node]
	switch {
	case ok && old.why == why:
	case ok:
		m.unwant(node, string(old.why))
		m.want(node, string(why))
	case len(m.wishes) >= maxWanted:
		return
	default:
		m.want(node, string(why))
	}
	m.wishes[node] = wanted{at: time.Now(), why: why}
}

// forgetWishes takes back what nobody has wanted for a while, and nothing uses.
func (m *Mesh) forgetWishes(now time.Time) {
	for node, w := range m.wishes {
		if l := m.links[node]; now.Sub(w.at) > wantPeriod && (l == nil || !l.feeding()) {
			m.unwant(node, string(w.why))
			delete(m.wishes, node)
		}
	}
}

// feeding reports whether a track comes, or could come, over the link.
func (l *link) feeding() bool {
	l.feedsMu.Lock()
	defer l.feedsMu.Unlock()
	return len(l.feeds) > 0
}
