package backbone

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"trellis/internal/ca"
	"trellis/routing/discovery"
	"trellis/wire"
)

const (
	// yieldDial is how long the node with the larger id leaves the dialling to
	// the other, so that there is seldom a second connection to refuse.
	yieldDial = 500 * time.Millisecond
	minRedial = 250 * time.Millisecond
	maxRedial = 10 * time.Second
	// steadyLink is how long a link must have lasted for redialling to start over.
	steadyLink = 10 * time.Second
	// maxDialling bounds the handshakes that are under way from here.
	maxDialling = 16
)

// watchPeers follows discovery.
func (m *Mesh) watchPeers(ctx context.Context) error {
	return m.cfg.Peers.Watch(ctx, func(s discovery.Snapshot) {
		m.nodes.Store(&s)
		m.later(m.peersChanged)
	})
}

// peersChanged: discovery says something new of who exists, and where. Of a peer
// with a live link it is advice only: the link says better who is alive.
func (m *Mesh) peersChanged() {
	s := m.nodes.Load()
	for id := range m.links {
		if _, ok := s.Find(id); !ok {
			m.log.Warn("discovery no longer names a peer, its link is kept while it lives", slog.String("peer", id))
		}
	}
	m.chooseLinks(time.Now())
}

// startDialer begins to keep a link to a node, if that is not done already.
func (m *Mesh) startDialer(id string) {
	if m.dialers[id] {
		return
	}
	m.dialers[id] = true
	ctx := m.runCtx
	m.run.Go(func() error {
		m.keepLink(ctx, id)
		return nil
	})
}

// keepLink dials a peer whenever there is no link with it, until the peer is not
// chosen any more.
func (m *Mesh) keepLink(ctx context.Context, id string) {
	wait := time.Duration(0)
	if m.self.Node > id {
		wait = yieldDial
	}
	backoff := minRedial
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		var job dialJob
		if m.call(ctx, func() { job = m.dialJob(id) }) != nil || job.over {
			return
		}
		if job.ended != nil {
			select {
			case <-ctx.Done():
				return
			case <-job.ended:
			}
			timer.Reset(time.Duration(job.jitter * float64(minRedial)))
			continue
		}
		began := time.Now()
		err := m.dialLink(ctx, job.node)
		if time.Since(began) >= steadyLink {
			backoff = minRedial
		}
		var ce *CodeError
		if errors.As(err, &ce) && (ce.Code == wire.CodeUnauthorized || ce.Code == wire.CodeTooMany) {
			backoff = maxRedial / 2 // somebody must act first
		}
		timer.Reset(time.Duration(job.jitter * float64(backoff)))
		backoff = min(2*backoff, maxRedial)
	}
}

// dialJob is what a dialer has to do next.
type dialJob struct {
	node   discovery.Node
	ended  chan struct{} // of the link that is there; nil: dial
	over   bool
	jitter float64
}

func (m *Mesh) dialJob(id string) dialJob {
	job := dialJob{jitter: 0.5 + m.cfg.Rand.Float64()}
	if l := m.links[id]; l != nil {
		job.ended = l.ended
		return job
	}
	_, chosen := m.chosen[id]
	node, known := m.nodes.Load().Find(id)
	if job.node = node; !chosen || !known {
		job.over = true
		delete(m.dialers, id)
	}
	return job
}

// dialLink makes a link, and serves it until it ends.
func (m *Mesh) dialLink(ctx context.Context, n discovery.Node) error {
	select {
	case m.dialling <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	conn, control, hello, id, err := m.dialLane(ctx, n, laneMain)
	<-m.dialling
	if err != nil {
		if ctx.Err() == nil {
			m.dialFailed(ctx, n, err)
		}
		return err
	}
	return m.serveLink(ctx, newLink(m, conn, control, hello, id.notAfter, n, true))
}

// dialFailed says why there is no link. A refusal is for somebody to look at; a
// peer that does not answer is not, beyond its first time: it may be down.
func (m *Mesh) dialFailed(ctx context.Context, n discovery.Node, err error) {
	linked := false
	if m.call(ctx, func() {
		if linked = m.links[n.ID] != nil; !linked {
			m.peer(n.ID).unreached(time.Now())
		}
	}) != nil {
		return // the mesh ends
	}
	var ce *CodeError
	var pe *ca.PeerError
	switch {
	case errors.As(err, &ce) && ce.Remote && ce.Code == wire.CodeDuplicate && linked:
		m.log.Debug("dialled twice", slog.String("peer", n.ID), slog.Any("err", err))
	case errors.As(err, &ce) && ce.Remote:
		m.metrics.refused.Inc()
		m.log.Warn("link refused by peer", slog.String("peer", n.ID), slog.String("addr", n.Addr), slog.Any("err", err))
	case errors.As(err, &ce), errors.As(err, &pe):
		m.metrics.refused.Inc()
		m.log.Warn("link refused", slog.String("peer", n.ID), slog.String("addr", n.Addr), slog.Any("err", err))
	default:
		m.log.Info("peer not reached", slog.String("peer", n.ID), slog.String("addr", n.Addr), slog.Any("err", err))
	}
}
