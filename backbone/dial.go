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
)

// watchPeers follows discovery.
func (m *Mesh) watchPeers(ctx context.Context) error {
	dialers := map[discovery.Node]context.CancelFunc{}
	return m.cfg.Peers.Watch(ctx, func(s discovery.Snapshot) {
		m.nodes.Store(&s)
		for n, cancel := range dialers {
			if now, ok := s.Find(n.ID); !ok || now != n {
				cancel()
				delete(dialers, n)
				m.later(func() { m.peerGone(n, ok) })
			}
		}
		for _, n := range s.Nodes {
			if n.ID == m.self.Node || dialers[n] != nil {
				continue
			}
			dialCtx, cancel := context.WithCancel(ctx)
			dialers[n] = cancel
			m.run.Go(func() error {
				defer cancel()
				m.keepLink(dialCtx, n)
				return nil
			})
		}
	})
}

// peerGone: discovery no longer lists a node, or lists it elsewhere.
func (m *Mesh) peerGone(n discovery.Node, moved bool) {
	m.log.Info("peer changed in discovery", slog.String("peer", n.ID), slog.Bool("moved", moved))
	if l := m.links[n.ID]; l != nil && !moved {
		l.fail(refusal(wire.CodeUnauthorized, "%s is no longer among the nodes that discovery knows", n.ID))
	}
}

// keepLink dials a peer whenever there is no link with it.
func (m *Mesh) keepLink(ctx context.Context, n discovery.Node) {
	wait := time.Duration(0)
	if m.self.Node > n.ID {
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
		var ended chan struct{}
		var jitter float64
		if m.call(ctx, func() {
			if l := m.links[n.ID]; l != nil {
				ended = l.ended
			}
			jitter = 0.5 + m.cfg.Rand.Float64()
		}) != nil {
			return
		}
		if ended != nil {
			select {
			case <-ctx.Done():
				return
			case <-ended:
			}
			timer.Reset(time.Duration(jitter * float64(minRedial)))
			continue
		}
		began := time.Now()
		err := m.dialLink(ctx, n)
		if time.Since(began) >= steadyLink {
			backoff = minRedial
		}
		var ce *CodeError
		if errors.As(err, &ce) && ce.Code == wire.CodeUnauthorized {
			backoff = maxRedial / 2 // somebody must act first
		}
		timer.Reset(time.Duration(jitter * float64(backoff)))
		backoff = min(2*backoff, maxRedial)
	}
}

// dialLink makes a link, and serves it until it ends.
func (m *Mesh) dialLink(ctx context.Context, n discovery.Node) error {
	conn, control, hello, id, err := m.dialLane(ctx, n, laneMain)
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
	if m.call(ctx, func() { linked = m.links[n.ID] != nil }) != nil {
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
