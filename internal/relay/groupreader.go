package relay

import (
	"context"
	"io"
)

// GroupReader reads the chunks of one group in order. It is used by one
// goroutine at a time, and given back with Close.
type GroupReader struct {
	sub        *Subscription
	group      *group
	segment    *segment
	inSegment  int    // next entry in segment
	read       uint64 // chunks taken
	fromObject uint64 // objects before it are skipped
	bell       waiter
	nextFree   *GroupReader // guarded by track.mu
}

// Seq returns the group's sequence number.
func (r *GroupReader) Seq() uint64 { return r.group.seq }

// Newer reports whether a group with a higher sequence has begun.
func (r *GroupReader) Newer() bool {
	return r.group.track.newestSeq.Load() > r.group.seq+1
}

// Lead returns how many sequence numbers the newest group is ahead.
func (r *GroupReader) Lead() uint64 {
	return r.group.track.newestSeq.Load() - (r.group.seq + 1)
}

// Next waits for the next chunk. The error is io.EOF at the end of a complete
// group, a *ResetError if it was given up, or the cause of ctx.
func (r *GroupReader) Next(ctx context.Context) (Chunk, error) {
	for {
		c, ok, err := r.TryNext()
		if ok || err != nil {
			return c, err
		}
		select {
		case <-r.Ready():
		case <-ctx.Done():
			return Chunk{}, context.Cause(ctx)
		}
	}
}

// TryNext is Next without waiting: false without an error means that nothing
// is there yet, and Ready tells when to look again.
func (r *GroupReader) TryNext() (Chunk, bool, error) {
	for {
		// The state is read before the count: chunks published before the end
		// are then always seen before it.
		state, reason := r.group.state()
		if state == groupEvicted {
			r.group.track.Drop(reason)
			return Chunk{}, false, &ResetError{Seq: r.group.seq, Reason: reason}
		}
		if r.read == r.group.published.Load() {
			switch state {
			case groupOpen:
				return Chunk{}, false, nil
			case groupComplete:
				return Chunk{}, false, io.EOF
			case groupAborted, groupEvicted:
			}
			return Chunk{}, false, &ResetError{Seq: r.group.seq, Reason: reason}
		}
		if !r.step() {
			continue // evicted meanwhile
		}
		c := &r.segment.chunks[r.inSegment-1]
		if c.Object >= r.fromObject {
			return *c, true, nil
		}
	}
}

// step moves to the next published chunk.
func (r *GroupReader) step() bool {
	if r.segment == nil {
		// The group was still empty when the reader was made.
		t := r.group.track
		t.mu.Lock()
		r.segment = r.group.head
		t.mu.Unlock()
		if r.segment == nil {
			return false
		}
	}
	if r.inSegment == len(r.segment.chunks) {
		r.segment, r.inSegment = r.segment.next.Load(), 0
	}
	r.inSegment++
	r.read++
	return true
}

// Ready returns a channel that yields once there may be more to read. Call
// TryNext again before each wait.
func (r *GroupReader) Ready() <-chan struct{} {
	t := r.group.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if state, _ := r.group.state(); state != groupOpen || r.read != r.group.published.Load() {
		r.bell.ring()
	} else {
		r.group.sleepers.add(&r.bell)
	}
	return r.bell.ch
}

// ReadyWhole is Ready for those who can do nothing with a part of an object: its
// channel yields once the rest of an object is there, or the group has ended. They are
// not woken for each piece that comes.
func (r *GroupReader) ReadyWhole() <-chan struct{} {
	t := r.group.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if state, _ := r.group.state(); state != groupOpen || r.read < r.group.whole {
		r.bell.ring()
	} else {
		r.group.patient.add(&r.bell)
	}
	return r.bell.ch
}

// Close gives the reader back to its subscription. It must not be used after.
func (r *GroupReader) Close() {
	if r.group == nil {
		panic("relay: GroupReader closed twice")
	}
	t := r.group.track
	t.mu.Lock()
	defer t.mu.Unlock()
	r.bell.leave()
	r.group, r.segment = nil, nil
	r.nextFree, r.sub.free = r.sub.free, r
}
