package moq

import (
	"context"
	"sync"
	"time"
)

// reorderWait is how long a group waits for those before it. Streams that arrive
// in one burst are accepted in any order, and players take a group that comes
// out of order for one that is too slow. What is really missing costs its
// successor this much, once.
const reorderWait = 5 * time.Millisecond

// arrivals knows which groups of a track have come in: to begin them in their
// order, and to know at the end of the track whether all are there.
type arrivals struct {
	news chan struct{} // one token whenever a group has ended

	mu      sync.Mutex // guards what follows
	active  int        // groups that are coming in
	count   uint64     // groups that came in or were said not to come
	first   uint64     // from START
	total   uint64     // from END: the first sequence that will never exist; 0 unknown
	started bool
	next    uint64        // the sequence whose turn it is
	moved   chan struct{} // closed when next moves; nil while nobody waits
}

// begin is told of a group that begins to come in.
func (a *arrivals) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active++
	a.count++
}

// done is told that a group has come in, or failed to.
func (a *arrivals) done() {
	a.mu.Lock()
	a.active--
	a.mu.Unlock()
	select {
	case a.news <- struct{}{}:
	default: // it will look anyway
	}
}

// awaitTurn returns when the groups before seq have begun, or have had the time.
func (a *arrivals) awaitTurn(ctx context.Context, seq uint64) {
	moved := a.ahead(seq)
	if moved == nil {
		return
	}
	timer := time.NewTimer(reorderWait)
	defer timer.Stop()
	for moved != nil {
		select {
		case <-moved:
			moved = a.ahead(seq)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// ahead returns nil if it is the turn of seq, else a channel that is closed when
// somebody else's has come.
func (a *arrivals) ahead(seq uint64) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.started {
		a.started, a.next = true, seq
	}
	if seq <= a.next {
		return nil
	}
	if a.moved == nil {
		a.moved = make(chan struct{})
	}
	return a.moved
}

// passed is told that group seq has begun.
func (a *arrivals) passed(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if seq < a.next {
		return
	}
	a.next = seq + 1
	if a.moved != nil {
		close(a.moved)
		a.moved = nil
	}
}

func (a *arrivals) expect(first uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first = first
}

func (a *arrivals) skip(n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count += n
}

func (a *arrivals) end(total uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total = total
}

// complete is a guess on the safe side where a publisher leaves sequences out.
func (a *arrivals) complete() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total > 0 && a.first+a.count >= a.total && a.active == 0
}
