package backbone

import (
	"context"
	"log/slog"
	"time"

	"trellis/wire"
	"trellis/wire/peer"
)

// wants counts why routes want a link to a node.
type wants map[string]int

// chooseEvery is how often the link set is looked at when nothing calls for it.
const chooseEvery = 10 * time.Second

// A link that neither end wants and that carries nothing is closed by the end
// that dialled it, after keepIdle, and announced lastCall before. One that was
// wanted to see how long it is goes at once: what it measured is remembered.
const (
	keepIdle = time.Minute
	lastCall = 2 * time.Second
)

// unheardAfter is how long a node that discovery names may be without an advert
// before somebody looks for it: the mesh may be in two parts.
const unheardAfter = 20 * time.Second

// want asks for a link to a node, because a route or a backup uses it: why is
// a word for the API. Each call needs an unwant with the same words. A link that
// is there is kept, one that is not is dialled, within Config.Links.Routes. It
// must be called on the loop.
func (m *Mesh) want(node, why string) {
	w := m.wants[node]
	if w == nil {
		w = wants{}
		m.wants[node] = w
		m.chooseDue = true
	}
	w[why]++
	m.peer(node).trial = why == wantShortcut
}

// unwant takes a want back.
func (m *Mesh) unwant(node, why string) {
	w := m.wants[node]
	switch {
	case w[why] == 0:
		panic("backbone: unwant of a link that was not wanted: " + node + ", " + why)
	case w[why] > 1:
		w[why]--
		return
	}
	delete(w, why)
	if len(w) == 0 {
		delete(m.wants, node)
		m.chooseDue = true
	}
}

// chooseLinks decides with whom to link, and dials whom there is no link with.
func (m *Mesh) chooseLinks(now time.Time) {
	m.chooseDue, m.chosenAt = false, now
	s := m.nodes.Load()
	m.chosen = m.know.Choose(s.Nodes,
		func(id string) bool { return m.peer(id).avoided(now) },
		func(id string) bool { return m.wants[id] != nil }, now)
	for id, cause := range m.chosen {
		if m.links[id] == nil && !m.dialers[id] {
			m.log.Debug("link wanted", slog.String("peer", id), slog.String("cause", cause.String()))
			m.startDialer(id)
		}
	}
	for _, l := range m.links {
		m.sayKeep(l)
		m.closeIdle(l, now)
	}
	for id, p := range m.peers {
		if _, ok := s.Find(id); !ok && m.links[id] == nil && now.Sub(p.lastDown) > flapMemory {
			delete(m.peers, id) // discovery forgets it, so do we
		}
	}
}

// sayKeep tells the peer whether we want the link, where it does not know. At
// first it takes it that who has dialled wants it, and the other does not.
func (m *Mesh) sayKeep(l *link) {
	_, wanted := m.chosen[l.peer.Node]
	if wanted = wanted || m.wants[l.peer.Node] != nil; wanted != l.wanted {
		l.wanted = wanted
		l.say(peer.Keep{Wanted: wanted})
	}
}

// closeIdle closes a link that has been of no use to either end for a while.
func (m *Mesh) closeIdle(l *link, now time.Time) {
	l.feedsMu.RLock()
	busy := len(l.feeds) > 0 || len(l.children) > 0
	l.feedsMu.RUnlock()
	idle := keepIdle
	if m.peer(l.peer.Node).trial {
		idle = 0
	}
	switch {
	case !l.dialled || l.wanted || l.kept || busy:
		l.usedAt = now
	case now.Sub(l.usedAt) >= idle && !l.leaving:
		l.leaving = true // we take nothing more from it, and its end is no failure
		l.say(peer.GoAway{Code: wire.CodeCancel, DeadlineMs: uint64(lastCall.Milliseconds()), Reason: "the link is not wanted"})
		l.tasks.start(func(ctx context.Context) {
			timer := time.NewTimer(lastCall)
			defer timer.Stop()
			select {
			case <-ctx.Done():
			case <-timer.C:
				l.fail(refusal(wire.CodeCancel, "neither end wants the link"))
			}
		})
	}
}
