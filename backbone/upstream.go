package backbone

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"trellis/internal/relay"
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

	feed    *feed // at the parent, nil while there is none
	next    *feed // at the parent that we move to
	path    []string
	cost    time.Duration
	cause   string               // why the parent is the parent
	refused map[string]time.Time // when a neighbour last refused
	lacking time.Time            // since when there is no parent, zero if there is
	retryAt time.Time
	movedAt time.Time
	viewers int  // that the parent was told of
	cutOff  bool // the children were told that we have no path now
	unwatch func() bool

	moving atomic.Bool // next != nil, for the receivers
}

const (
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
		refused: map[string]time.Time{}, lacking: time.Now(),
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
	m.leave(u.feed, code)
	m.leave(u.next, code)
	u.feed, u.next = nil, nil
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
	slices.SortStableFunc(all, func(a, b Candidate) int { return m.reluctance(u, a, now) - m.reluctance(u, b, now) })
	return all
}

func (m *Mesh) reluctance(u *upstream, c Candidate, now time.Time) int {
	n := 0
	if at, ok := u.refused[c.Node]; ok && now.Sub(at) < refusalPeriod {
		n += 4
	}
	if m.links[c.Node].suspect {
		n += 2
	}
	if !m.peer(c.Node).calm(now) {
		n++
	}
	return n
}

// choose subscribes at the best neighbour, for an upstream that has no parent.
func (m *Mesh) choose(u *upstream, cause string) {
	now := time.Now()
	u.retryAt = now.Add(retryPeriod)
	for _, c := range m.candidates(u, now) {
		if m.reluctance(u, c, now) >= 4 {
			continue
		}
		u.feed = m.subscribe(u, m.links[c.Node])
		u.cost, u.cause = c.Cost, cause
		u.lacking = time.Time{}
		m.metrics.moves.WithLabelValues(cause).Inc()
		m.log.Debug("parent chosen", slog.String("track", u.track.Name().String()), slog.String("peer", c.Node),
			slog.String("cause", cause), slog.Duration("cost", c.Cost))
		return
	}
}

// move subscribes at a second parent, and leaves the first once that delivers.
func (m *Mesh) move(u *upstream, c Candidate, cause string, now time.Time) {
	u.next = m.subscribe(u, m.links[c.Node])
	u.moving.Store(true)
	u.cost, u.cause, u.movedAt = c.Cost, cause, now
	m.metrics.moves.WithLabelValues(cause).Inc()
	m.log.Info("track moves", slog.String("track", u.track.Name().String()), slog.String("from", u.feed.link.peer.Node),
		slog.String("peer", c.Node), slog.String("cause", cause), slog.Duration("cost", c.Cost))
}

// subscribe asks a neighbour for the track, from where we are.
func (m *Mesh) subscribe(u *upstream, l *link) *feed {
	now := time.Now()
	l.nextID++
	f := &feed{
		up: u, track: u.track, pos: u.pos, link: l, id: l.nextID, start: u.pos.resume(u.kind, now),
		ready: make(chan struct{}), over: make(chan struct{}), asked: now,
		streams: newStreamSet(),
	}
	l.feedsMu.Lock()
	l.feeds[f.id] = f
	l.feedsMu.Unlock()
	hops := append(m.hopsOf(u.track.Name()), m.self.Node)
	l.say(peer.Subscribe{ID: f.id, Track: u.track.Name(), Epoch: u.epoch, Start: f.start, Hops: hops[max(len(hops)-peer.MaxHops, 0):]})
	u.viewers = -1
	return f
}

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

// onSubscribeOK: the parent takes us.
func (m *Mesh) onSubscribeOK(l *link, ok peer.SubscribeOK) {
	f := l.feed(ok.ID)
	if f == nil || !f.okAt.IsZero() {
		return // we have left meanwhile
	}
	u := f.up
	f.okAt, f.path = time.Now(), ok.Path
	if slices.Contains(ok.Path, m.self.Node) {
		m.lost(f, "loop")
		return
	}
	if err := u.track.SetInfo(ok.Info); err != nil {
		m.lost(f, "refused")
		return
	}
	f.kind, u.kind = ok.Info.Kind, ok.Info.Kind
	close(f.ready)
	if u.feed == f {
		m.setPath(u, f)
	}
	m.sendDemand()
}

// onSubscribeError: the parent does not take us.
func (m *Mesh) onSubscribeError(l *link, e peer.SubscribeError) {
	f := l.feed(e.ID)
	if f == nil {
		return
	}
	u := f.up
	l.log.Debug("subscription refused", slog.String("track", u.track.Name().String()), slog.String("code", e.Code.String()), slog.String("cause", e.Reason))
	if final(e.Code) && u.feed == f && u.next == nil {
		f.end = &peer.TrackEnd{} // nothing to unsubscribe
		m.endTrack(u, e.Code, e.Reason)
		return
	}
	u.refused[l.peer.Node] = time.Now()
	f.end = &peer.TrackEnd{}
	m.lost(f, "refused")
}

// onTrackEnd: no further groups come from the parent.
func (m *Mesh) onTrackEnd(l *link, e peer.TrackEnd) {
	f := l.feed(e.ID)
	if f == nil {
		return
	}
	f.end, f.endedAt = &e, time.Now()
	f.expect.Store(e.Streams + 1)
	if f.groups.Load() >= e.Streams || !final(e.Code) {
		m.feedDrained(f, f.endedAt)
	}
}

// feedDrained: the last group of a feed that has ended is here.
func (m *Mesh) feedDrained(f *feed, now time.Time) {
	u := f.up
	if f.end == nil || m.upstreams[u.track] != u || u.feed != f && u.next != f {
		return
	}
	if final(f.end.Code) {
		m.endTrack(u, f.end.Code, "the parent ended it")
		return
	}
	u.refused[f.link.peer.Node] = now
	m.lost(f, "parent_ended")
}

// onPath: the parent gets the track by another way now.
func (m *Mesh) onPath(l *link, p peer.Path) {
	f := l.feed(p.ID)
	if f == nil {
		return
	}
	f.cutOff = len(p.Hops) == 0
	if !f.cutOff {
		f.path = p.Nodes()
	}
	switch {
	case f.cutOff:
		if f.up.feed == f && f.up.next == nil && !m.escape(f.up, "parent_cut_off", time.Now()) {
			m.tellCutOff(f.up)
		}
	case slices.Contains(p.Nodes(), m.self.Node):
		f.up.refused[l.peer.Node] = time.Now()
		m.lost(f, "loop")
	case f.up.feed == f:
		m.setPath(f.up, f)
	}
}

// lost drops a feed that delivers no more, and sees to another.
func (m *Mesh) lost(f *feed, cause string) {
	u := f.up
	m.leave(f, wire.CodeCancel)
	switch f {
	case u.next:
		u.next = nil
		u.moving.Store(false)
	case u.feed:
		u.feed = nil
		if u.next != nil {
			m.settle(u)
			return
		}
		u.lacking = time.Now()
		m.choose(u, cause)
		if u.feed == nil {
			m.tellCutOff(u)
		}
	}
}

// tellCutOff tells the children that we have no path to the origin now, or may
// not have one: those who know another take it, and we may then follow them.
func (m *Mesh) tellCutOff(u *upstream) {
	u.cutOff = true
	m.tellPath(u.track.Name(), nil)
}

func (m *Mesh) tellPath(name wire.TrackName, path []string) {
	hops := make([]peer.Hop, len(path))
	for i, node := range path {
		hops[i].Node = node
	}
	for c := range m.children[name] {
		if c.accepted {
			c.link.say(peer.Path{ID: c.id, Hops: hops})
		}
	}
}

// settle makes the parent that we move to the parent.
func (m *Mesh) settle(u *upstream) {
	old := u.feed
	u.feed, u.next = u.next, nil
	u.moving.Store(false)
	m.leave(old, wire.CodeCancel)
	u.viewers = -1
	m.setPath(u, u.feed)
}

// setPath takes the path of the parent, and tells the children.
func (m *Mesh) setPath(u *upstream, f *feed) {
	if f.okAt.IsZero() || f.cutOff || !u.cutOff && slices.Equal(u.path, f.path) {
		return
	}
	u.path, u.cutOff = f.path, false
	m.tellPath(u.track.Name(), m.pathTo(u.track.Name()))
}

// pathTo returns the nodes from the origin of a track to us.
func (m *Mesh) pathTo(name wire.TrackName) []string {
	var path []string
	if u := m.carried[name]; u != nil {
		path = slices.Clone(u.path)
	}
	path = append(path, m.self.Node)
	return path[max(len(path)-peer.MaxHops, 0):]
}

// retryUpstreams looks after upstreams that wait for something.
func (m *Mesh) retryUpstreams(now time.Time) {
	for _, u := range m.upstreams {
		switch {
		case u.feed == nil && !u.lacking.IsZero() && now.Sub(u.lacking) >= lackLimit:
			m.log.Warn("track given up: no path to its origin", slog.String("track", u.track.Name().String()), slog.String("origin", u.origin))
			m.endTrack(u, wire.CodeUnroutable, "no path to "+u.origin)
		case u.feed == nil && !now.Before(u.retryAt):
			m.choose(u, "retried")
		case u.next != nil:
			m.watchMove(u, now)
		case u.feed != nil && u.feed.end != nil && now.Sub(u.feed.endedAt) >= drainLimit:
			m.feedDrained(u.feed, now)
		case u.feed != nil && u.feed.okAt.IsZero() && now.Sub(u.feed.asked) >= subscribeLimit:
			u.refused[u.feed.link.peer.Node] = now
			m.lost(u.feed, "no_answer")
		}
	}
}

// watchMove completes a move when the new parent delivers, and gives it up when
// it does not.
func (m *Mesh) watchMove(u *upstream, now time.Time) {
	switch f := u.next; {
	case !f.okAt.IsZero() && (f.flowing.Load() || now.Sub(f.okAt) >= moveLimit):
		m.settle(u)
	case f.okAt.IsZero() && now.Sub(f.asked) >= subscribeLimit:
		u.refused[f.link.peer.Node] = now
		m.lost(f, "no_answer")
	}
}

// sendDemand tells parents how many viewers there are, where that has changed.
func (m *Mesh) sendDemand() {
	for _, u := range m.upstreams {
		if u.feed == nil || u.feed.okAt.IsZero() {
			continue
		}
		if n := u.track.Viewers(); n != u.viewers {
			u.viewers = n
			u.feed.link.say(peer.Demand{ID: u.feed.id, Full: true, Entries: []peer.DemandEntry{
				{Node: m.self.Node, Viewers: uint64(n), Parent: u.feed.link.peer.Node},
			}})
		}
	}
}
