package moqclient

import (
	"fmt"
	"sync"
	"time"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// TrackWriter writes one track. Its newest group is kept, so that a subscription
// that comes in the middle of it gets it from the start. Writing never waits for
// the network: a subscriber that cannot keep up loses groups. NewGroup,
// GroupAt and WriteDatagram are for one goroutine at a time.
type TrackWriter struct {
	broadcast *Broadcast
	name      string
	info      moqlite.TrackInfo

	mu          sync.Mutex // guards what follows
	next        uint64
	newest      *groupLog
	subscribers map[*sender]struct{}
	changed     chan struct{} // closed when subscribers change
	ended       bool
}

func newTrackWriter(b *Broadcast, name string, info moqlite.TrackInfo) *TrackWriter {
	return &TrackWriter{
		broadcast: b, name: name, info: info,
		subscribers: map[*sender]struct{}{}, changed: make(chan struct{}),
	}
}

// Name returns the track's name within its broadcast.
func (t *TrackWriter) Name() string { return t.name }

// Subscribers returns how many subscriptions there are, and a channel that is
// closed when that changes. A publisher may save its work while there are none.
func (t *TrackWriter) Subscribers() (int, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.subscribers), t.changed
}

// NewGroup begins the next group: for video at a key frame. The group before it
// is closed.
func (t *TrackWriter) NewGroup() (*GroupWriter, error) {
	t.mu.Lock()
	sequence := t.next
	t.mu.Unlock()
	return t.GroupAt(sequence)
}

// GroupAt is NewGroup with a sequence number, above those before.
func (t *TrackWriter) GroupAt(sequence uint64) (*GroupWriter, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ended:
		return nil, fmt.Errorf("group %d of %s: %w", sequence, t.name, ErrEnded)
	case sequence < t.next:
		return nil, fmt.Errorf("group %d of %s: the next is %d", sequence, t.name, t.next)
	}
	if t.newest != nil {
		t.newest.end(endComplete)
	}
	t.next = sequence + 1
	t.newest = newGroupLog(sequence)
	for s := range t.subscribers {
		s.push(t.newest)
	}
	return &GroupWriter{t.newest}, nil
}

// WriteDatagram sends a group of one object that need not arrive and is not kept
// (05). Header and payload together take at most moqlite.MaxDatagram bytes.
func (t *TrackWriter) WriteDatagram(at uint64, payload []byte) error {
	session := t.broadcast.session
	if !session.version.HasDatagrams() {
		return fmt.Errorf("datagrams on %v: not there", session.version)
	}
	t.mu.Lock()
	sequence := t.next
	t.next++
	ids := make([]uint64, 0, len(t.subscribers))
	for s := range t.subscribers {
		ids = append(ids, s.id)
	}
	t.mu.Unlock()
	for _, id := range ids {
		d := moqlite.Datagram{SubscribeID: id, Sequence: sequence, Time: at, Payload: payload}.Append(nil, session.version)
		if len(d) > moqlite.MaxDatagram {
			return fmt.Errorf("datagram of %d bytes, at most %d", len(d), moqlite.MaxDatagram)
		}
		if err := session.wt.SendDatagram(d); err != nil {
			return fmt.Errorf("datagram of %s: %w", t.name, err)
		}
	}
	return nil
}

// Close ends the track: subscribers get what was written, and then the end.
func (t *TrackWriter) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	if t.newest != nil {
		t.newest.end(endComplete)
	}
	for s := range t.subscribers {
		s.finish(t.next)
	}
}

// attach adds a subscription, which begins with the newest group.
func (t *TrackWriter) attach(s *sender) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	t.subscribers[s] = struct{}{}
	t.changeLocked()
	if t.newest != nil {
		s.push(t.newest)
	}
	return true
}

func (t *TrackWriter) detach(s *sender) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscribers, s)
	t.changeLocked()
}

func (t *TrackWriter) changeLocked() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// find returns the newest group if it has that sequence.
func (t *TrackWriter) find(sequence uint64) *groupLog {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.newest == nil || t.newest.sequence != sequence {
		return nil
	}
	return t.newest
}

// GroupWriter writes one group. It is for one goroutine at a time.
type GroupWriter struct{ log *groupLog }

// Sequence returns the group's sequence number.
func (g *GroupWriter) Sequence() uint64 { return g.log.sequence }

// Write appends an object. at is its presentation time in units of the track's
// timescale, within ±moqlite.MaxTime. The payload must not change afterwards.
func (g *GroupWriter) Write(at int64, payload []byte) error {
	if at > moqlite.MaxTime || at < -moqlite.MaxTime {
		return fmt.Errorf("object of group %d: time %d is out of range", g.log.sequence, at)
	}
	return g.log.append(frame{at, payload})
}

// Close says that the group has all its objects.
func (g *GroupWriter) Close() { g.log.end(endComplete) }

// Abort gives the group up: receivers see a reset.
func (g *GroupWriter) Abort() { g.log.end(endAborted) }

type frame struct {
	at      int64
	payload []byte
}

type logEnd int

const (
	endOpen logEnd = iota
	endComplete
	endAborted
)

// groupLog is a group that is written once and read by each sender.
type groupLog struct {
	sequence uint64
	created  time.Time

	mu      sync.Mutex // guards what follows
	frames  []frame
	state   logEnd
	changed chan struct{} // closed at the next change
}

func newGroupLog(sequence uint64) *groupLog {
	return &groupLog{sequence: sequence, created: time.Now(), changed: make(chan struct{})}
}

func (g *groupLog) append(f frame) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != endOpen {
		return fmt.Errorf("object of group %d: %w", g.sequence, ErrEnded)
	}
	g.frames = append(g.frames, f)
	g.changeLocked()
	return nil
}

func (g *groupLog) end(state logEnd) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != endOpen {
		return
	}
	g.state = state
	g.changeLocked()
}

func (g *groupLog) changeLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// from returns the frames from index on, how the group ended, and a channel that
// is closed when there is more.
func (g *groupLog) from(index int) ([]frame, logEnd, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.frames[index:], g.state, g.changed
}

// abortCode is what receivers of an aborted group are told.
const abortCode = wire.CodeCancel
