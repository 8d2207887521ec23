package backbone

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/wire"
)

// Lanes of a link (docs/wire.md, section 2).
const (
	laneMain  = 0
	laneBulk  = 1 // the first of those for video
	baseLanes = 2 // that a link always has
	maxLanes  = 8
)

// lane is one connection of a link.
type lane struct {
	// Fixed at construction.
	index uint64
	conn  *quic.Conn

	open      atomic.Int64 // groups being sent
	backlog   atomic.Int64 // bytes that these are likely to have left
	receiving atomic.Int64 // groups being received

	mu     sync.Mutex
	meter  writeMeter
	recent laneRecent
}

// laneRecent is what was measured of a lane in the last second.
type laneRecent struct {
	at      time.Time
	rateBps float64
	limited float64 // share of the time in which something waited for the window
}

func newLane(index uint64, conn *quic.Conn) *lane { return &lane{index: index, conn: conn} }

// write writes to a stream of the lane. It returns when all is packetized, so
// the time that it takes is time spent waiting for the window.
func (ln *lane) write(s *quic.SendStream, b []byte) error {
	ln.mu.Lock()
	ln.meter.begin(time.Now(), len(b))
	ln.mu.Unlock()
	n, err := s.Write(b)
	ln.mu.Lock()
	ln.meter.end(time.Now(), len(b), n)
	ln.mu.Unlock()
	return err
}

// sample measures the time since the last sample.
func (ln *lane) sample(now time.Time) laneRecent {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	rate, limited := ln.meter.take(now)
	ln.recent = laneRecent{at: now, rateBps: rate, limited: limited}
	return ln.recent
}

func (ln *lane) dead() bool { return ln.conn.Context().Err() != nil }

// writeMeter tells how much was written in a stretch of time, and in how much of
// it something waited to be. Times are passed in, and do not go backwards.
type writeMeter struct {
	waiting int // writes under way
	pending int // their bytes
	since   time.Time
	blocked time.Duration // of this stretch
	bytes   int           // of this stretch
	began   time.Time
}

func (m *writeMeter) begin(now time.Time, n int) {
	if m.waiting == 0 {
		m.since = now
	}
	m.waiting++
	m.pending += n
}

func (m *writeMeter) end(now time.Time, n, written int) {
	m.waiting--
	m.pending -= n
	m.bytes += written
	if m.waiting == 0 {
		m.blocked += now.Sub(m.since)
	}
}

// take returns the rate and the share of time that was blocked since it was
// called last.
func (m *writeMeter) take(now time.Time) (rateBps, share float64) {
	if m.waiting > 0 {
		m.blocked += now.Sub(m.since)
		m.since = now
	}
	if d := now.Sub(m.began); !m.began.IsZero() && d > 0 {
		rateBps = float64(m.bytes) * 8 / d.Seconds()
		share = min(float64(m.blocked)/float64(d), 1)
	}
	m.began, m.blocked, m.bytes = now, 0, 0
	return rateBps, share
}

// laneSet holds the lanes of a link besides lane 0, in order of their index.
type laneSet struct {
	usable atomic.Int64 // lanes with a smaller index are given new groups
	all    atomic.Pointer[[]*lane]
	mu     sync.Mutex // for whoever changes all
}

func (s *laneSet) load() []*lane {
	if all := s.all.Load(); all != nil {
		return *all
	}
	return nil
}

// put adds a lane and returns the one that it replaces, if any.
func (s *laneSet) put(ln *lane) (old *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.load()), func(o *lane) bool {
		if o.index == ln.index {
			old = o
			return true
		}
		return false
	})
	next = append(next, ln)
	slices.SortFunc(next, func(a, b *lane) int { return int(a.index) - int(b.index) })
	s.all.Store(&next)
	return old
}

func (s *laneSet) remove(ln *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.load()), func(o *lane) bool { return o == ln })
	s.all.Store(&next)
}

// pick returns the lane for a new group that is likely to have so many bytes.
// Groups are independent of one another, so any order between lanes will do:
// video goes where the least is waiting, all else over lane 0, on which there is
// no video unless there is no other lane.
func (l *link) pick(kind wire.Kind) *lane {
	best := l.lane0
	if kind != wire.KindVideo {
		return best
	}
	usable := uint64(l.lanes.usable.Load())
	for _, ln := range l.lanes.load() {
		if ln.index >= usable || ln.dead() {
			continue
		}
		if best == l.lane0 || ln.backlog.Load() < best.backlog.Load() {
			best = ln
		}
	}
	return best
}

// LaneStatus is one connection of a link, as the end that shows it sends over it.
type LaneStatus struct {
	Lane          int     `json:"lane"`
	Retiring      bool    `json:"retiring,omitempty"` // gets no new groups, and is closed when idle
	OpenGroups    int64   `json:"open_groups"`
	BacklogBytes  int64   `json:"backlog_bytes"`  // that open groups are likely to have left
	RateBps       float64 `json:"rate_bps"`       // of groups, over the last second
	WindowLimited float64 `json:"window_limited"` // share of the last second in which a write waited for the window
	WindowBytes   uint64  `json:"window_bytes"`   // of congestion control
	RTTMs         float64 `json:"rtt_ms"`
	MinRTTMs      float64 `json:"min_rtt_ms"`
	PacketsSent   uint64  `json:"packets_sent"`
	PacketsLost   uint64  `json:"packets_lost"`
}

// laneStatus returns all lanes, lane 0 first. It may be called from any goroutine.
func (l *link) laneStatus() []LaneStatus {
	all := append([]*lane{l.lane0}, l.lanes.load()...)
	out := make([]LaneStatus, 0, len(all))
	now := time.Now()
	for _, ln := range all {
		st := ln.conn.ConnectionStats()
		s := LaneStatus{
			Lane: int(ln.index), Retiring: ln.index > 0 && ln.index >= uint64(l.lanes.usable.Load()),
			OpenGroups: ln.open.Load(), BacklogBytes: max(ln.backlog.Load(), 0),
			WindowBytes: st.CongestionWindow, RTTMs: millis(st.SmoothedRTT), MinRTTMs: millis(st.MinRTT),
			PacketsSent: st.PacketsSent, PacketsLost: st.PacketsLost,
		}
		ln.mu.Lock()
		if r := ln.recent; now.Sub(r.at) < 3*time.Second { // an idle link is looked at seldom
			s.RateBps, s.WindowLimited = r.rateBps, r.limited
		}
		ln.mu.Unlock()
		out = append(out, s)
	}
	return out
}
