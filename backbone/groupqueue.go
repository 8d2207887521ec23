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
	orders  chan shedOrder
	open    []*groupSender // in the order in which they were begun

	rest     time.Duration // for which the layer is left out next
	resumeAt time.Time     // until when it is left out

	// For the shedder.
	sending    atomic.Int32 // groups that are open and not given up
	superseded atomic.Int32 // of them, those behind which newer ones wait
	likely     atomic.Int64 // bytes of a group, by the last that was sent whole
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
	q.orders = make(chan shedOrder, 4)
	q.rest = minLayerRest
	q.likely.Store(firstLikely)
	return q
}

// run returns when the track has ended and its last groups are sent, or when ctx
// ends. Either way no sender is left.
func (q *groupQueue) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer q.drain()
	defer cancel()
	q.child.link.shedder.join(q)
	defer q.child.link.shedder.leave(q)
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
		q.count()
		timer.Reset(q.nextLook(time.Now()))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ready:
		case s := <-q.ended:
			q.remove(s)
		case o := <-q.orders:
			q.shed(o, time.Now())
		case <-timer.C:
			q.look(time.Now())
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
		if now := time.Now(); now.Before(q.resumeAt) {
			s := &groupSender{queue: q, reader: r, seq: r.Seq(), lane: q.child.link.lane0}
			r.Close()
			s.count(DropLayer, now)
			continue
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
			s.supersede(now)
		case o.superseded.IsZero():
			o.supersede(now)
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
			break
		}
	}
	if s.whole && !s.slow {
		q.rest = minLayerRest
	}
}

// count tells the shedder how many groups there are.
func (q *groupQueue) count() {
	var sending, superseded int32
	for _, s := range q.open {
		if s.given {
			continue
		}
		sending++
		if !s.superseded.IsZero() {
			superseded++
		}
	}
	q.sending.Store(sending)
	q.superseded.Store(superseded)
}

// behindLook is how often it is looked whether a group has fallen behind, while
// none has.
const behindLook = behindLimit / 2

// nextLook returns how long to wait until a group may have to be given up.
func (q *groupQueue) nextLook(now time.Time) time.Duration {
	next := time.Hour
	for _, s := range q.open {
		if s.given {
			continue
		}
		next = min(next, behindLook)
		if !s.superseded.IsZero() {
			next = min(next, s.superseded.Add(q.late).Sub(now))
		}
	}
	return max(next, 0)
}

// look gives up groups that newer ones have waited behind for too long, and asks
// for others to give way to those that have fallen behind.
func (q *groupQueue) look(now time.Time) {
	var behind time.Duration
	for _, s := range q.open {
		switch d, limit := s.behind(now); {
		case s.given:
		case !s.superseded.IsZero() && now.Sub(s.superseded) >= q.late:
			s.giveUp(errLate)
		case d >= limit:
			s.slow = true
			behind = max(behind, d)
		}
	}
	if behind > 0 {
		q.child.link.shedder.ask(now, q, behind)
	}
}

// shed gives up what the link's shedder says.
func (q *groupQueue) shed(o shedOrder, now time.Time) {
	for _, s := range q.open {
		if !s.given && (o != shedOld || !s.superseded.IsZero()) {
			s.giveUp(shedError{o})
		}
	}
	if o == shedLayer {
		q.resumeAt = now.Add(q.rest)
		q.rest = min(2*q.rest, maxLayerRest)
	}
}

// drain waits for the senders, whose context has ended.
func (q *groupQueue) drain() {
	for len(q.open) > 0 {
		q.remove(<-q.ended)
	}
}
