package rtc

import (
	"time"

	"trellis/edge/rtc/stream"
)

const (
	// maxPlayout is what 12 bits hold in steps of playoutStep.
	maxPlayout  = 4095 * playoutStep
	playoutStep = 10 * time.Millisecond
	// playoutPackets is how many of a viewer's first packets say it: players go on with
	// what they were told last, and a few may be lost.
	playoutPackets = 250
)

// limitPlayout has the player hold pictures back between two times, if it takes that
// from us: http://www.webrtc.org/experiments/rtp-hdrext/playout-delay, MIN (12) MAX
// (12).
func (t *viewerTrack) limitPlayout(m *offeredMedia, least, most time.Duration) {
	if t.cfg.audio || most == 0 {
		return
	}
	t.cfg.playout = m.extension(stream.PlayoutDelayURI)
	a, b := least/playoutStep, most/playoutStep
	t.cfg.delays = [3]byte{byte(a >> 4), byte(a<<4) | byte(b>>8), byte(b)}
}
