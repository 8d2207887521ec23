package backbone

import (
	"log/slog"
	"time"

	"trellis/internal/telemetry"
	"trellis/wire"
)

// peerState is what the loop remembers of a peer while its links come and go.
type peerState struct {
	flaps    int // link failures within flapMemory of one another
	lastDown time.Time
	calmAt   time.Time // from when a link may be used other than as a last resort

	trial bool // the last route that wanted a link wanted to see how long it is

	misses  int // handshakes in a row that came to nothing
	avoidAt time.Time
}

// Nodes that do not answer, or refuse us, leave their places to others for a while.
const (
	avoidAfter  = 3 // handshakes
	avoidMemory = time.Minute
)

// unreached records that dialling a peer came to nothing.
func (p *peerState) unreached(now time.Time) {
	p.misses++
	if p.misses >= avoidAfter {
		p.avoidAt = now
	}
}

// reached records that there is a link.
func (p *peerState) reached() { p.misses, p.avoidAt = 0, time.Time{} }

func (p *peerState) avoided(now time.Time) bool {
	return !p.avoidAt.IsZero() && now.Sub(p.avoidAt) < avoidMemory
}

// Fast down, slow up: a link that has failed is used again after a while of calm.
const (
	minCalm    = 5 * time.Second
	maxCalm    = time.Minute
	flapMemory = 10 * time.Minute
)

func (m *Mesh) peer(id string) *peerState {
	p := m.peers[id]
	if p == nil {
		p = &peerState{}
		m.peers[id] = p
	}
	return p
}

func (p *peerState) calm(now time.Time) bool { return !now.Before(p.calmAt) }

// failed records that a link went down without having said so.
func (p *peerState) failed(now time.Time) {
	if now.Sub(p.lastDown) > flapMemory {
		p.flaps = 0
	}
	p.flaps++
	p.lastDown = now
}

// returned sets how long to wait before the link is trusted.
func (p *peerState) returned(now time.Time) {
	if p.flaps == 0 {
		return
	}
	p.calmAt = now.Add(min(minCalm<<min(p.flaps-1, 10), maxCalm))
}

// admit decides about a link whose handshake is complete, and registers it. The
// rules are those of docs/wire.md, section 2.
func (m *Mesh) admit(l *link) error {
	id := l.peer.Node
	old := m.links[id]
	switch {
	case old == nil:
	case l.peer.Boot < old.peer.Boot:
		return refusal(wire.CodeDuplicate, "a newer process of %s is linked, booted at %s", id, bootTime(old.peer.Boot))
	case l.peer.Boot > old.peer.Boot:
		m.log.Warn("peer has another process now", slog.String("peer", id), slog.String("boot", bootTime(l.peer.Boot)), slog.String("before", bootTime(old.peer.Boot)))
	case l.dialled == old.dialled:
		// The dialling end has given the old one up before us.
	case l.dialled != (m.self.Node < id):
		return refusal(wire.CodeDuplicate, "%s and %s are linked already", m.self.Node, id)
	}
	if old == nil && len(m.links) >= m.cfg.Links.Total {
		return refusal(wire.CodeTooMany, "%s has %d links", m.self.Node, len(m.links))
	}
	m.links[id] = l
	now := time.Now()
	if old != nil {
		m.changed(m.know.LinkDown(id, now))
		old.fail(refusal(wire.CodeDuplicate, "replaced by a newer connection of %s and %s", m.self.Node, id))
		m.letGo(old)
	}
	m.peer(id).returned(now)
	m.peer(id).reached()
	m.metrics.links.Set(float64(len(m.links)))
	if m.draining {
		l.say(m.goAway(time.Until(m.drainBy), "draining"))
	}
	m.sayKeep(l)
	m.know.LinkUp(id, l.peer.Region, l.main.ConnectionStats().SmoothedRTT/2, l.say, now)
	return nil
}

// linkDown lets go of a link that has ended.
func (m *Mesh) linkDown(l *link) {
	if m.links[l.peer.Node] != l {
		return // refused, or replaced before
	}
	delete(m.links, l.peer.Node)
	now := time.Now()
	if l.leaving {
		l.event(telemetry.LinkDown, "left")
	} else {
		l.event(telemetry.LinkDown, "failed")
		m.peer(l.peer.Node).failed(now)
	}
	m.changed(m.know.LinkDown(l.peer.Node, now))
	m.metrics.links.Set(float64(len(m.links)))
	m.metrics.forget(l.peer.Node)
	m.letGo(l)
}

// letGo takes off what hung on a link: children end, and tracks find another
// parent.
func (m *Mesh) letGo(l *link) {
	l.gone = true
	close(l.ended)
	for _, c := range l.children {
		m.dropChild(c)
	}
	for _, u := range m.upstreams {
		if u.next != nil && u.next.link == l {
			m.lost(u.next, "link_down")
		}
		if u.feed != nil && u.feed.link == l {
			m.lost(u.feed, "link_down")
		}
	}
}
