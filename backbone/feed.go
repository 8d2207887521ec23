package backbone

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/peer"
)

// feed is our subscription to a track at one parent. An upstream has one, a
// second while it moves, and a spare one where the plan names a backup.
type feed struct {
	// Fixed at construction.
	up    *upstream
	track *relay.Track
	pos   *position
	link  *link
	id    uint64
	ready chan struct{} // closed with SUBSCRIBE_OK
	over  chan struct{} // closed when we have left

	// Written before ready is closed.
	kind wire.Kind

	groups  atomic.Uint64 // group streams that have ended, whichever way
	expect  atomic.Uint64 // 1 + how many there will be, 0 while that is not known
	flowing atomic.Bool   // something came
	ages    ageMeter      // of the objects as they come

	// Owned by the loop.
	path    []string
	hops    []peer.Hop // the same with ages, once the parent has told them
	paused  bool       // on standby
	cutOff  bool       // the parent has no path to the origin now
	okAt    time.Time
	asked   time.Time
	end     *peer.TrackEnd
	endedAt time.Time

	mu      sync.Mutex
	left    bool
	streams map[*quic.ReceiveStream]struct{}
}

// node is the parent's id.
func (f *feed) node() string { return f.link.peer.Node }

// unanswered reports whether the parent has kept us waiting for too long.
func (f *feed) unanswered(now time.Time) bool {
	return f.okAt.IsZero() && f.end == nil && now.Sub(f.asked) >= subscribeLimit
}

// enter registers a group stream. False: we have left.
func (f *feed) enter(s *quic.ReceiveStream) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left {
		return false
	}
	f.streams[s] = struct{}{}
	return true
}

// exit takes a group stream off, and tells the loop when it was the last that
// the parent had announced.
func (f *feed) exit(s *quic.ReceiveStream) {
	f.mu.Lock()
	delete(f.streams, s)
	f.mu.Unlock()
	if f.groups.Add(1)+1 == f.expect.Load() {
		f.notify()
	}
}

func (f *feed) notify() {
	m := f.link.mesh
	m.later(func() { m.feedDrained(f, time.Now()) })
}

// leave ends the feed: its streams are given up.
func (f *feed) leave() {
	f.link.feedsMu.Lock()
	delete(f.link.feeds, f.id)
	f.link.feedsMu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left {
		return
	}
	f.left = true
	close(f.over)
	for s := range f.streams {
		s.CancelRead(quic.StreamErrorCode(wire.CodeCancel))
	}
}

// alone reports whether no other feed delivers the same track: a group that its
// sender gives up is then lost.
func (f *feed) alone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.left && !f.up.moving.Load()
}

func newStreamSet() map[*quic.ReceiveStream]struct{} { return map[*quic.ReceiveStream]struct{}{} }
