package stream

import (
	"sync"
	"time"

	"trellis/edge/framing"
)

// Timeline puts the tracks of one peer on one presentation timeline. It is safe
// for concurrent use, since each track has its own goroutines.
type Timeline struct {
	mu    sync.Mutex
	clock *framing.Clock
	trips leastOf // to the peer and back
}

// NewTimeline returns a Timeline that begins now, at the time of day: whoever
// sees its times later, on a clock that agrees with this one, knows how old a
// frame is. It also leaves room for corrections by sender reports, which must not
// make a PTS negative: containers cannot say that.
func NewTimeline() *Timeline {
	now := time.Now()
	return &Timeline{clock: framing.NewClock(now, now.UnixMicro())}
}

// RoundTrip takes a round trip to the peer, by which its clock is known better.
func (t *Timeline) RoundTrip(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trips.add(max(d, 0))
}

// trackTimeline is one track's part of a Timeline.
type trackTimeline struct {
	timeline *Timeline
	clock    *framing.TrackClock
	peer     *peerClock // its own: senders exist whose reports are not of one clock
}

func (t *Timeline) track(c framing.Codec) trackTimeline {
	t.mu.Lock()
	defer t.mu.Unlock()
	return trackTimeline{timeline: t, clock: t.clock.Track(c.ClockRate(), c.Audio()), peer: &peerClock{}}
}

func (t trackTimeline) pts(timestamp uint32, arrival time.Time) int64 {
	t.timeline.mu.Lock()
	defer t.timeline.mu.Unlock()
	return max(t.clock.PTS(timestamp, arrival), 0)
}

func (t trackTimeline) report(ntp uint64, timestamp uint32, arrival time.Time) {
	t.timeline.mu.Lock()
	defer t.timeline.mu.Unlock()
	if t.clock.SenderReport(ntp, timestamp) {
		t.peer.set()
	}
	if ntp != 0 {
		t.peer.reported(NTPTime(ntp), arrival)
	}
}

// captured returns when a frame was captured by the peer's reports, and what its clock
// said at the time of arrival.
func (t trackTimeline) captured(timestamp uint32, arrival time.Time) (c Capture) {
	t.timeline.mu.Lock()
	defer t.timeline.mu.Unlock()
	if us, ok := t.clock.NTP(timestamp); ok {
		c.At = ntpMicros(us)
	}
	c.Now, c.Error = t.peer.at(arrival, &t.timeline.trips)
	return c
}
