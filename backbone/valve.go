package backbone

import (
	"context"
	"errors"
	"sync"

	"trellis/internal/relay"
)

// errPaused ends the delivery to a child that has put itself on standby.
var errPaused = errors.New("on standby")

// valve says whether a child's subscription delivers. The loop turns it, the
// child's goroutine looks.
type valve struct {
	bell chan struct{} // rings when it was turned

	mu     sync.Mutex
	paused bool
	turned bool                    // it was opened after it had been shut
	start  relay.Start             // where to begin then
	stop   context.CancelCauseFunc // ends what flows
}

func newValve(paused bool) *valve { return &valve{bell: make(chan struct{}, 1), paused: paused} }

// open lets the track flow from start on. One that flows goes on as it is.
func (v *valve) open(start relay.Start) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.paused {
		return
	}
	v.paused, v.turned, v.start = false, true, start
	v.ring()
}

// shut ends what flows.
func (v *valve) shut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.paused {
		return
	}
	v.paused = true
	if v.stop != nil {
		v.stop(errPaused)
		v.stop = nil
	}
	v.ring()
}

func (v *valve) ring() {
	select {
	case v.bell <- struct{}{}:
	default: // already rung
	}
}

// look returns how the valve stands.
func (v *valve) look() (start relay.Start, turned, paused bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.start, v.turned, v.paused
}

func (v *valve) isPaused() bool {
	_, _, paused := v.look()
	return paused
}

// flow gives the valve what ends the flow. False: it was shut meanwhile.
func (v *valve) flow(stop context.CancelCauseFunc) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.paused {
		return false
	}
	v.stop = stop
	return true
}
