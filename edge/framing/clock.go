package framing

import "time"

// Clock maps the RTP timestamps of a publisher's tracks to one timeline, so that
// audio and video stay together on the other side. Presentation times (PTS) are
// in microseconds.
//
// Before RTCP sender reports tell how the tracks' timestamps relate, each track is
// placed by the arrival of its first packet. The first report of the leader (audio,
// if there is any) fixes how the sender's clock relates to the timeline, so that
// the leader stays where it is; from then on every track is brought gradually to
// where its own reports put it. No PTS ever jumps because of a report, and the
// drift between the sender's sound card and its clock is followed.
type Clock struct {
	base   time.Time // of PTS origin
	origin int64
	tracks []*TrackClock

	led    *TrackClock // the track that fixed offset; nil before the first report
	offset int64       // PTS minus the sender's NTP time, in microseconds
}

const (
	// maxSkew is how far reports may move a track from where arrival put it. Senders
	// exist whose reports are not of one clock; buffers of capture and encoding
	// differ by less.
	maxSkew = 2_000_000
	// maxDrift is how far the leader may drift before it is taken that the sender's
	// clock was set, which must not move anything.
	maxDrift = 100_000
	// A track's time may run fast or slow by one part in this many while it is
	// brought to its place: 20 ms in each second for video, which nobody sees, and
	// 1 ms for the leader, ten times the drift of a poor sound card.
	followerSlew = 50
	leaderSlew   = 1000
	// maxJump is how far a timestamp may be from where its arrival says it should
	// be: beyond that the source began a new timeline.
	maxJump = 10_000_000
	// synchronisedWithin is well below what a viewer notices between sound and lips.
	synchronisedWithin = 10_000
)

// NewClock returns a Clock on which a packet that arrives at base has the PTS
// origin. With the unix time of base as origin, PTS read as times of day.
func NewClock(base time.Time, origin int64) *Clock {
	return &Clock{base: base, origin: origin}
}

// Track adds a track whose timestamps run at rate Hz. Give lead to audio: gaps in
// sound are heard, and a frame a few milliseconds off is not seen.
func (c *Clock) Track(rate uint32, lead bool) *TrackClock {
	t := &TrackClock{clock: c, rate: int64(rate), lead: lead}
	c.tracks = append(c.tracks, t)
	return t
}

// elect fixes the offset after a report: anew when there is a better leader than
// the one that fixed it, or when the sender's clock was set.
func (c *Clock) elect() {
	var best *TrackClock
	for _, t := range c.tracks {
		if t.reported && (best == nil || t.lead && !best.lead) {
			best = t
		}
	}
	if best == c.led && best != nil {
		if d := best.want() - best.shift; d <= maxDrift && d >= -maxDrift {
			return
		}
	}
	if c.led = best; best != nil {
		c.offset = best.raw(best.ntpTicks) + best.shift - best.ntp
	}
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
	shift  int64 // what reports have moved it by so far
	newest int64 // unwrapped timestamp up to which it was moved

	early    uint64 // NTP time of a report before the first packet, zero without
	earlyAt  uint32 // and its RTP timestamp
	reported bool
	ntpTicks int64 // unwrapped timestamp of the last report
	ntp      int64 // its NTP time in microseconds
}

// PTS returns the presentation time of an RTP timestamp that arrived at the given
// time. The PTS of one track rise with its timestamps.
func (t *TrackClock) PTS(timestamp uint32, arrival time.Time) int64 {
	ticks := t.unwrap.Unwrap(timestamp)
	byArrival := t.clock.origin + arrival.Sub(t.clock.base).Microseconds()
	if t.begun {
		if d := t.raw(ticks) + t.shift - byArrival; d > maxJump || d < -maxJump {
			t.begun, t.reported = false, false
			t.clock.elect()
		}
	}
	if !t.begun {
		t.begun, t.zero, t.place, t.shift, t.newest = true, ticks, byArrival, 0, ticks
		t.SenderReport(t.early, t.earlyAt)
		t.early = 0
	}
	if ticks > t.newest {
		t.slew(ticks)
		t.newest = ticks
	}
	return t.raw(ticks) + t.shift
}

// SenderReport takes the NTP time and the RTP timestamp of an RTCP sender report
// (RFC 3550, Section 6.4.1), and tells whether the sender's clock was set since the last
// one. A report before the first packet counts from that on.
func (t *TrackClock) SenderReport(ntp uint64, timestamp uint32) (set bool) {
	if !t.begun || ntp == 0 { // Section 6.4.1: zero when the sender has no clock
		t.early, t.earlyAt = ntp, timestamp
		return false
	}
	// Packets alone move the unwrapper: a report may be of a moment yet to come.
	u := t.unwrap
	ticks, at := u.Unwrap(timestamp), ntpMicros(ntp)
	if t.reported {
		d := at - t.ntpAt(ticks)
		set = d > maxDrift || d < -maxDrift
	}
	t.ntpTicks, t.ntp, t.reported = ticks, at, true
	t.clock.elect()
	return set
}

// NTP returns what the sender's clock said, by its last report, at the moment of an RTP
// timestamp: in microseconds of the NTP era. False: it has not reported yet.
func (t *TrackClock) NTP(timestamp uint32) (micros int64, ok bool) {
	if !t.reported {
		return 0, false
	}
	u := t.unwrap
	return t.ntpAt(u.Unwrap(timestamp)), true
}

func (t *TrackClock) ntpAt(ticks int64) int64 { return t.ntp + t.micros(ticks-t.ntpTicks) }

// Synchronised reports whether reports say where the track belongs, and it is there.
func (t *TrackClock) Synchronised() bool {
	if t.clock.led == nil || !t.reported {
		return false
	}
	d := t.want() - t.shift
	return d < synchronisedWithin && d > -synchronisedWithin
}

// raw is the PTS by arrival of the first packet alone.
func (t *TrackClock) raw(ticks int64) int64 { return t.place + t.micros(ticks-t.zero) }

// want is the shift that would put the track where its last report says.
func (t *TrackClock) want() int64 {
	return t.ntp + t.clock.offset - t.raw(t.ntpTicks)
}

// slew moves the track by as much as the time since the newest frame allows.
func (t *TrackClock) slew(ticks int64) {
	if t.clock.led == nil || !t.reported {
		return
	}
	want := t.want()
	if want > maxSkew || want < -maxSkew {
		return
	}
	slew := int64(followerSlew)
	if t.clock.led == t {
		slew = leaderSlew
	}
	step := t.micros(ticks-t.newest) / slew
	t.shift += min(max(want-t.shift, -step), step)
}

// micros converts ticks; it does not overflow for centuries of them.
func (t *TrackClock) micros(ticks int64) int64 {
	return ticks/t.rate*1_000_000 + ticks%t.rate*1_000_000/t.rate
}

// ntpMicros turns 32.32 fixed point seconds into microseconds.
func ntpMicros(ntp uint64) int64 {
	return int64(ntp>>32)*1_000_000 + int64((ntp&0xffffffff)*1_000_000>>32)
}
