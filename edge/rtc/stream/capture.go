package stream

import (
	"encoding/binary"
	"time"
)

// Capture is what is known of when a frame was captured.
type Capture struct {
	// At is when, on the capturer's clock: by the capture time extension, else by the peer's
	// sender reports. Zero before there is either.
	At time.Time
	// Extended: it is by the extension, which said (Offset) how the capturer's clock differs
	// from the peer's; where it does not, they are taken to be one.
	Extended, Offset bool
	// Now is what the capturer's clock said when the frame arrived, zero before the first
	// sender report. Error bounds its error, negative where nothing does.
	Now   time.Time
	Error time.Duration
}

// The extension's lengths: without and with the estimated offset of the capturer's clock.
const (
	CaptureTimeBytes   = 8
	CaptureOffsetBytes = 16
)

// PutCaptureTime writes the data of the extension: when a frame was captured, on the
// capturer's clock, and how far that is ahead of the clock of the sender's reports. The
// time is an NTP time, the offset has the same unit and a sign.
func PutCaptureTime(b *[CaptureOffsetBytes]byte, at time.Time, offset time.Duration) {
	binary.BigEndian.PutUint64(b[:], NTP(at))
	binary.BigEndian.PutUint64(b[CaptureTimeBytes:], uint64(fixedPoint(offset)))
}

// ParseCaptureTime reads it. offset is nil where the shorter form leaves it out. False: it
// is neither form.
func ParseCaptureTime(b []byte) (at time.Time, offset *time.Duration, ok bool) {
	switch len(b) {
	case CaptureTimeBytes:
		return NTPTime(binary.BigEndian.Uint64(b)), nil, true
	case CaptureOffsetBytes:
		d := fromFixedPoint(int64(binary.BigEndian.Uint64(b[CaptureTimeBytes:])))
		return NTPTime(binary.BigEndian.Uint64(b)), &d, true
	}
	return time.Time{}, nil, false
}

// fixedPoint returns d in seconds with 32 bits after the point.
func fixedPoint(d time.Duration) int64 {
	sec, frac := int64(d/time.Second), int64(d%time.Second) // of one sign
	return sec<<32 + frac<<32/int64(time.Second)
}

// fromFixedPoint is its inverse, exact to a nanosecond. What a Duration holds is less than
// what 32 bits of seconds do.
func fromFixedPoint(q int64) time.Duration {
	sec, frac := q>>32, q&0xffff_ffff
	return time.Duration(sec)*time.Second + time.Duration((frac*int64(time.Second)+1<<31)>>32)
}

// captures remembers what extensions said. They need not come with each frame, nor in order: what
// is between is interpolated, which the extension's description asks of receivers.
type captures struct {
	ring [captureSlots]capture
	n    int
}

type capture struct {
	timestamp uint32
	at        time.Time
	offset    time.Duration
	hasOffset bool
}

const (
	// captureSlots is how many frames may be in flight between the packet that
	// brought their capture time and their delivery.
	captureSlots = 64
	// captureReach is how far that goes: Chromium's receivers, and so its senders, use
	// the same.
	captureReach = 5 * time.Second
	// captureApart is how far extension and sender reports may differ: by what is between a
	// microphone and its packets, but not by a clock that has been set since the last report.
	captureApart = time.Second
)

// note takes the extension of a packet.
func (c *captures) note(timestamp uint32, ext []byte) {
	at, offset, ok := ParseCaptureTime(ext)
	if !ok {
		return
	}
	n := capture{timestamp: timestamp, at: at, hasOffset: offset != nil}
	if offset != nil {
		n.offset = *offset
	}
	c.ring[c.n%captureSlots] = n
	c.n++
}

// of returns what is known of the frame with a timestamp: what came with it, else what the
// one nearest to it makes likely.
func (c *captures) of(timestamp, clockRate uint32) (best capture, ok bool) {
	least := int32(int64(captureReach) * int64(clockRate) / int64(time.Second))
	for i := range min(c.n, captureSlots) {
		s := &c.ring[i]
		d := int32(timestamp - s.timestamp)
		if d = max(d, -d); d >= 0 && d < least {
			best, least, ok = *s, d, true
		}
	}
	if ok {
		ticks := int64(int32(timestamp - best.timestamp))
		best.at = best.at.Add(time.Duration(ticks * int64(time.Second) / int64(clockRate)))
	}
	return best, ok
}
