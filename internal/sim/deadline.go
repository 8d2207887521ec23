package sim

import (
	"sync"
	"time"
)

// deadline is a time that can be moved while others wait for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	over  chan struct{} // closed once the deadline has passed
}

func newDeadline() *deadline { return &deadline{over: make(chan struct{})} }

// passed returns a channel that is closed when the deadline passes. It serves
// until then, wherever the deadline is moved meanwhile.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

// set moves the deadline; the zero time means never.
func (d *deadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.over // its function runs or has run, and does not take the lock
	}
	d.timer = nil
	select {
	case <-d.over:
		d.over = make(chan struct{})
	default:
	}
	if at.IsZero() {
		return
	}
	over := d.over
	if wait := time.Until(at); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(over) })
	} else {
		close(over)
	}
}
