package relay

import (
	"context"
	"io"
	"sync/atomic"

	"trellis/wire"
)

// ReaderKind says on whose behalf a subscription reads, for the counters.
type ReaderKind uint8

// Kinds of reader.
const (
	ReaderLocal  ReaderKind = iota // the node itself: catalogs, statistics
	ReaderLink                     // a child node
	ReaderMoQ                      // one MoQ viewer
	ReaderWebRTC                   // the egress lane of all WebRTC viewers of the node
	numReaderKinds
)

// String returns the word used in the API.
func (k ReaderKind) String() string {
	switch k {
	case ReaderLocal:
		return "local"
	case ReaderLink:
		return "link"
	case ReaderMoQ:
		return "moq"
	case ReaderWebRTC:
		return "webrtc"
	case numReaderKinds:
	}
	return "unknown"
}

// Start says where a subscription begins. The zero value means the first object
// of the newest group.
type Start struct {
	// Resume asks for groups from Group on, and that one from Object on. What is
	// no longer cached is skipped.
	Resume bool
	Group  uint64
	Object uint64
}

// SubscribeOptions describe a reader.
type SubscribeOptions struct {
	Kind  ReaderKind
	Start Start
	// Viewers is how many viewers the subscription stands for, see SetViewers.
	Viewers int
}

// Subscription reads one track. NextGroup, TryNextGroup and Ready are called
// from one goroutine at a time; the GroupReaders that it hands out may be used
// by one goroutine each. Close it when done, after its readers.
type Subscription struct {
	track   *Track
	kind    ReaderKind
	viewers atomic.Int64

	// Guarded by track.mu.
	next        uint64 // arrival number of the group to hand out next
	minSeq      uint64
	startObject uint64 // within group minSeq
	bell        waiter
	free        *GroupReader
	closed      bool
}

// attach adds a reader to the track; false if the track has ended meanwhile.
func (t *Track) attach(opt SubscribeOptions) (*Subscription, bool) {
	s := &Subscription{track: t, kind: opt.Kind, bell: newWaiter()}
	s.viewers.Store(int64(opt.Viewers))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed != nil {
		return nil, false
	}
	s.next = t.base + uint64(len(t.groups))
	switch {
	case opt.Start.Resume:
		s.next, s.minSeq, s.startObject = t.base, opt.Start.Group, opt.Start.Object
	default:
		if g := t.startLocked(); g != nil {
			s.next, s.minSeq = g.arrival, g.seq
		}
	}
	t.subs[s.kind]++
	t.subList[s] = struct{}{}
	return s, true
}

// Track returns the track that is read.
func (s *Subscription) Track() *Track { return s.track }

// SetViewers says how many viewers the subscription stands for: one for a MoQ
// viewer, all of a node's for an egress lane, what a child reports for a link.
func (s *Subscription) SetViewers(n int) { s.viewers.Store(int64(n)) }

// Close ends the subscription.
func (s *Subscription) Close() {
	t := s.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.bell.leave()
	t.subs[s.kind]--
	delete(t.subList, s)
	if len(t.subList) == 0 {
		t.idleSince = timeNow()
	}
}

// Info waits until it is known what the track is like, and returns it, or the
// reason why the track ended before that.
func (s *Subscription) Info(ctx context.Context) (wire.TrackInfo, error) {
	t := s.track
	for {
		t.mu.Lock()
		info, known, closed := t.info, t.infoKnown, t.closed
		if !known && closed == nil {
			t.sleepers.add(&s.bell)
		}
		t.mu.Unlock()
		switch {
		case known:
			return info, nil
		case closed != nil:
			return wire.TrackInfo{}, closed
		}
		select {
		case <-s.bell.ch:
		case <-ctx.Done():
			return wire.TrackInfo{}, context.Cause(ctx)
		}
	}
}

// NextGroup waits for the next group in order of arrival and returns a reader
// for it. Groups that left the cache before their turn are skipped and counted.
// The error is io.EOF when the publisher ended the track, otherwise the reason
// why it ended, or the cause of ctx.
func (s *Subscription) NextGroup(ctx context.Context) (*GroupReader, error) {
	for {
		r, err := s.tryNextGroup(true)
		if r != nil || err != nil {
			return r, err
		}
		select {
		case <-s.bell.ch:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// TryNextGroup is NextGroup without waiting: nil, nil means that there is none
// yet, and Ready tells when to look again.
func (s *Subscription) TryNextGroup() (*GroupReader, error) { return s.tryNextGroup(false) }

// Ready returns a channel that yields once there may be a new group or the end.
// Call TryNextGroup again before each wait.
func (s *Subscription) Ready() <-chan struct{} {
	t := s.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.next < t.base+uint64(len(t.groups)) || t.closed != nil {
		s.bell.ring()
	} else {
		t.sleepers.add(&s.bell)
	}
	return s.bell.ch
}

func (s *Subscription) tryNextGroup(arm bool) (*GroupReader, error) {
	t := s.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.closed {
		return nil, io.ErrClosedPipe
	}
	if s.next < t.base {
		t.dropLocked(DropTooLate, t.base-s.next)
		s.next = t.base
	}
	for s.next < t.base+uint64(len(t.groups)) {
		g := t.groups[s.next-t.base]
		s.next++
		if g.seq < s.minSeq {
			continue
		}
		switch state, _ := g.state(); state {
		case groupOpen, groupComplete:
			return s.readerLocked(g), nil
		case groupEvicted:
			t.dropLocked(DropTooLate, 1)
		case groupAborted: // counted when it was given up
		}
	}
	if t.closed != nil {
		return nil, t.readErrLocked()
	}
	if arm {
		t.sleepers.add(&s.bell)
	}
	return nil, nil
}

func (s *Subscription) readerLocked(g *group) *GroupReader {
	r := s.free
	if r == nil {
		r = &GroupReader{sub: s, bell: newWaiter()}
	} else {
		s.free = r.nextFree
	}
	r.group, r.segment, r.inSegment, r.read, r.nextFree = g, g.head, 0, 0, nil
	r.fromObject = 0
	if g.seq == s.minSeq {
		r.fromObject = s.startObject
	}
	return r
}
