// Package telemetry remembers what happened on a node that somebody may ask about:
// why there was a gap, why a route changed. It keeps the last events, and no more.
package telemetry

import (
	"sync"
	"time"
)

// Kind is what happened.
type Kind string

// The kinds of events.
const (
	LinkSuspect    Kind = "link_suspect"    // a peer is silent for too long, but not yet down
	LinkWell       Kind = "link_well"       // it was only slow
	LinkDown       Kind = "link_down"       // a link has ended
	ParentTaken    Kind = "parent_taken"    // a track has a parent again, or its first
	ParentMoving   Kind = "parent_moving"   // a track moves to another parent, which delivers before the old is left
	ParentLost     Kind = "parent_lost"     // the parent does not deliver any more
	BackupResumed  Kind = "backup_resumed"  // the backup delivers, because the parent is suspect
	BackupPromoted Kind = "backup_promoted" // the backup is the parent now
	GroupDropped   Kind = "group_dropped"   // a group was not sent to a child, or not to its end
	GroupSkipped   Kind = "group_skipped"   // viewers of this node did not get a group, or not to its end
	LayerChosen    Kind = "layer_chosen"    // a viewer is sent another layer of a picture, or none
	FECChosen      Kind = "fec_chosen"      // a viewer's pictures are protected from loss, or more or less than before
)

// Event is one thing that happened. Reason is a word of the enumeration that
// belongs to the kind: a cause of moves, a reason of drops.
type Event struct {
	Seq    uint64    `json:"seq"`
	At     time.Time `json:"at"`
	Kind   Kind      `json:"kind"`
	Reason string    `json:"reason"`
	Track  string    `json:"track,omitempty"`
	Peer   string    `json:"peer,omitempty"`
	// Viewer is the beginning of a session's id, as in the log.
	Viewer string `json:"viewer,omitempty"`
	// Group, DelayMs and Count are the numbers behind it, where there are any.
	Group   uint64  `json:"group,omitempty"`
	DelayMs float64 `json:"delay_ms,omitempty"`
	Count   int     `json:"count,omitempty"`
	// Detail is a word more: what an estimate was decided by.
	Detail string `json:"detail,omitempty"`
	// Numbers are those of a decision, by name with their unit. Nobody changes them.
	Numbers map[string]float64 `json:"numbers,omitempty"`
}

// Events keeps the last events. Its methods are safe for concurrent use, and a
// nil *Events forgets everything. Its mutex is a leaf.
type Events struct {
	mu   sync.Mutex
	ring []Event
	n    uint64 // in all
}

// DefaultEvents is how many a node keeps: an hour of one every few seconds.
const DefaultEvents = 1024

// NewEvents returns a place for the last n events.
func NewEvents(n int) *Events { return &Events{ring: make([]Event, 0, n)} }

// Add remembers an event, and gives it its number.
func (e *Events) Add(ev Event) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	ev.Seq = e.n
	if len(e.ring) < cap(e.ring) {
		e.ring = append(e.ring, ev)
	} else if cap(e.ring) > 0 {
		e.ring[e.n%uint64(cap(e.ring))] = ev
	}
	e.n++
}

// Since returns the events from number seq on that are remembered, the oldest
// first, and the number of the next to come.
func (e *Events) Since(seq uint64) (events []Event, next uint64) {
	if e == nil {
		return nil, 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	first := max(e.n-uint64(len(e.ring)), seq)
	for i := first; i < e.n; i++ {
		events = append(events, e.ring[i%uint64(cap(e.ring))])
	}
	return events, e.n
}
