package backbone

import (
	"slices"
	"sync"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/peer"
)

// ageMeter knows how old the last objects were when their first byte came from
// a parent. Receivers add to it, the loop asks.
type ageMeter struct {
	mu     sync.Mutex
	from   time.Time // what comes before it is from the cache
	last   time.Time // when an object came
	ring   [64]time.Duration
	n      int
	err    time.Duration
	unsync bool
}

const (
	// ageRest is how long after a subscription began what comes is counted: the
	// first objects were waiting for us, and are older than the path is long.
	ageRest = time.Second
	// ageStale is after what silence nothing is known any more.
	ageStale = 15 * time.Second
)

// restart forgets everything: the feed begins to deliver.
func (a *ageMeter) restart(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from, a.n, a.last = now.Add(ageRest), 0, time.Time{}
}

// add takes an object that begins to arrive. wall is the node's own clock, with
// which objects are stamped, now the timeline of timers.
func (a *ageMeter) add(h relay.ObjectHeader, wall, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Before(a.from) || h.Ingress == 0 {
		return
	}
	a.last, a.unsync = now, h.IngressErr < 0
	if a.unsync {
		return
	}
	a.err = time.Duration(h.IngressErr) * time.Microsecond
	a.ring[a.n%len(a.ring)] = max(time.Duration(wall.UnixMicro()-h.Ingress)*time.Microsecond, 0)
	a.n++
}

// value returns the median of the last objects.
func (a *ageMeter) value(now time.Time) peer.Age {
	a.mu.Lock()
	ring, n, err, unsync := a.ring, min(a.n, len(a.ring)), a.err, a.unsync
	silent := a.last.IsZero() || now.Sub(a.last) > ageStale
	a.mu.Unlock()
	switch {
	case silent:
		return peer.Age{}
	case unsync || n == 0:
		return peer.Age{State: peer.AgeUnsynchronised}
	}
	slices.Sort(ring[:n])
	return peer.Age{State: peer.AgeMeasured, P50: ring[n/2], Err: err.Truncate(time.Microsecond)}
}

// Ages that have moved by less than that are not told again.
const (
	minAgeMove        = 500 * time.Microsecond
	minAgeMovePercent = 5
)

// ageMoved reports whether b is worth telling to who knows a.
func ageMoved(a, b peer.Age) bool {
	if a.State != b.State {
		return true
	}
	d := (a.P50 - b.P50).Abs()
	return d >= minAgeMove && d*100 >= a.P50*minAgeMovePercent
}

// age returns how old the track's objects are here.
func (u *upstream) age(now time.Time) peer.Age {
	if u.feed == nil {
		return peer.Age{}
	}
	return u.feed.ages.value(now)
}

// hopsTo returns the nodes from the origin of a track to us, with the ages that
// they have measured.
func (m *Mesh) hopsTo(name wire.TrackName) []peer.Hop {
	path := m.pathTo(name)
	hops := make([]peer.Hop, len(path))
	u := m.carried[name]
	for i, node := range path {
		hops[i].Node = node
		if u == nil || u.feed == nil {
			continue
		}
		if node == m.self.Node {
			hops[i].Age = u.told.age
		} else if k := slices.IndexFunc(u.feed.hops, func(h peer.Hop) bool { return h.Node == node }); k >= 0 {
			hops[i].Age = u.feed.hops[k].Age
		}
	}
	return hops
}

// tellAges tells the children how old objects are on their way to us, where that
// has moved since they were told. Called once a second.
func (m *Mesh) tellAges(now time.Time) {
	for _, u := range m.upstreams {
		name := u.track.Name()
		if age := u.age(now); ageMoved(u.told.age, age) {
			u.told.age, u.told.due = age, true
		}
		if u.cutOff || len(m.children[name]) == 0 {
			continue
		}
		hops := m.hopsTo(name)
		if !slices.EqualFunc(hops, u.told.hops, func(a, b peer.Hop) bool { return a.Node == b.Node && !ageMoved(b.Age, a.Age) }) {
			u.told.hops = hops
			m.tellPath(name, hops)
		}
	}
}
