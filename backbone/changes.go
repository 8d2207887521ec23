package backbone

import "time"

// Change is one change of a node's route, for who asks why.
type Change struct {
	At      time.Time `json:"at"`
	Version uint64    `json:"version"` // of the plan, 0 if none had a part in it
	Path    []string  `json:"path"`    // from the origin to the parent
	Backup  []string  `json:"backup,omitempty"`
	Reason  string    `json:"reason"`
	Note    string    `json:"note,omitempty"`
}

// maxChanges is how many changes of a route are remembered.
const maxChanges = 10

// changeRing keeps the last changes.
type changeRing struct {
	ring [maxChanges]Change
	n    int
}

func (r *changeRing) add(c Change) {
	r.ring[r.n%maxChanges] = c
	r.n++
}

// all returns the changes, the newest first.
func (r *changeRing) all() []Change {
	all := make([]Change, 0, min(r.n, maxChanges))
	for i := range min(r.n, maxChanges) {
		all = append(all, r.ring[(r.n-1-i)%maxChanges])
	}
	return all
}
