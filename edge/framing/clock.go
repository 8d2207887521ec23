package framing

import "time"

// Clock maps the RTP timestamps of a publisher's tracks to one timeline, so that
// audio and video stay together on the other side. Presentation times (PTS) are
// in microseconds.
//
// Before RTCP sender reports tell how the tracks' timestamps relate, each track is
// placed by the arrival of its first packet. Once there are reports of two tracks,
// the leader's timeline (audio, if there is any) stays what it is and the others
// are brought to it gradually: no PTS ever jumps, and none goes backwards because
// of a report.
//
// Reports whose clocks cannot be true are left out: see maxSkew.
type Clock struct {
	base   time.Time // the time of PTS origin
	origin int64
	tracks []*TrackClock
}

const (
	// maxSkew is how far reports may move a track from where arrival put it. Senders
	// exist whose reports are not of one clock; buffers of capture and encoding
	// differ by less.
	maxSkew = 2 * time.Second
	// slewDivisor is the share by which a track's time may run fast or slow while
	// it is brought to the leader's: 20 ms in each second, not visible.
	slewDivisor = 50
	// maxJump is how far a timestamp may be from where its arrival says it should
	// be: beyond that the source began a new timeline.
	maxJump = 10 * time.Second
)

// NewClock returns a Clock on which a packet that arrives at base has the PTS
// origin. With the unix time of base as origin, PTS read as times of day.
func NewClock(base time.Time, origin int64) *Clock {
	return &Clock{base: base, origin: origin}
}

// Track adds a track whose timestamps run at rate Hz. The first one that leads
// sets the pace: give that part to audio, for gaps in sound are heard and a frame
// a few milliseconds off is not seen.
func (c *Clock) Track(rate uint32, lead bool) *TrackClock {
	t := &TrackClock{clock: c, rate: int64(rate), lead: lead}
	c.tracks = append(c.tracks, t)
	return t
}

// leader returns the track that the others follow: the first that leads and has
// reports, else the first that has reports.
func (c *Clock) leader() *TrackClock {
	var first *TrackClock
	for _, t := range c.tracks {
		switch {
		case !t.reported:
		case t.lead:
			return t
		case first == nil:
			first = t
		}
	}
	return first
}

// TrackClock is one track's part of a Clock.
type TrackClock struct {
	clock *Clock
	rate  int64
	lead  bool

	unwrap Unwrapper[uint32]
	begun  bool
	zero   int64 // unwrapped timestamp at which the track was placed
	place  int64 // PTS there, by arrival
	shift  int64 // what is added to follow the leader, now
	ticks  int64 // newest timestamp that shift was computed for

	reported bool
	ntpTicks int64 // unwrapped timestamp of the last report
	ntp      int64 // its NTP time in microseconds
}

// PTS returns the presentation time of an RTP timestamp that arrived at the given time.
func (t *TrackClock) PTS(timestamp uint32, arrival time.Time) int64 {
	ticks := t.unwrap.Unwrap(timestamp)
	byArrival := t.clock.origin + arrival.Sub(t.clock.base).Microseconds()
	if t.begun {
		if d := t.raw(ticks) + t.shift - byArrival; d > maxJump.Microseconds() || d < -maxJump.Microseconds() {
			t.begun, t.reported = false, false
		}
	}
	if !t.begun {
		t.begun, t.zero, t.place, t.shift, t.ticks = true, ticks, byArrival, 0, ticks
	}
	if ticks > t.ticks {
		t.slew(ticks)
		t.ticks = ticks
	}
	return t.raw(ticks) + t.shift
}

// raw is the PTS by arrival of the first packet alone.
func (t *TrackClock) raw(ticks int64) int64 { return t.place + t.micros(ticks-t.zero) }

// micros converts ticks, without overflow for centuries of them.
func (t *TrackClock) micros(ticks int64) int64 {
	return ticks/t.rate*1_000_000 + ticks%t.rate*1_000_000/t.rate
}

// slew moves the track towards the leader by as much as the time since the last
// frame allows.
func (t *TrackClock) slew(ticks int64) {
	want, ok := t.target()
	if !ok {
		return
	}
	step := t.micros(ticks-t.ticks) / slewDivisor
	t.shift += min(max(want-t.shift, -step), step)
}

// target returns the shift that would put the track exactly beside the leader.
func (t *TrackClock) target() (int64, bool) {
	l := t.clock.leader()
	if l == nil || l == t || !t.reported || !l.begun {
		return 0, false
	}
	// One moment of the sender's clock, seen on both timelines.
	want := l.raw(l.ntpTicks) + l.shift + (t.ntp - l.ntp)
	shift := want - t.raw(t.ntpTicks)
	if shift > maxSkew.Microseconds() || shift < -maxSkew.Microseconds() {
		return 0, false
	}
	return shift, true
}

// SenderReport takes the NTP time and the RTP timestamp of an RTCP sender report
// (RFC 3550, Section 6.4.1). Reports before the first packet are ignored.
func (t *TrackClock) SenderReport(ntp uint64, timestamp uint32) {
	if !t.begun || ntp == 0 { // Section 6.4.1: zero when the sender has no clock
		return
	}
	// The report's timestamp is near the newest packet's; it must not move the unwrapper.
	u := t.unwrap
	t.ntpTicks, t.ntp, t.reported = u.Unwrap(timestamp), ntpMicros(ntp), true
}

// Synchronised reports whether the track is known to be within a frame or so of
// the leader: it is the leader, or it follows one and has arrived there.
func (t *TrackClock) Synchronised() bool {
	if t.clock.leader() == t {
		return true
	}
	want, ok := t.target()
	const near = 10_000 // microseconds
	return ok && want-t.shift < near && t.shift-want < near
}

// ntpMicros turns 32.32 fixed point seconds into microseconds.
func ntpMicros(ntp uint64) int64 {
	return int64(ntp>>32)*1_000_000 + int64((ntp&0xffffffff)*1_000_000>>32)
}
