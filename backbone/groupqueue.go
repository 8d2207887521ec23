package backbone

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
)

// How long a group may stay behind newer ones before it is given up, at least
// (docs/wire.md, section 6), and how many of a track may be on their way at once.
// A picture that late is of no use; sound is given up last.
const (
	lateVideo     = 500 * time.Millisecond
	lateAudio     = 2 * time.Second
	lateOther     = 5 * time.Second
	maxOpenVideo  = 4
	maxOpenGroups = 32
)

// firstLikely is what a group is taken to have while no other was sent.
const firstLikely = 256 << 10

// errLate gives up a group that newer ones wait behind.
var errLate = errors.New("newer groups are waiting")

// groupQueue sends the groups of one track to one child: each on a stream of its
// own, several at once where the link is slower than the track. Its goroutine
// takes groups and gives up stale ones; a groupSender writes each.
type groupQueue struct {
	child   *child
	sub     *relay.Subscription // what is sent is read from it
	info    wire.TrackInfo
	late    time.Duration
	maxOpen int
	ended   chan *groupSender
	open    []*groupSender // in the order in which they were begun

	likely atomic.Int64 // bytes of a group, by the last that was sent whole
}

func newGroupQueue(c *child, sub *relay.Subscription, info wire.TrackInfo) *groupQueue {
	q := &groupQueue{child: c, sub: sub, info: info, late: lateOther, maxOpen: maxOpenGroups}
	switch info.Kind {
	case wire.KindVideo:
		q.late, q.maxOpen = lateVideo, maxOpenVideo
	case wire.KindAudio:
		q.late = lateAudio
	case wire.KindCatalog, wire.KindData:
	}
	q.late = max(q.late, info.MaxLatency)
	q.ended = make(chan *groupSender, q.maxOpen)
	q.likely.Store(firstLikely)
	return q
}

// run returns when the track has ended and its last groups are sent, or when ctx
// ends. Either way no sender is left.
func (q *groupQueue) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer q.drain()
	defer cancel()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		end, err := q.take(ctx)
		if end && len(q.open) == 0 {
			return err
		}
		var ready <-chan struct{}
		if !end && len(q.open) < q.maxOpen {
			ready = q.sub.Ready()
		}
		timer.Reset(q.nextLate(time.Now()))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ready:
		case s := <-q.ended:
			q.remove(s)
		case <-timer.C:
			q.giveUpLate(time.Now())
		}
	}
}

// take begins all groups that are there, as far as there is room. It reports
// whether the track has ended, and how.
func (q *groupQueue) take(ctx context.Context) (end bool, err error) {
	for len(q.open) < q.maxOpen {
		r, err := q.sub.TryNextGroup()
		if err != nil {
			return true, err
		}
		if r == nil {
			return false, nil
		}
		q.begin(ctx, r)
	}
	return false, nil
}

func (q *groupQueue) begin(ctx context.Context, r *relay.GroupReader) {
	s := &groupSender{queue: q, reader: r, seq: r.Seq()}
	now := time.Now()
	for _, o := range q.open {
		switch {
		case o.seq > s.seq:
			s.superseded = now
		case o.superseded.IsZero():
			o.superseded = now
			o.demote()
		}
	}
	s.urgency.Store(int32(urgency(q.info, !s.superseded.IsZero())))
	q.open = append(q.open, s)
	ctx, s.cancel = context.WithCancelCause(ctx)
	go func() {
		s.run(ctx)
		s.cancel(nil)
		q.ended <- s // there is room for all
	}()
}

func (q *groupQueue) remove(s *groupSender) {
	for i, o := range q.open {
		if o == s {
			q.open = append(q.open[:i], q.open[i+1:]...)
			return
		}
	}
}

// nextLate returns how long to wait until a group may have to be given up.
func (q *groupQueue) nextLate(now time.Time) time.Duration {
	next := time.Hour
	for _, s := range q.open {
		if !s.superseded.IsZero() && !s.given {
			next = min(next, s.superseded.Add(q.late).Sub(now))
		}
	}
	return max(next, 0)
}

func (q *groupQueue) giveUpLate(now time.Time) {
	for _, s := range q.open {
		if !s.superseded.IsZero() && !s.given && now.Sub(s.superseded) >= q.late {
			s.given = true
			s.cancel(errLate)
		}
	}
}

// drain waits for the senders, whose context has ended.
func (q *groupQueue) drain() {
	for len(q.open) > 0 {
		q.remove(<-q.ended)
	}
}
