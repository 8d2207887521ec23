package world

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"trellis/internal/sim"
	"trellis/wire"
)

// session is what all crowds of a run share.
type session struct {
	clip   sim.Clip
	start  time.Time     // of the clip
	from   time.Time     // of the measurement
	lead   time.Duration // from the publisher to its node
	window time.Duration // over which a viewer's 95th percentile is taken
}

// due is when a frame reached the node where it entered.
func (s *session) entered(m sim.Media, i int) time.Time { return s.start.Add(s.clip.At(m, i) + s.lead) }

// crowd is the viewers of one node. A lane writes to those of one track, one
// after another; tracks have a mutex each, because there is a lane for each.
type crowd struct {
	session *session
	node    string
	tracks  [2]crowdTrack // by sim.Media

	mu    sync.Mutex
	joins tally
}

// crowdTrack is one track of a crowd. Its mutex is held by the lane for each
// packet, and by whoever reads the results.
type crowdTrack struct {
	mu      sync.Mutex
	crowd   *crowd
	media   sim.Media
	windows []window
	sinks   []*sink
	room    []sink // for those that come, one behind the other
	gaps    map[gapKey]*Gap
	lost    uint64        // frames that a viewer never got, with all who missed them
	worst   time.Duration // the longest time without a frame
	faults  map[string]uint64

	limits [rules]limit // what is in time for this node, now

	// The frame that was written last: most viewers get it in one go.
	frame   int
	now     time.Time
	age     time.Duration
	win     int
	got     uint64 // viewers that got it since
	counted bool   // it counts

	// What is checked to the last byte, once for all viewers.
	checked  int
	expected []byte
}

// window is what happened in one window of time.
type window struct {
	ages     tally
	viewers  uint64        // that received anything
	inTime   [rules]uint64 // of them, those whose 95th percentile is within the limit
	possible [rules]uint64 // of them, those for whom the graph allows the budget
	inBudget [rules]uint64
}

// rule is by which graph a viewer is judged.
type rule int

const (
	anyPair  rule = iota // every two nodes could have a link: the strictest
	measured             // the links that nodes had and measured
	rules
)

// limit is what is in time.
type limit struct {
	age      time.Duration
	possible bool // the graph allows the budget
}

type gapKey struct {
	first, count int
	at           int64
}

// Gap is a hole in what viewers of a node received, or a silence.
type Gap struct {
	Node    string    `json:"node"`
	Track   string    `json:"track"`
	At      time.Time `json:"at"`
	First   int       `json:"first_frame"`
	Frames  int       `json:"frames"` // that never came, zero for a mere silence
	Silence float64   `json:"silence_ms"`
	Viewers int       `json:"viewers"`
	Cause   string    `json:"cause,omitempty"` // by the events of nodes, see Oracle
}

func newCrowd(s *session, node string) *crowd {
	c := &crowd{session: s, node: node}
	for m := range c.tracks {
		c.tracks[m] = crowdTrack{
			crowd: c, media: sim.Media(m), gaps: map[gapKey]*Gap{}, faults: map[string]uint64{}, frame: -1, checked: -1,
		}
	}
	return c
}

// setLimits says what is in time for the viewers of this node from now on.
func (c *crowd) setLimits(l [rules]limit) {
	for m := range c.tracks {
		t := &c.tracks[m]
		t.mu.Lock()
		t.limits = l
		t.mu.Unlock()
	}
}

// sink is one track of one viewer: an rtc.SinkWriter.
type sink struct {
	track   *crowdTrack
	joined  time.Time
	lastAt  time.Time
	seq     uint64
	started bool
	inFrame bool
	cur     int
	last    int // the last whole frame, -1 before the first
	win     int
	total   uint32
	late    [rules]uint32
}

func (c *crowd) sink(m sim.Media, joined time.Time) *sink {
	t := &c.tracks[m]
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.room) == 0 {
		t.room = make([]sink, 1)
	}
	s := &t.room[0]
	t.room = t.room[1:]
	*s = sink{track: t, joined: joined, last: -1, win: -1}
	t.sinks = append(t.sinks, s)
	return s
}

// reserve makes room for n viewers: see rtc.Sinks.Reserve.
func (c *crowd) reserve(n int) {
	for m := range c.tracks {
		t := &c.tracks[m]
		t.mu.Lock()
		t.room = make([]sink, n)
		t.mu.Unlock()
	}
}

// maxGapKinds bounds what is kept of gaps per track of a node.
const maxGapKinds = 4096

// WritePacket implements rtc.SinkWriter: it takes a packet as a player would, and
// looks at everything that a player could see.
func (s *sink) WritePacket(index uint64, marker bool, payload []byte) {
	t := s.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.started && index != s.seq+1 {
		t.fault("rtp_sequence")
	}
	s.started, s.seq = true, index
	body, first := payload, true
	if t.media == sim.Video {
		body, first = vp8Body(payload)
	}
	if first {
		n, ok := frameNumber(t.media, body)
		if !ok {
			t.fault("damaged")
			return
		}
		s.cur, s.inFrame = n, true
	}
	if !s.inFrame {
		return // the rest of what was damaged
	}
	t.check(s.cur, first, body)
	if t.media == sim.Audio || marker {
		s.inFrame = false
		s.whole(s.cur)
	}
}

// vp8Body takes off the payload descriptor: RFC 7741, Section 4.2.
func vp8Body(p []byte) (body []byte, first bool) {
	n := 1
	if len(p) > 1 && p[0]&0x80 != 0 {
		x := p[1]
		n = 2
		if x&0x80 != 0 {
			n++
			if len(p) > 2 && p[2]&0x80 != 0 {
				n++
			}
		}
		if x&0x40 != 0 {
			n++
		}
		if x&0x30 != 0 {
			n++
		}
	}
	if len(p) < n {
		return nil, false
	}
	return p[n:], p[0]&0x10 != 0
}

// frameNumber reads the number that a clip writes into each frame.
func frameNumber(m sim.Media, b []byte) (int, bool) {
	header := 1
	if m == sim.Video {
		if len(b) == 0 {
			return 0, false
		}
		header = 3
		if b[0]&1 == 0 {
			header = 10
		}
	}
	if len(b) < header+4 {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(b[header:])), true
}

// check compares a packet with what was published, the first time it is seen.
func (t *crowdTrack) check(frame int, first bool, body []byte) {
	if frame < t.checked {
		return
	}
	if first {
		if frame == t.checked {
			t.expected = nil // another viewer's turn
			return
		}
		t.checked, t.expected = frame, t.crowd.session.clip.Frame(t.media, frame)
	}
	if t.expected == nil {
		return
	}
	if !bytes.HasPrefix(t.expected, body) {
		t.fault("foreign")
		t.expected = nil
		return
	}
	t.expected = t.expected[len(body):]
}

func (t *crowdTrack) fault(what string) { t.faults[what]++ }

// whole takes a frame whose last packet has come.
func (s *sink) whole(n int) {
	t := s.track
	if n != t.frame {
		t.turn(n)
	}
	switch {
	case s.last < 0:
		if t.media == sim.Video {
			t.crowd.mu.Lock()
			t.crowd.joins.add(t.now.Sub(s.joined), 1)
			t.crowd.mu.Unlock()
		}
	case n == s.last+1:
		s.silence(n, 0)
	case n <= s.last:
		t.fault("twice_or_backwards")
		return
	default:
		s.silence(s.last+1, n-s.last-1)
	}
	s.last, s.lastAt = n, t.now
	if !t.counted || t.crowd.session.entered(t.media, n).Before(s.joined) {
		return
	}
	if s.win != t.win {
		s.close()
		s.win = t.win
	}
	t.got++
	s.total++
	for r := range s.late {
		if t.age > t.limits[r].age {
			s.late[r]++
		}
	}
}

// turn begins another frame.
func (t *crowdTrack) turn(n int) {
	t.settle()
	se := t.crowd.session
	t.frame, t.now = n, time.Now()
	t.age = t.now.Sub(se.entered(t.media, n))
	since := se.entered(t.media, n).Sub(se.from)
	t.counted = !se.from.IsZero() && since >= 0
	if t.counted {
		t.win = int(since / se.window)
		for len(t.windows) <= t.win {
			t.windows = append(t.windows, window{})
		}
	}
}

// settle puts the last frame's age into the histogram, for all who got it.
func (t *crowdTrack) settle() {
	if t.got > 0 {
		t.windows[t.win].ages.add(t.age, t.got)
		t.got = 0
	}
}

// silence records a gap: frames that did not come, or nothing for long.
func (s *sink) silence(first, missing int) {
	t := s.track
	t.lost += uint64(missing)
	if t.counted { // what never comes is late
		s.total += uint32(missing)
		for r := range s.late {
			s.late[r] += uint32(missing)
		}
	}
	// What comes in pieces of a group comes in bursts anyway.
	quiet := t.now.Sub(s.lastAt)
	if !s.lastAt.IsZero() && t.counted {
		t.worst = max(t.worst, quiet)
	}
	if missing == 0 && quiet < silenceShown || s.lastAt.IsZero() {
		return
	}
	key := gapKey{first, missing, t.now.UnixMilli() / 5}
	g := t.gaps[key]
	if g == nil {
		if len(t.gaps) >= maxGapKinds {
			t.fault("gaps_not_kept")
			return
		}
		g = &Gap{
			Node: t.crowd.node, Track: t.media.String(), At: t.now, First: first, Frames: missing,
			Silence: float64(quiet) / float64(time.Millisecond),
		}
		t.gaps[key] = g
	}
	g.Viewers++
}

// trackOf returns the name of the track for a word of sim.Media.
func trackOf(media string) string {
	name := sim.VideoTrack
	if media == sim.Audio.String() {
		name = sim.AudioTrack
	}
	return wire.TrackName{Broadcast: broadcast, Track: name}.String()
}

// silenceShown is from when on a time without a frame is a gap.
const silenceShown = 150 * time.Millisecond

// close judges the viewer's last window.
func (s *sink) close() {
	t := s.track
	if s.win < 0 || s.win >= len(t.windows) || s.total == 0 {
		return
	}
	w := &t.windows[s.win]
	w.viewers++
	for r, l := range t.limits {
		good := uint64(s.late[r])*20 <= uint64(s.total) // the 95th percentile is in time
		if good {
			w.inTime[r]++
		}
		if l.possible {
			w.possible[r]++
			if good {
				w.inBudget[r]++
			}
		}
	}
	s.total, s.late = 0, [rules]uint32{}
}
