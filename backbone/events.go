package backbone

import (
	"time"

	"trellis/internal/telemetry"
)

// trackEvent remembers what happened to a track's way to us.
func (m *Mesh) trackEvent(kind telemetry.Kind, u *upstream, peer, reason string) {
	m.cfg.Events.Add(telemetry.Event{
		At: time.Now(), Kind: kind, Reason: reason, Track: u.track.Name().String(), Peer: peer, DelayMs: millis(u.cost),
	})
}

// event remembers what happened to a link, and how many tracks came over it.
func (l *link) event(kind telemetry.Kind, reason string) {
	l.feedsMu.RLock()
	n := len(l.feeds)
	l.feedsMu.RUnlock()
	l.mesh.cfg.Events.Add(telemetry.Event{At: time.Now(), Kind: kind, Reason: reason, Peer: l.peer.Node, Count: n})
}
