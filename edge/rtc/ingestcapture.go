package rtc

import (
	"time"

	"trellis/edge/rtc/stream"
	"trellis/wire/hang"
)

// captureTimes follows how the presentation times of a stream relate to the publisher's clock,
// and decides when the catalog is to say it anew: whatever it says goes to every viewer of the
// broadcast. Time is an argument.
type captureTimes struct {
	is   hang.Capture
	mile float64 // from capture to ingress, seconds, averaged: frames come unevenly

	said hang.Capture // what the catalog is to say
	at   time.Time
}

const (
	// mileWeight is that of a frame in the average.
	mileWeight = 1.0 / 32
	// What is said again, and how soon, by how far off it is: the clock was set, or is
	// better known; a track is on its way to where its reports put it; something less than anybody hears or sees.
	captureSet       = 50 * time.Millisecond
	captureSetEvery  = 250 * time.Millisecond
	captureMoved     = 10 * time.Millisecond
	captureMoveEvery = time.Second
	captureOff       = 2 * time.Millisecond
	captureOffEvery  = 10 * time.Second
)

// frame takes what is known of a frame.
func (c *captureTimes) frame(f *stream.FrameInfo) {
	if f.Capture.At.IsZero() || f.Capture.Now.IsZero() {
		return // before the first sender report nobody knows both
	}
	mile, bound := f.Capture.Now.Sub(f.Capture.At).Seconds(), max(f.Capture.Error.Microseconds(), 0)
	if !c.is.Known() || c.is.ErrorUs == 0 && bound > 0 { // nothing was known before of the way here
		c.mile = mile
	}
	c.mile += mileWeight * (mile - c.mile)
	offset := f.Capture.At.UnixMicro() - f.PTS
	c.is = hang.Capture{OffsetUs: offset, IngressUs: offset + int64(c.mile*1e6), ErrorUs: bound}
	if c.due(f.Arrival) {
		c.said, c.at = c.is, f.Arrival
	}
}

// due reports whether what is known is far enough from what was said.
func (c *captureTimes) due(now time.Time) bool {
	off := func(is, was int64) time.Duration { return time.Duration(max(is-was, was-is)) * time.Microsecond }
	furthest := max(off(c.is.OffsetUs, c.said.OffsetUs), off(c.is.IngressUs, c.said.IngressUs))
	since := now.Sub(c.at)
	switch {
	case !c.said.Known():
		return true
	case furthest > captureSet, c.said.ErrorUs == 0 && c.is.ErrorUs > 0:
		return since >= captureSetEvery
	case furthest > captureMoved:
		return since >= captureMoveEvery
	}
	return furthest > captureOff && since >= captureOffEvery
}
