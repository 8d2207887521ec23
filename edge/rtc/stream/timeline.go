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
}

// NewTimeline returns a Timeline that begins now, at the time of day: whoever
// sees its times later, on a clock that agrees with this one, knows how old a
// frame is. It also leaves room for corrections by sender reports, which must not
// make a PTS negative: containers cannot say that.
func NewTimeline() *Timeline {
	now := time.Now()
	return &Timeline{clock: framing.NewClock(now, now.UnixMicro())}
}

// trackTimeline is one track's part of a Timeline.
type trackTimeline struct {
	timeline *Timeline
	clock    *framing.TrackClock
}

func (t *Timeline) track(c framing.Codec) trackTimeline {
	t.mu.Lock()
	defer t.mu.Unlock()
	return trackTimeline{timeline: t, clock: t.clock.Track(c.ClockRate(), c.Audio())}
}

func (t trackTimeline) pts(timestamp uint32, arrival time.Time) int64 {
	t.timeline.mu.Lock()
	defer t.timeline.mu.Unlock()
	return max(t.clock.PTS(timestamp, arrival), 0)
}

func (t trackTimeline) report(ntp uint64, timestamp uint32) {
	t.timeline.mu.Lock()
	defer t.timeline.mu.Unlock()
	t.clock.SenderReport(ntp, timestamp)
}
