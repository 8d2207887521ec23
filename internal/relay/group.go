package relay

import (
	"fmt"
	"sync/atomic"
	"time"
)

// ObjectHeader is what travels with an object besides its bytes.
type ObjectHeader struct {
	// Time is the presentation time in units of the track's timescale.
	Time int64
	// Ingress is when the object's first byte entered the backbone at its
	// origin, in microseconds since 1970 on this node's clock; zero if unknown.
	Ingress int64
	// IngressErr bounds the error of Ingress in microseconds, the sum of what
	// each hop's clock offset may be wrong by. Negative: not synchronised.
	IngressErr int64
}

// Chunk is a piece of an object as it arrived. An object that was written whole
// is one chunk that is both First and Last.
type Chunk struct {
	ObjectHeader
	Object uint64 // index in the group, from zero
	Offset int    // bytes of the object before this chunk
	Size   int    // bytes of the whole object, -1 while that is not known
	First  bool
	Last   bool
	// Payload belongs to the track and must not be changed. It stays valid as
	// long as it is referred to.
	Payload []byte
}

// Memory that a cached chunk and a cached group cost beyond payload bytes, so
// that limits in bytes also bound tiny objects.
const (
	chunkOverhead = 96
	groupOverhead = 512
)

// Segments of the log grow from 4 to 64 chunks: audio groups stay small, video
// groups allocate rarely.
const (
	minSegment = 4
	maxSegment = 64
)

type segment struct {
	chunks []Chunk // full length from the start; entries are written once
	next   atomic.Pointer[segment]
}

type groupState uint32

const (
	groupOpen groupState = iota
	groupComplete
	groupAborted // readers still get what was published
	groupEvicted // readers get nothing more
)

// group is the log of one group. Readers hold it without a lock.
type group struct {
	track   *Track
	seq     uint64
	arrival uint64 // position in the track's order of arrival
	created time.Time

	published atomic.Uint64 // chunks that readers may look at
	end       atomic.Uint32 // groupState | DropReason<<8

	// Guarded by track.mu.
	head, tail  *segment
	tailUsed    int
	next        uint64 // index of the object being written, or to be written
	begun       bool   // some of object next is published
	have        int    // bytes of object next that are published
	bytes       int
	writers     int
	orphaned    time.Time // when the last writer left without an end
	superseded  time.Time // when a newer group began; zero for the newest
	whole       uint64    // chunks up to the end of the last object that is whole
	sleepers    waiterList
	patient     waiterList // those who wait for a whole object
	firstWriter Group      // the usual only writer, without an allocation of its own
}

func (g *group) state() (groupState, DropReason) {
	v := g.end.Load()
	return groupState(v & 0xff), DropReason(v >> 8)
}

func (g *group) setEndLocked(s groupState, r DropReason) {
	g.end.Store(uint32(s) | uint32(r)<<8)
	g.sleepers.ringAll()
	g.patient.ringAll()
}

func (g *group) publishLocked(c Chunk) {
	if g.tail == nil || g.tailUsed == len(g.tail.chunks) {
		size := minSegment
		if g.tail != nil {
			size = min(2*len(g.tail.chunks), maxSegment)
		}
		s := &segment{chunks: make([]Chunk, size)}
		if g.tail == nil {
			g.head = s
		} else {
			g.tail.next.Store(s)
		}
		g.tail, g.tailUsed = s, 0
	}
	g.tail.chunks[g.tailUsed] = c
	g.tailUsed++
	g.published.Add(1)
	g.addBytesLocked(len(c.Payload) + chunkOverhead)
	g.sleepers.ringAll()
	if c.Last {
		g.whole = g.published.Load()
		g.patient.ringAll()
	}
}

func (g *group) addBytesLocked(n int) {
	g.bytes += n
	g.track.bytes += n
	g.track.table.bytes.Add(int64(n))
}

// Group is one writer's hold on a group. Methods are called from one goroutine
// at a time; several Groups of one track, even of the same group while a
// subscription moves from one parent to another, may be used concurrently:
// what arrives twice is kept once, by object index and byte offset.
//
// A writer ends its hold with exactly one of Close, Abort or Detach.
type Group struct {
	g      *group
	object uint64
	offset int
	size   int
	header ObjectHeader
	inside bool
	done   bool
}

// Seq returns the group's sequence number.
func (w *Group) Seq() uint64 { return w.g.seq }

// Next returns the index of the next object that the group needs, and how many
// bytes of it are already there.
func (w *Group) Next() (object uint64, offset int) {
	w.g.track.mu.Lock()
	defer w.g.track.mu.Unlock()
	return w.g.next, w.g.have
}

// Write appends a whole object. Indexes run from zero without a hole; an index
// that is already there is ignored. The payload must not change afterwards.
func (w *Group) Write(index uint64, h ObjectHeader, payload []byte) error {
	if err := w.Begin(index, h, len(payload)); err != nil {
		return err
	}
	return w.AppendLast(payload)
}

// Begin starts an object that is still arriving. size is its length in bytes,
// or -1 if that is not known yet. Readers see it from its first Append on.
func (w *Group) Begin(index uint64, h ObjectHeader, size int) error {
	t := w.g.track
	if size > t.table.cfg.MaxObjectBytes {
		return fmt.Errorf("object %d of group %d has %d bytes, at most %d: %w",
			index, w.g.seq, size, t.table.cfg.MaxObjectBytes, ErrTooLarge)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, _ := w.g.state(); s != groupOpen {
		return ErrOld
	}
	if index > w.g.next {
		return fmt.Errorf("object %d of group %d, expected %d: %w", index, w.g.seq, w.g.next, ErrGap)
	}
	w.object, w.offset, w.size, w.header, w.inside = index, 0, size, h, true
	return nil
}

// Append adds the next piece of the object begun. The piece must not change
// afterwards. If the size given to Begin is reached, the object is complete.
func (w *Group) Append(piece []byte) error { return w.append(piece, false) }

// AppendLast adds the last piece, which may be empty, and completes the object.
func (w *Group) AppendLast(piece []byte) error { return w.append(piece, true) }

// End completes the object begun.
func (w *Group) End() error {
	if !w.inside {
		return nil // its announced size was reached
	}
	return w.append(nil, true)
}

func (w *Group) append(piece []byte, last bool) error {
	if !w.inside {
		panic("relay: Append without Begin")
	}
	g := w.g
	t := g.track
	end := w.offset + len(piece)
	switch {
	case w.size >= 0 && (end > w.size || last && end != w.size):
		return fmt.Errorf("object %d of group %d: %d bytes where %d were announced: %w",
			w.object, g.seq, end, w.size, ErrTooLarge)
	case end > t.table.cfg.MaxObjectBytes:
		return fmt.Errorf("object %d of group %d: more than %d bytes: %w",
			w.object, g.seq, t.table.cfg.MaxObjectBytes, ErrTooLarge)
	}
	last = last || end == w.size
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, _ := g.state(); s != groupOpen {
		w.inside = false
		return ErrOld
	}
	w.inside = !last
	start := w.offset
	w.offset = end
	if w.object < g.next {
		if last {
			t.duplicates++
			t.table.metrics.duplicates.Inc()
		}
		return nil
	}
	// Another writer may have brought the first g.have bytes already.
	if known := g.have - start; known > 0 {
		piece = piece[min(known, len(piece)):]
	}
	if len(piece) == 0 && !last {
		return nil
	}
	if g.bytes+len(piece) > t.table.cfg.MaxGroupBytes {
		t.abortLocked(g, DropGroupTooLarge)
		return fmt.Errorf("group %d: more than %d bytes: %w", g.seq, t.table.cfg.MaxGroupBytes, ErrTooLarge)
	}
	c := Chunk{
		ObjectHeader: w.header, Object: g.next, Offset: g.have, Size: w.size,
		First: !g.begun, Last: last, Payload: piece,
	}
	g.begun = true
	g.have += len(piece)
	if last {
		if c.First {
			c.Size = len(piece)
		}
		g.next, g.begun, g.have = g.next+1, false, 0
		t.objects++
		t.table.metrics.objects.Inc()
	}
	t.bytesIn += uint64(len(piece))
	t.table.metrics.bytes.Add(float64(len(piece)))
	g.publishLocked(c)
	t.evictOverLocked()
	return nil
}

// Close says that the group has all its objects. A group with half an object is
// given up instead.
func (w *Group) Close() {
	t := w.g.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if !w.leaveLocked() {
		return
	}
	if s, _ := w.g.state(); s != groupOpen {
		return
	}
	if w.g.begun {
		t.abortLocked(w.g, DropMalformed)
		return
	}
	w.g.setEndLocked(groupComplete, DropNone)
}

// Abort gives the group up for a reason, unless another writer is still at it.
func (w *Group) Abort(reason DropReason) {
	t := w.g.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.leaveLocked() && w.g.writers == 0 {
		t.abortLocked(w.g, reason)
	}
}

// Detach leaves the group open for another writer to go on with. If none comes
// within Config.Orphan, Sweep gives it up as DropUpstreamLost.
func (w *Group) Detach() {
	t := w.g.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.leaveLocked() && w.g.writers == 0 {
		w.g.orphaned = timeNow()
	}
}

func (w *Group) leaveLocked() bool {
	if w.done {
		return false
	}
	w.done, w.inside = true, false
	w.g.writers--
	return true
}
