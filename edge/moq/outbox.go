package moq

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// outbox is the one place where a session opens group streams. A browser allows
// about a hundred at once, so a stream is something to be spent: the outbox first
// gets one and then decides which group is worth it. A group that is too old by
// then is not sent at all.
type outbox struct {
	cfg     *Config
	metrics *metrics
	version moqlite.Version
	header  []byte // what opens a unidirectional WebTransport stream
	open    func() (*quic.SendStream, error)
	wait    func(context.Context) (*quic.SendStream, error)
	bell    chan struct{}

	mu       sync.Mutex // guards what follows, and the fields of view and outGroup that say so
	views    []*view    // by rank
	waiting  []*outGroup
	sending  int
	dividing bool // the session's division looks at the views
}

// uniStreamType opens a WebTransport stream.
// draft-ietf-webtrans-http3, Section 4.2
const uniStreamType = 0x54

// newOutbox returns the outbox of a session. open and wait open QUIC streams:
// the library's streams have no priorities, so ours begin below it.
func newOutbox(cfg *Config, m *metrics, v moqlite.Version, session quic.StreamID,
	open func() (*quic.SendStream, error), wait func(context.Context) (*quic.SendStream, error),
) *outbox {
	return &outbox{
		cfg: cfg, metrics: m, version: v, open: open, wait: wait, bell: make(chan struct{}, 1),
		header: quicvarint.Append(quicvarint.Append(nil, uniStreamType), uint64(session)),
	}
}

// add makes room for the groups of a view.
func (o *outbox) add(v *view) {
	o.mu.Lock()
	o.views = append(o.views, v)
	changed := o.rankLocked()
	o.mu.Unlock()
	apply(changed)
}

// update takes the client's new wishes.
func (o *outbox) update(v *view, want moqlite.Delivery) {
	o.mu.Lock()
	v.want = want
	changed := o.rankLocked()
	victims := o.expireLocked(v)
	o.mu.Unlock()
	apply(changed)
	o.bury(victims, dropExpired)
}

// remove gives up all groups of a view.
func (o *outbox) remove(v *view) {
	o.mu.Lock()
	o.views = slices.DeleteFunc(o.views, func(other *view) bool { return other == v })
	held := v.held
	v.held = nil
	victims := slices.Clone(v.groups)
	for _, g := range victims {
		o.unlistLocked(g)
	}
	changed := o.rankLocked()
	o.mu.Unlock()
	apply(changed)
	if held != nil {
		held.Close()
	}
	for _, g := range victims {
		g.giveUp(errUnsubscribed)
	}
}

// push puts a group into the queue of those that want a stream. The newest one of a
// view that is paused waits beside it, to be the first when it goes on.
func (o *outbox) push(v *view, reader *relay.GroupReader) {
	o.mu.Lock()
	if v.paused {
		passed := v.held
		v.held = reader
		o.mu.Unlock()
		o.forgo(v, passed)
		return
	}
	o.mu.Unlock()
	g := &outGroup{outbox: o, view: v, reader: reader, seq: reader.Seq()}
	g.begun = mark{seq: g.seq, at: time.Now()}
	g.ctx, g.cancel = context.WithCancelCause(v.ctx)
	v.pending.Add(1)
	o.mu.Lock()
	v.groups = append(v.groups, g)
	o.waiting = append(o.waiting, g)
	if g.seq >= v.newest.seq {
		v.newest = g.begun
	}
	o.passLocked(v, g)
	changed := v.demoteLocked()
	victims := o.expireLocked(v)
	var surplus []*outGroup
	if len(o.waiting) > o.cfg.MaxWaiting {
		surplus = append(surplus, worstOf(o.waiting))
	} else if o.sending >= o.cfg.MaxSending {
		// All senders are busy, perhaps with what the client does not take. The
		// worst of them makes room for a better group.
		if worst := o.worstSendingLocked(); worst != nil && g.outranks(worst) {
			surplus = append(surplus, worst)
		}
	}
	for _, worst := range surplus {
		o.unlistLocked(worst)
	}
	o.mu.Unlock()
	apply(changed)
	o.bury(victims, dropExpired)
	o.bury(surplus, dropBudget)
	o.ring()
}

// timed is told the presentation time of a group's first frame.
func (o *outbox) timed(g *outGroup, at int64) {
	o.mu.Lock()
	g.begun.time, g.begun.timed = at, true
	if g.seq == g.view.newest.seq {
		g.view.newest = g.begun
	}
	changed := g.view.demoteLocked()
	o.mu.Unlock()
	apply(changed)
}

// done is told that a group has left, one way or another.
func (o *outbox) done(g *outGroup) {
	o.mu.Lock()
	o.unlistLocked(g)
	o.sending--
	o.mu.Unlock()
	o.ring()
}

// run opens streams until ctx ends.
func (o *outbox) run(ctx context.Context) {
	var spare *quic.SendStream
	scarce := false // from when the client allowed no more until nothing waits
	for {
		for o.idle() {
			scarce = scarce && o.backlog()
			select {
			case <-o.bell:
			case <-ctx.Done():
				return
			}
		}
		stream := spare
		spare = nil
		if stream == nil {
			var err error
			if stream, err = o.open(); err != nil {
				// What waits meanwhile competes for the next stream.
				scarce = true
				if stream, err = o.wait(ctx); err != nil {
					return // the connection is over
				}
			}
		}
		g := o.next(scarce, stream)
		if g == nil {
			// All that waited has expired. An unused stream costs nothing.
			spare = stream
			continue
		}
		g.begin(stream)
		// view.pending counts it, and its view waits for it.
		go g.send(stream) //nolint:contextcheck // it ends with its view, not with the outbox
	}
}

// backlog reports whether groups wait for others to be sent.
func (o *outbox) backlog() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting) > 0
}

// idle reports whether there is no group that may be sent now.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting) == 0 || o.sending >= o.cfg.MaxSending
}

// next takes the group that is worth the next stream.
func (o *outbox) next(scarce bool, stream *quic.SendStream) *outGroup {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		return nil
	}
	scarce = scarce || o.sending+len(o.waiting) > o.cfg.MaxSending
	g := slices.MinFunc(o.waiting, func(a, b *outGroup) int { return a.before(b, scarce) })
	o.waiting = slices.DeleteFunc(o.waiting, func(other *outGroup) bool { return other == g })
	g.stream = stream
	o.sending++
	return g
}

// before orders groups by what deserves a stream first: the more important
// track; then, in one track, the lower sequence, since players take groups that
// open out of order for slow ones. Only where streams are scarce does the newest
// group go first, unless the viewer wants them in order.
func (g *outGroup) before(other *outGroup, scarce bool) int {
	if g.view != other.view {
		return cmp.Compare(g.view.rank, other.view.rank)
	}
	if scarce && !g.view.want.Ordered {
		return cmp.Compare(other.seq, g.seq)
	}
	return cmp.Compare(g.seq, other.seq)
}

// worstOf returns the group to lose when there are too many: of the least
// important track the oldest.
func worstOf(groups []*outGroup) *outGroup {
	return slices.MaxFunc(groups, func(a, b *outGroup) int {
		return cmp.Or(cmp.Compare(a.view.rank, b.view.rank), cmp.Compare(b.seq, a.seq))
	})
}

func (o *outbox) worstSendingLocked() *outGroup {
	var sending []*outGroup
	for _, v := range o.views {
		for _, g := range v.groups {
			if g.stream != nil {
				sending = append(sending, g)
			}
		}
	}
	if len(sending) == 0 {
		return nil
	}
	return worstOf(sending)
}

// outranks reports whether g is worth giving up other for.
func (g *outGroup) outranks(other *outGroup) bool {
	if g.view == other.view {
		return g.seq > other.seq && !g.view.want.Ordered
	}
	return g.view.rank < other.view.rank
}

// passLocked notes for the groups of a view which of them the new one passes.
func (o *outbox) passLocked(v *view, newer *outGroup) {
	for _, g := range v.groups {
		switch {
		case g.seq < newer.seq && g.passed.IsZero():
			o.passedLocked(g, newer.begun.at)
		case g.seq > newer.seq && newer.passed.IsZero(): // it came late itself
			o.passedLocked(newer, newer.begun.at)
		}
	}
}

func (o *outbox) passedLocked(g *outGroup, at time.Time) {
	g.passed = at
	g.expiry = time.AfterFunc(expiryOf(g.view.want.MaxLatency), func() { o.expire(g.view) })
}

// expire gives up what is too old in a view.
func (o *outbox) expire(v *view) {
	o.mu.Lock()
	victims := o.expireLocked(v)
	o.mu.Unlock()
	o.bury(victims, dropExpired)
}

// expireLocked takes the groups of a view off the lists that are too old.
func (o *outbox) expireLocked(v *view) []*outGroup {
	var victims []*outGroup
	now := time.Now()
	for _, g := range v.groups {
		if !g.passed.IsZero() && now.Sub(g.passed) >= expiryOf(v.want.MaxLatency) {
			victims = append(victims, g)
		}
	}
	for _, g := range victims {
		o.unlistLocked(g)
	}
	return victims
}

func (o *outbox) unlistLocked(g *outGroup) {
	same := func(other *outGroup) bool { return other == g }
	if g.expiry != nil {
		g.expiry.Stop()
	}
	g.view.groups = slices.DeleteFunc(g.view.groups, same)
	o.waiting = slices.DeleteFunc(o.waiting, same)
}

// bury gives up groups that are off the lists, and counts them.
func (o *outbox) bury(victims []*outGroup, reason dropReason) {
	for _, g := range victims {
		o.metrics.drop(reason)
		cause := errExpired
		switch reason {
		case dropBudget:
			cause = errBudget
			g.view.sub.Track().Drop(relay.DropStreamLimit)
		case dropPaused:
			cause = errPaused
			g.view.sub.Track().Drop(relay.DropTooLate)
		default:
			g.view.sub.Track().Drop(relay.DropTooLate)
		}
		o.mu.Lock()
		g.view.drops.add(moqlite.SubscribeDrop{First: g.seq, Last: g.seq, Code: codeOf(cause)})
		o.mu.Unlock()
		g.giveUp(cause)
	}
}

func (o *outbox) ring() {
	select {
	case o.bell <- struct{}{}:
	default: // it will look anyway
	}
}

// rankLocked orders the views by the viewer's priority, then the publisher's, and
// returns the streams whose urgency has changed.
func (o *outbox) rankLocked() []reprioritised {
	weight := func(v *view) int { return int(v.want.Priority)<<8 | int(v.info.Priority) }
	slices.SortStableFunc(o.views, func(a, b *view) int { return cmp.Compare(weight(b), weight(a)) })
	var changed []reprioritised
	rank := 0
	for i, v := range o.views {
		if i > 0 && weight(v) < weight(o.views[i-1]) {
			rank++
		}
		v.rank = rank
		changed = append(changed, v.demoteLocked()...)
	}
	return changed
}

// demoteLocked returns the view's streams with their urgency as it is now.
func (v *view) demoteLocked() []reprioritised {
	var changed []reprioritised
	for _, g := range v.groups {
		if u := g.urgencyLocked(); g.stream != nil && u != g.urgency {
			g.urgency = u
			changed = append(changed, reprioritised{g.stream, u})
		}
	}
	return changed
}

func (g *outGroup) urgencyLocked() urgency {
	v := g.view
	return urgencyOf(v.rank, !g.begun.stale(v.newest, v.info.Timescale), v.want.Ordered)
}

type reprioritised struct {
	stream  *quic.SendStream
	urgency urgency
}

// apply tells QUIC. Among streams of one urgency the one opened first goes first.
func apply(changed []reprioritised) {
	for _, c := range changed {
		c.stream.SetPriority(c.urgency, false)
	}
}

// The causes for which a group is given up.
var (
	errExpired      = &ending{wire.CodeOld, "older than the viewer's max_latency"}
	errPaused       = &ending{wire.CodeDropped, "the path does not carry all pictures"}
	errBudget       = &ending{wire.CodeDropped, "too many groups waiting for a stream"}
	errUnsubscribed = &ending{wire.CodeCancel, "unsubscribed"}
)
