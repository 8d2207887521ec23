package backbone

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/peer"
)

// maxChildren bounds the subscriptions of one peer (docs/wire.md, section 10).
const maxChildren = 16384

// child is a peer's subscription to a track here.
type child struct {
	// Fixed at construction.
	link   *link
	id     uint64
	name   wire.TrackName
	sub    *relay.Subscription // holds the track; what is sent is read from it until the first pause
	hops   []string
	cancel context.CancelFunc
	valve  *valve

	opened atomic.Uint64 // group streams so far

	// Owned by the loop.
	accepted time.Time
	demand   map[string]heard
	viewers  int // in demand
	gone     bool
}

// onSubscribe serves a peer that asks for a track, or says why not.
func (m *Mesh) onSubscribe(l *link, s peer.Subscribe) {
	if err := m.serveChild(l, s); err != nil {
		l.log.Debug("subscription refused", slog.String("track", s.Track.String()), slog.Any("err", err))
		e := peer.SubscribeError{ID: s.ID, Code: trackCode(err), Reason: truncate(err.Error())}
		if ce, ok := errors.AsType[*CodeError](err); ok {
			e.Reason = ce.Reason
		}
		if e.Code == wire.CodeBusy {
			e.Alternatives = m.alternatives(l.peer.Node, s)
		}
		l.say(e)
	}
}

func (m *Mesh) serveChild(l *link, s peer.Subscribe) error {
	ann, known := m.cfg.Table.Lookup(s.Track.Broadcast)
	switch {
	case l.children[s.ID] != nil:
		return refusal(wire.CodeDuplicate, "subscription %d exists", s.ID)
	case len(l.children) >= maxChildren:
		return refusal(wire.CodeTooMany, "%d subscriptions", maxChildren)
	case m.draining && !ann.Local:
		return refusal(wire.CodeGoingAway, "%s is draining", m.self.Node)
	case slices.Contains(s.Hops, m.self.Node), len(s.Hops) >= peer.MaxHops:
		return refusal(wire.CodeLoop, "asked through %v", s.Hops)
	case !known:
		return refusal(wire.CodeUnroutable, "%s is not known here", s.Track.Broadcast)
	case ann.Epoch > s.Epoch:
		return refusal(wire.CodeReplaced, "%s has a newer publisher", s.Track.Broadcast)
	case ann.Epoch < s.Epoch:
		return refusal(wire.CodeUnroutable, "this publisher of %s is not known here", s.Track.Broadcast)
	}
	if u := m.carried[s.Track]; u != nil && !ann.Local {
		asking := u.feed != nil && u.feed.link == l || u.next != nil && u.next.link == l
		if asking || u.feed != nil && slices.Contains(u.path, l.peer.Node) {
			return refusal(wire.CodeLoop, "the track comes to %s through %s", m.self.Node, l.peer.Node)
		}
	}
	if err := m.grant(s, ann.Local); err != nil {
		return err
	}
	if last(s.Route) == m.self.Node {
		// Only if this opens the track is the route looked at.
		m.hints[s.Track] = s.Route
		defer m.later(func() { delete(m.hints, s.Track) })
	}
	sub, err := m.cfg.Table.Subscribe(s.Track, relay.SubscribeOptions{
		Kind:  relay.ReaderLink,
		Start: relay.Start{Resume: s.Start.Resume, Group: s.Start.Group, Object: s.Start.Object},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(l.tasks.ctx)
	c := &child{
		link: l, id: s.ID, name: s.Track, sub: sub, hops: s.Hops, cancel: cancel,
		valve: newValve(s.Mode == peer.ModeStandby), demand: map[string]heard{},
	}
	if !l.tasks.start(func(context.Context) {
		defer sub.Close()
		c.run(ctx)
		m.later(func() { m.dropChild(c) })
	}) {
		cancel()
		sub.Close()
		return errLeft
	}
	l.children[s.ID] = c
	if m.children[s.Track] == nil {
		m.children[s.Track] = map[*child]struct{}{}
	}
	m.children[s.Track][c] = struct{}{}
	return nil
}

// dropChild forgets a child that has ended, and ends one that has not.
func (m *Mesh) dropChild(c *child) {
	if c.gone {
		return
	}
	c.gone = true
	c.cancel()
	delete(c.link.children, c.id)
	all := m.children[c.name]
	delete(all, c)
	if len(all) == 0 {
		delete(m.children, c.name)
	}
	m.demandChanged(c.name)
	if u := m.carried[c.name]; u != nil && u.feed == nil {
		m.choose(u, "child_left") // it may be our way now
	}
}

// onResume lets a child on standby have the track.
func (m *Mesh) onResume(l *link, r peer.Resume) {
	if c := l.children[r.ID]; c != nil {
		c.valve.open(relay.Start{Resume: r.Start.Resume, Group: r.Start.Group, Object: r.Start.Object})
	}
}

// onPause puts a child on standby.
func (m *Mesh) onPause(l *link, p peer.Pause) {
	if c := l.children[p.ID]; c != nil {
		c.valve.shut()
	}
}

// onRefresh passes on that viewers behind a child want a new group.
func (m *Mesh) onRefresh(l *link, r peer.Refresh) {
	if c := l.children[r.ID]; c != nil {
		c.sub.Track().RequestFresh()
	}
}

func (m *Mesh) onUnsubscribe(l *link, u peer.Unsubscribe) {
	if c := l.children[u.ID]; c != nil {
		m.dropChild(c)
	}
}

// acceptChild tells the child what the track is like, and by which path it comes.
func (m *Mesh) acceptChild(c *child, info wire.TrackInfo) {
	if c.gone {
		return
	}
	c.accepted = time.Now()
	c.link.say(peer.SubscribeOK{ID: c.id, Info: info, Path: m.pathTo(c.name)})
	if u := m.carried[c.name]; u != nil && u.cutOff {
		c.link.say(peer.Path{ID: c.id})
	}
	m.rootJoined(c, info)
}

// infoLimit is how long a child waits for a track that nobody delivers. It asks
// elsewhere earlier.
const infoLimit = 15 * time.Second

// run serves the child until the track ends or the child leaves.
func (c *child) run(ctx context.Context) {
	m, l := c.link.mesh, c.link
	infoCtx, cancel := context.WithTimeoutCause(ctx, infoLimit, refusal(wire.CodeUnroutable, "nothing came for %v", infoLimit))
	info, err := c.sub.Info(infoCtx)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			m.later(func() {
				if !c.gone {
					l.say(peer.SubscribeError{ID: c.id, Code: trackCode(err), Reason: truncate(err.Error())})
				}
			})
		}
		return
	}
	if info.Kind == wire.KindVideo {
		c.sub.Track().RequestKeyframe() // asks only where no group is cached to start from
	}
	m.later(func() { m.acceptChild(c, info) })
	err = c.deliver(ctx, info)
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	end := peer.TrackEnd{ID: c.id, Code: trackCode(err), Streams: c.opened.Load()}
	m.later(func() {
		if !c.gone {
			l.say(end)
		}
	})
}

// deliver sends the track whenever the child wants it, until it ends.
func (c *child) deliver(ctx context.Context, info wire.TrackInfo) error {
	for {
		start, turned, paused := c.valve.look()
		if paused {
			select {
			case <-c.valve.bell:
				continue
			case <-c.sub.Track().Context().Done():
				return context.Cause(c.sub.Track().Context()) //nolint:contextcheck // why the track ended
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		sub := c.sub
		if turned {
			again, err := c.link.mesh.cfg.Table.Subscribe(c.name, relay.SubscribeOptions{Kind: relay.ReaderLink, Start: start})
			if err != nil {
				return err
			}
			sub = again
		}
		err := c.send(ctx, newGroupQueue(c, sub, info))
		if sub != c.sub {
			sub.Close()
		}
		if !errors.Is(err, errPaused) {
			return err
		}
	}
}

// send runs a queue until the track ends or the child pauses it.
func (c *child) send(ctx context.Context, q *groupQueue) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !c.valve.flow(cancel) {
		return errPaused
	}
	return q.run(ctx)
}
