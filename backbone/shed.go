package backbone

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"trellis/wire"
)

// What a link does that cannot carry all (docs/wire.md, section 6). Who falls
// behind asks the shedder of its link, which says who gives way: enhancement
// layers, the one of lowest priority first; then groups behind which newer ones
// wait; then base video; sound last. Nobody waits for any of this: the groups'
// writers are relay.Tracks, which do not know of links.
const (
	// behindLimit is how long a group may have had more to send than was sent. A
	// group that has not caught up with its track yet, because it began with what
	// was cached or with a large picture, is given longer.
	behindLimit = 500 * time.Millisecond
	catchLimit  = 2 * time.Second
	// hopeless is how far base video may be behind before it gives way itself.
	hopeless = 2 * time.Second
	// shedPause is what a measure is given to take effect, before the next.
	shedPause = 300 * time.Millisecond
	// A layer that was given up is tried again after a while, which doubles.
	minLayerRest = 2 * time.Second
	maxLayerRest = 10 * time.Second
)

// shedOrder is what a queue is told to give up.
type shedOrder uint8

const (
	shedLayer shedOrder = iota // all of the track, for a while
	shedOld                    // groups behind which newer ones wait
	shedBase                   // all that is open
)

// drop is the reason under which it is counted.
func (o shedOrder) drop() Drop {
	switch o {
	case shedLayer:
		return DropLayer
	case shedOld:
		return DropOld
	default:
		return DropBase
	}
}

// shedError gives a group up for others.
type shedError struct{ order shedOrder }

func (e shedError) Error() string { return "given up for others: " + e.order.drop().String() }

// shedder decides, for all queues of a link, which gives way. Its mutex is a
// leaf.
type shedder struct {
	mu   sync.Mutex
	all  map[*groupQueue]struct{}
	last time.Time
}

func newShedder() *shedder { return &shedder{all: map[*groupQueue]struct{}{}} }

func (s *shedder) join(q *groupQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[q] = struct{}{}
}

func (s *shedder) leave(q *groupQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, q)
}

// enhancement reports whether a track adds to another, without which it can be
// watched.
func enhancement(info wire.TrackInfo) bool {
	return info.Kind == wire.KindVideo && info.Priority < wire.PriorityVideo
}

// ask is called by a queue that has been behind for so long.
func (s *shedder) ask(now time.Time, q *groupQueue, behind time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.last) < shedPause {
		return
	}
	order, victims := s.chooseLocked(q, behind)
	for _, v := range victims {
		s.last = now
		select {
		case v.orders <- order:
		default: // it has enough to do
		}
	}
}

func (s *shedder) chooseLocked(q *groupQueue, behind time.Duration) (shedOrder, []*groupQueue) {
	var layers, old []*groupQueue
	base := make([]*groupQueue, 0, len(s.all))
	for v := range s.all {
		open, waiting := int(v.sending.Load()), int(v.superseded.Load())
		switch {
		case v.info.Kind != wire.KindVideo || open == 0:
			continue
		case enhancement(v.info):
			layers = append(layers, v)
			continue
		case waiting > 0:
			old = append(old, v)
		}
		base = append(base, v)
	}
	least := func(a, b *groupQueue) int {
		return cmp.Or(cmp.Compare(a.info.Priority, b.info.Priority), -cmp.Compare(a.likely.Load(), b.likely.Load()))
	}
	switch {
	case len(layers) > 0:
		return shedLayer, []*groupQueue{slices.MinFunc(layers, least)}
	case len(old) > 0:
		return shedOld, old
	case len(base) > 0 && (q.info.Kind != wire.KindVideo || behind >= hopeless):
		return shedBase, []*groupQueue{slices.MinFunc(base, least)}
	default:
		return 0, nil
	}
}

// DropEvent is a group that was not sent to a child, or not to its end, with the
// numbers behind it.
type DropEvent struct {
	At         time.Time `json:"at"`
	Broadcast  string    `json:"broadcast"`
	Track      string    `json:"track"`
	Group      uint64    `json:"group"`
	Reason     string    `json:"reason"`
	Priority   uint8     `json:"priority"`
	Lane       int       `json:"lane"`
	Objects    uint64    `json:"objects"` // that had been written of it
	Bytes      int64     `json:"bytes"`
	BehindMs   float64   `json:"behind_ms"`            // how long it had had more to send than was sent
	WaitingMs  float64   `json:"waiting_ms,omitempty"` // how long a newer group had waited behind it
	LinkBps    float64   `json:"link_bps"`             // what the link carried in the last second
	OpenGroups int64     `json:"open_groups"`          // on the link
}

// keptDrops is how many events a link remembers.
const keptDrops = 64

// dropLog remembers the last groups that were dropped. Its mutex is a leaf.
type dropLog struct {
	mu   sync.Mutex
	ring []DropEvent
	n    int // in all
}

func (d *dropLog) add(e DropEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ring) < keptDrops {
		d.ring = append(d.ring, e)
	} else {
		d.ring[d.n%keptDrops] = e
	}
	d.n++
}

// events returns what is remembered, oldest first.
func (d *dropLog) events() []DropEvent {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]DropEvent, 0, len(d.ring))
	for i := range d.ring {
		out = append(out, d.ring[(max(d.n-keptDrops, 0)+i)%keptDrops])
	}
	return out
}

// rate is what the lanes carried in the last second.
func (l *link) rate() float64 {
	sum := 0.0
	for _, ln := range append([]*lane{l.lane0}, l.lanes.load()...) {
		ln.mu.Lock()
		sum += ln.recent.rateBps
		ln.mu.Unlock()
	}
	return sum
}
