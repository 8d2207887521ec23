package framing

import (
	"testing"
	"time"
)

// sender makes the timestamps and reports of one publisher: media captured at a
// moment of its clock, which is ahead of ours by clockAhead.
type sender struct {
	clockAhead time.Duration
	audioStart uint32
	videoStart uint32
}

func (s sender) audio(at time.Duration) uint32 {
	return s.audioStart + uint32(at.Microseconds()*48/1000)
}

func (s sender) video(at time.Duration) uint32 {
	return s.videoStart + uint32(at.Microseconds()*90/1000)
}

// ntp returns the sender's clock as in a report (RFC 3550, Section 4).
func (s sender) ntp(at time.Duration) uint64 {
	t := testTime.Add(s.clockAhead + at)
	const unixToNTP = 2_208_988_800
	return uint64(t.Unix()+unixToNTP)<<32 | uint64(t.Nanosecond())<<32/1_000_000_000
}

func near(got, want int64, within time.Duration) bool {
	d := got - want
	return d <= within.Microseconds() && -d <= within.Microseconds()
}

// Video takes 120 ms longer than audio to be encoded and sent. Before reports it
// lags by so much; after them it comes to where it belongs, without a jump.
func TestClockSynchronises(t *testing.T) {
	s := sender{clockAhead: -3 * time.Hour, audioStart: 1<<32 - 500, videoStart: 1 << 31}
	c := NewClock(testTime, 5_000_000)
	audio, video := c.Track(48_000, true), c.Track(90_000, false)
	const late = 120 * time.Millisecond
	lastVideo := int64(-1)
	for at := time.Duration(0); at < 12*time.Second; at += 20 * time.Millisecond {
		a := audio.PTS(s.audio(at), testTime.Add(at))
		v := video.PTS(s.video(at), testTime.Add(at+late))
		if want := 5_000_000 + at.Microseconds(); !near(a, want, 40*time.Microsecond) {
			t.Fatalf("at %v audio is at %d, want %d: the leader must not move", at, a, want)
		}
		if step := v - lastVideo; lastVideo > 0 && (step < 19_500 || step > 20_500) {
			t.Fatalf("at %v video steps by %d µs", at, step)
		}
		lastVideo = v
		switch at {
		case 2 * time.Second:
			if !near(v-a, late.Microseconds(), time.Millisecond) || video.Synchronised() {
				t.Errorf("before reports video is %d µs after audio, synchronised %v", v-a, video.Synchronised())
			}
			video.SenderReport(s.ntp(at), s.video(at)) // video reports first, so it is the reference until audio does
		case 3 * time.Second:
			if !near(v-a, late.Microseconds(), time.Millisecond) {
				t.Errorf("with reports of video only, it moved by %d µs", v-a)
			}
			audio.SenderReport(s.ntp(at), s.audio(at))
			video.SenderReport(s.ntp(at), s.video(at))
		case 11 * time.Second:
			if !near(v, a, time.Millisecond) || !video.Synchronised() || !audio.Synchronised() {
				t.Errorf("8 s after reports video is %d µs after audio", v-a)
			}
		}
	}
}

// A sound card that runs 200 ppm fast is brought back to the sender's clock.
func TestClockFollowsDrift(t *testing.T) {
	s := sender{}
	c := NewClock(testTime, 0)
	audio := c.Track(48_000, true)
	for at := time.Duration(0); at < 10*time.Minute; at += 20 * time.Millisecond {
		heard := at + at/5000
		pts := audio.PTS(s.audio(heard), testTime.Add(at))
		if at%(5*time.Second) == 0 {
			audio.SenderReport(s.ntp(at), s.audio(heard))
		}
		if !near(pts, at.Microseconds(), 3*time.Millisecond) {
			t.Fatalf("after %v the PTS is %d µs off", at, pts-at.Microseconds())
		}
	}
}

// Reports that cannot be true, and a clock that is set, move nothing.
func TestClockDistrusts(t *testing.T) {
	s := sender{}
	c := NewClock(testTime, 0)
	audio, video := c.Track(48_000, true), c.Track(90_000, false)
	other := sender{clockAhead: time.Hour, videoStart: s.videoStart}
	for at := time.Duration(0); at < 20*time.Second; at += 20 * time.Millisecond {
		a := audio.PTS(s.audio(at), testTime.Add(at))
		v := video.PTS(s.video(at), testTime.Add(at))
		switch at {
		case time.Second:
			audio.SenderReport(s.ntp(at), s.audio(at))
			video.SenderReport(0, s.video(at)) // no clock
		case 5 * time.Second:
			video.SenderReport(other.ntp(at), other.video(at)) // of an hour later
		case 10 * time.Second:
			s.clockAhead = 40 * time.Second // somebody set the sender's clock
			audio.SenderReport(s.ntp(at), s.audio(at))
			video.SenderReport(s.ntp(at), s.video(at))
		}
		if !near(a, at.Microseconds(), time.Millisecond) || !near(v, at.Microseconds(), time.Millisecond) {
			t.Fatalf("at %v audio is at %d, video at %d", at, a, v)
		}
	}
}

// A source that begins a new timeline goes on from where its arrival puts it.
func TestClockRestart(t *testing.T) {
	c := NewClock(testTime, 0)
	video := c.Track(90_000, false)
	video.PTS(1000, testTime)
	video.SenderReport(1<<32, 1000)
	if got := video.PTS(1000+90_000, testTime.Add(time.Second)); got != 1_000_000 {
		t.Errorf("after 1 s: %d", got)
	}
	if got := video.PTS(2_000_000_000, testTime.Add(2*time.Second)); got != 2_000_000 {
		t.Errorf("after a restart: %d", got)
	}
	if video.Synchronised() {
		t.Error("synchronised by a report of before the restart")
	}
	if got := video.PTS(2_000_000_000+45_000, testTime.Add(2500*time.Millisecond)); got != 2_500_000 {
		t.Errorf("after a restart and half a second: %d", got)
	}
}
