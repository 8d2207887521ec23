package backbone

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/wire"
	"trellis/wire/peer"
)

// upstream is a track that comes from another node because somebody here wants
// it. The loop owns it, except where noted.
type upstream struct {
	track  *relay.Track
	origin string
	epoch  uint64
	pos    *position // shared with the receivers
	kind   wire.Kind
	hint   []string // from the origin to us, as whoever made us take it had in mind

	feed    *feed // at the parent, nil while there is none
	next    *feed // at the parent that we move to
	spare   *feed // at the backup parent
	path    []string
	cost    time.Duration
	cause   string             // why the parent is the parent
	refused map[string]refused // by which neighbours
	lacking time.Time          // since when there is no parent, zero if there is
	retryAt time.Time
	movedAt time.Time
	cutOff  bool // the children were told that we have no path now
	unwatch func() bool

	plan following
	told telling
	near neighbourhood

	moving atomic.Bool // two feeds deliver, for the receivers
}

// refused is when and why a neighbour did not take us, or delivered no more.
type refused struct {
	at   time.Time
	code wire.Code
}

// period is how long a refusal counts. A loop goes as soon as somebody moves.
func (r refused) period() time.Duration {
	if r.code == wire.CodeLoop {
		return loopPeriod
	}
	return refusalPeriod
}

const (
	loopPeriod     = 500 * time.Millisecond
	retryPeriod    = 250 * time.Millisecond
	refusalPeriod  = 2 * time.Second
	subscribeLimit = 3 * time.Second  // for SUBSCRIBE_OK, before another is tried
	lackLimit      = 10 * time.Second // without a parent, before the track is given up
	moveLimit      = 2 * time.Second  // for the new parent to deliver
	moveRest       = 5 * time.Second  // between moves that are not failures
	drainLimit     = time.Second      // for the last groups after TRACK_END
	minGain        = 10 * time.Millisecond
	minGainPercent = 15
)

// openTrack subscribes to a track that somebody here has asked for.
func (m *Mesh) openTrack(t *relay.Track) {
	if t.Context().Err() != nil || m.upstreams[t] != nil {
		return
	}
	ann := t.Announcement()
	u := &upstream{
		track: t, origin: ann.Origin, epoch: ann.Epoch, pos: newPosition(),
		hint: m.hints[t.Name()], refused: map[string]refused{}, lacking: time.Now(),
	}
	m.upstreams[t], m.carried[t.Name()] = u, u
	u.unwatch = context.AfterFunc(t.Context(), func() { m.later(func() { m.closeUpstream(u, wire.CodeCancel) }) })
	m.metrics.upstreams.Set(float64(len(m.upstreams)))
	m.choose(u, "subscribed")
}

// closeUpstream leaves the parents of a track that is over or not wanted.
func (m *Mesh) closeUpstream(u *upstream, code wire.Code) {
	if m.upstreams[u.track] != u {
		return
	}
	delete(m.upstreams, u.track)
	if m.carried[u.track.Name()] == u {
		delete(m.carried, u.track.Name())
	}
	u.unwatch()
	m.setWants(u, nil)
	m.leave(u.feed, code)
	m.leave(u.next, code)
	m.leave(u.spare, code)
	u.feed, u.next, u.spare = nil, nil, nil
	m.metrics.upstreams.Set(float64(len(m.upstreams)))
}

// endTrack ends a track for good.
func (m *Mesh) endTrack(u *upstream, code wire.Code, reason string) {
	m.closeUpstream(u, code)
	u.track.Close(trackError(code, reason))
}

// candidates ranks the neighbours that may become the track's parent, in order
// of preference. Neighbours that refused lately, or whose link is not steady, are
// behind all others: a last resort is always allowed.
func (m *Mesh) candidates(u *upstream, now time.Time) []Candidate {
	q := Query{Track: u.track.Name(), Origin: u.origin, Self: m.self.Node}
	avoid := m.downstreamOf(u.track.Name())
	for id, l := range m.links {
		if !slices.Contains(avoid, id) && !l.avoids(u.origin) {
			q.Neighbours = append(q.Neighbours, Neighbour{Node: id, Cost: l.cost()})
		}
	}
	all := m.cfg.Router.Rank(m.topology(), q)
	slices.SortStableFunc(all, func(a, b Candidate) int { return m.reluctance(u, a.Node, now) - m.reluctance(u, b.Node, now) })
	return all
}

// reluctance grades a neighbour to which there is a link: 0 is none.
func (m *Mesh) reluctance(u *upstream, node string, now time.Time) int {
	n := 0
	if r, ok := u.refused[node]; ok && now.Sub(r.at) < r.period() {
		n += 4
	}
	if m.links[node].suspect {
		n += 2
	}
	if !m.peer(node).calm(now) {
		n++
	}
	return n
}

// choose subscribes somewhere, for an upstream that has no parent: where the plan
// or whoever asked us has it, or else at the best neighbour.
func (m *Mesh) choose(u *upstream, cause string) {
	now := time.Now()
	u.retryAt = now.Add(retryPeriod)
	all := m.candidates(u, now)
	for _, route := range [...][]string{u.plan.route.Path, u.plan.route.Backup, upTo(u.hint)} {
		i := slices.IndexFunc(all, func(c Candidate) bool { return c.Node == last(route) })
		if i >= 0 && m.obstacle(u, all[i].Node, now) == wire.CodeCancel {
			m.take(u, all[i], cause)
			return
		}
	}
	for _, c := range all {
		if m.reluctance(u, c.Node, now) < 4 {
			m.take(u, c, cause)
			return
		}
	}
}

// take makes a neighbour the parent of an upstream that has none.
func (m *Mesh) take(u *upstream, c Candidate, cause string) {
	u.feed = m.subscribe(u, m.links[c.Node], peer.ModeLive)
	u.cost, u.cause = c.Cost, cause
	u.lacking = time.Time{}
	u.told.due = true
	m.trackEvent(telemetry.ParentTaken, u, c.Node, cause)
	m.metrics.moves.WithLabelValues(cause).Inc()
	m.log.Debug("parent chosen", slog.String("track", u.track.Name().String()), slog.String("peer", c.Node),
		slog.String("cause", cause), slog.Duration("cost", c.Cost))
}

// move subscribes at a second parent, and leaves the first once that delivers.
func (m *Mesh) move(u *upstream, c Candidate, cause string, now time.Time) {
	if s := u.spare; s != nil && s.node() == c.Node {
		u.next, u.spare = s, nil
		m.resume(u, s, now)
	} else {
		u.next = m.subscribe(u, m.links[c.Node], peer.ModeLive)
	}
	m.countFeeds(u)
	u.cost, u.cause, u.movedAt = c.Cost, cause, now
	m.trackEvent(telemetry.ParentMoving, u, c.Node, cause)
	m.metrics.moves.WithLabelValues(cause).Inc()
	m.log.Info("track moves", slog.String("track", u.track.Name().String()), slog.String("from", u.feed.node()),
		slog.String("peer", c.Node), slog.String("cause", cause), slog.Duration("cost", c.Cost))
}

// subscribe asks a neighbour for the track, from where we are.
func (m *Mesh) subscribe(u *upstream, l *link, mode peer.Mode) *feed {
	now := time.Now()
	l.nextID++
	f := &feed{
		up: u, track: u.track, pos: u.pos, link: l, id: l.nextID,
		ready: make(chan struct{}), over: make(chan struct{}), asked: now, paused: mode == peer.ModeStandby,
		streams: newStreamSet(),
	}
	f.ages.restart(now)
	var start peer.Start
	if !f.paused {
		start = u.pos.resume(u.kind, now)
	}
	l.feedsMu.Lock()
	l.feeds[f.id] = f
	l.feedsMu.Unlock()
	hops := append(m.hopsOf(u.track.Name()), m.self.Node)
	l.say(peer.Subscribe{
		ID: f.id, Track: u.track.Name(), Epoch: u.epoch, Start: start, Hops: hops[max(len(hops)-peer.MaxHops, 0):],
		Mode: mode, Route: u.routeTo(l.peer.Node),
	})
	return f
}

// routeTo returns the path from the origin to a parent that somebody has thought
// of, nil if nobody has.
func (u *upstream) routeTo(node string) []string {
	for _, route := range [...][]string{u.plan.route.Path, u.plan.route.Backup, upTo(u.hint)} {
		if last(route) == node {
			return route
		}
	}
	return nil
}

// last returns the end of a path, empty if it has none.
func last(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return path[len(path)-1]
}

// upTo returns a path without its end.
func upTo(path []string) []string { return path[:max(len(path)-1, 0)] }

// leave unsubscribes. A nil feed is left already.
func (m *Mesh) leave(f *feed, code wire.Code) {
	if f == nil {
		return
	}
	f.leave()
	if !f.link.gone && f.end == nil {
		f.link.say(peer.Unsubscribe{ID: f.id, Code: code})
	}
}

// retryUpstreams looks after upstreams that wait for something.
func (m *Mesh) retryUpstreams(now time.Time) {
	for _, u := range m.upstreams {
		switch {
		case u.feed == nil && !u.lacking.IsZero() && now.Sub(u.lacking) >= lackLimit:
			m.log.Warn("track given up: no path to its origin", slog.String("track", u.track.Name().String()), slog.String("origin", u.origin))
			m.endTrack(u, wire.CodeUnroutable, "no path to "+u.origin)
			continue
		case u.feed == nil && !now.Before(u.retryAt):
			m.choose(u, "retried")
		case u.next != nil:
			m.watchMove(u, now)
		case u.feed != nil && u.feed.end != nil && now.Sub(u.feed.endedAt) >= drainLimit:
			m.feedDrained(u.feed, now)
		case u.feed != nil && u.feed.unanswered(now):
			m.noAnswer(u.feed, now)
		}
		if u.spare != nil && u.spare.unanswered(now) {
			m.noAnswer(u.spare, now)
		}
		if !now.Before(u.plan.followAt) {
			m.follow(u, now)
		}
	}
}

func (m *Mesh) noAnswer(f *feed, now time.Time) {
	f.up.refused[f.node()] = refused{at: now, code: wire.CodeTimeout}
	m.lost(f, "no_answer")
}

// watchMove completes a move when the new parent delivers, and gives it up when
// it does not.
func (m *Mesh) watchMove(u *upstream, now time.Time) {
	switch f := u.next; {
	case !f.okAt.IsZero() && (f.flowing.Load() || now.Sub(f.okAt) >= moveLimit):
		m.settle(u)
	case f.unanswered(now):
		m.noAnswer(f, now)
	}
}
