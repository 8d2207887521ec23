package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trellis/wire"
)

// Track is one track of a broadcast as this node carries it: its newest groups,
// and the readers that wait for more. All methods are safe for concurrent use.
type Track struct {
	// Fixed at construction.
	table     *Table
	broadcast *Broadcast
	name      wire.TrackName
	pushed    bool // written whether or not anyone subscribes
	ctx       context.Context
	cancel    context.CancelCauseFunc

	newestSeq atomic.Uint64 // sequence + 1 of the newest group, 0 if none
	ages      ageHist

	mu         sync.Mutex
	info       wire.TrackInfo
	infoKnown  bool
	closed     error    // why it ended, nil while it is live
	groups     []*group // in order of arrival; evicted ones stay until they are first
	base       uint64   // arrival number of groups[0]
	live       int      // groups that are not evicted
	newest     *group   // highest sequence, whatever became of it
	floor      uint64   // sequences below were evicted
	bytes      int
	slab       slab
	subs       [numReaderKinds]int
	subList    map[*Subscription]struct{}
	idleSince  time.Time
	freshAsked time.Time  // when readers last asked for a key frame beyond what is cached
	sleepers   waiterList // subscriptions waiting for information, a group, or the end
	objects    uint64
	duplicates uint64
	bytesIn    uint64
	groupsIn   uint64
	dropped    [numDropReasons]uint64
}

func newTrack(b *Broadcast, name string, pushed bool) *Track {
	t := &Track{
		table:     b.table,
		broadcast: b,
		name:      wire.TrackName{Broadcast: b.name, Track: name},
		pushed:    pushed,
		subList:   map[*Subscription]struct{}{},
		idleSince: timeNow(),
	}
	t.ctx, t.cancel = context.WithCancelCause(b.ctx)
	return t
}

// Name returns the track's full name.
func (t *Track) Name() wire.TrackName { return t.name }

// Announcement returns the announcement of the broadcast the track belongs to.
func (t *Track) Announcement() Announcement { return t.broadcast.Announcement() }

// Context ends when the track has ended or when nobody wants it any more
// (cause ErrUnwanted). The upstream stops delivering then.
func (t *Track) Context() context.Context { return t.ctx }

// SetInfo tells readers what the track is like. It is called once, before the
// first group; later calls are ignored, since the information never changes.
func (t *Track) SetInfo(info wire.TrackInfo) error {
	if info.Timescale == 0 || !info.Kind.Valid() {
		return fmt.Errorf("track %s: timescale %d, %s: invalid information", t.name, info.Timescale, info.Kind)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.infoKnown {
		t.info, t.infoKnown = info, true
		t.sleepers.ringAll()
	}
	return nil
}

// Alloc returns n bytes for a payload that is about to be read from the network
// and written to this track.
func (t *Track) Alloc(n int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.slab.alloc(n)
}

// Group returns a writer for the group with that sequence number, which begins
// if it is new. ErrOld means that it has ended, was given up, or is so old that
// nobody can want it: the caller skips it. Readers see groups in the order in
// which they began here.
func (t *Track) Group(seq uint64) (*Group, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed != nil {
		return nil, fmt.Errorf("group %d of %s: %w", seq, t.name, t.closed)
	}
	for _, g := range slices.Backward(t.groups) {
		if g.seq == seq {
			if s, _ := g.state(); s != groupOpen {
				return nil, ErrOld
			}
			g.writers++
			g.orphaned = time.Time{}
			return &Group{g: g}, nil
		}
	}
	// A publisher that counts downwards must not fill the list with groups that
	// are evicted at once: MaxGroups below the newest is as far as it goes.
	if seq < t.floor || t.newest != nil && seq+uint64(t.table.cfg.MaxGroups) <= t.newest.seq {
		return nil, ErrOld
	}
	now := timeNow()
	g := &group{track: t, seq: seq, arrival: t.base + uint64(len(t.groups)), created: now, writers: 1}
	g.firstWriter = Group{g: g}
	if t.newest == nil || seq > t.newest.seq {
		if t.newest != nil {
			t.newest.superseded = now
		}
		t.newest = g
		t.newestSeq.Store(seq + 1)
	} else {
		g.superseded = now
	}
	t.groups = append(t.groups, g)
	t.live++
	t.groupsIn++
	t.table.metrics.groups.Inc()
	g.addBytesLocked(groupOverhead)
	t.evictOverLocked()
	t.sleepers.ringAll()
	return &g.firstWriter, nil
}

// Close ends the track. Readers get what is cached, then io.EOF if err is nil
// and err otherwise. Calls after the first do nothing.
func (t *Track) Close(err error) {
	if t.end(err) {
		t.broadcast.forget(t)
	}
}

func (t *Track) end(err error) bool {
	if err == nil {
		err = ErrEnded
	}
	t.mu.Lock()
	ended := t.endLocked(err)
	t.mu.Unlock()
	if ended {
		t.cancel(err)
	}
	return ended
}

func (t *Track) endLocked(err error) bool {
	if t.closed != nil {
		return false
	}
	t.closed = err
	for _, g := range t.groups {
		if s, _ := g.state(); s == groupOpen {
			t.abortLocked(g, DropTrackEnded)
		}
	}
	t.sleepers.ringAll()
	return true
}

// readErrLocked is what a reader gets after the last group.
func (t *Track) readErrLocked() error {
	if errors.Is(t.closed, ErrEnded) {
		return io.EOF
	}
	return t.closed
}

// HasGroup reports whether a reader that joins now can start at once.
func (t *Track) HasGroup() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.startLocked()
	return g != nil && g.published.Load() > 0
}

// RequestKeyframe asks the upstream for a key frame, but only if there is no
// cached group that a viewer could start from. It reports whether it asked.
func (t *Track) RequestKeyframe() bool {
	kr, ok := t.broadcast.upstream.(KeyframeRequester)
	if !ok || t.HasGroup() {
		return false
	}
	kr.RequestKeyframe(t)
	return true
}

// FreshEvery is how often all readers of a track together may ask for a key frame
// though they could start from a cached group: that many of them cost the
// publisher's other viewers little.
const FreshEvery = time.Second

// RequestFresh asks the upstream for a key frame for readers to whom the cached
// group is of no use: what has come of it is more than their path can take. It
// reports whether it asked; at most once in FreshEvery it does.
func (t *Track) RequestFresh() bool {
	up, ok := t.broadcast.upstream.(Refresher)
	if !ok {
		return false
	}
	now := timeNow()
	t.mu.Lock()
	due := now.Sub(t.freshAsked) >= FreshEvery
	if due {
		t.freshAsked = now
	}
	t.mu.Unlock()
	if due {
		up.Refresh(t)
	}
	return due
}

// ObserveAge records how old an object was when it left for a viewer. now is
// this node's clock. It allocates nothing.
func (t *Track) ObserveAge(h ObjectHeader, now time.Time) {
	if h.Ingress == 0 || h.IngressErr < 0 {
		t.ages.unsync.Add(1)
		return
	}
	t.ages.observe(time.Duration(now.UnixMicro()-h.Ingress) * time.Microsecond)
}

// Drop counts a group that a writer or reader gave up for a reason that the
// track itself cannot see, such as a spent stream budget.
func (t *Track) Drop(r DropReason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropLocked(r, 1)
}

// GiveUp ends all groups that are still open, though their writer may be at it: it
// finds out with its next object. Who joins from then on waits for a new group.
func (t *Track) GiveUp(r DropReason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.groups {
		t.abortLocked(g, r)
	}
}

func (t *Track) dropLocked(r DropReason, n uint64) {
	t.dropped[r] += n
	t.table.metrics.dropped[r].Add(float64(n))
}

// Viewers returns how many viewers this node's subscriptions to the track stand
// for: their own and what links report of the nodes behind them.
func (t *Track) Viewers() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for s := range t.subList {
		n += int(s.viewers.Load())
	}
	return n
}

// Written returns how many bytes of payload have been written since this node
// began to carry the track.
func (t *Track) Written() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytesIn
}

func (t *Track) abortLocked(g *group, r DropReason) {
	if s, _ := g.state(); s == groupOpen {
		g.setEndLocked(groupAborted, r)
		t.dropLocked(r, 1)
	}
}

// startLocked returns the group at which a new reader begins: the newest that
// was not given up.
func (t *Track) startLocked() *group {
	var best *group
	for _, g := range t.groups {
		s, _ := g.state()
		if (s == groupOpen || s == groupComplete) && (best == nil || g.seq > best.seq) {
			best = g
		}
	}
	return best
}
