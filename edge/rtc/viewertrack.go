package rtc

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"trellis/edge/framing"
	"trellis/edge/rtc/bwe"
	"trellis/edge/rtc/stream"
)

// viewerTrack is one track on its way to one viewer: what was negotiated, and the
// lane that does the writing.
type viewerTrack struct {
	codec   framing.Codec
	offered offeredCodec
	held    atomic.Pointer[laneHold] // the lane that it is on; never nil
	viewer  *viewer                  // on the lane
	stop    func() bool              // waits for the lane's end no more; nil before it joins

	protection protection

	cfg viewerConfig
}

// newViewerTrack returns the track for a section, in the codec that was chosen.
// sent is where what is sent is remembered, nil where the viewer does not report
// its arrival.
func newViewerTrack(m *offeredMedia, c offeredCodec, sent *bwe.Log) *viewerTrack {
	t := &viewerTrack{codec: c.codec, offered: c, cfg: viewerConfig{
		ssrc: randomSSRC(), pt: c.pt, capture: m.extension(stream.AbsCaptureTimeURI), sent: sent,
		clockRate: c.codec.ClockRate(), audio: c.codec.Audio(),
	}}
	if sent != nil {
		t.cfg.transport = m.extension(stream.TransportCCURI)
	}
	if t.cfg.audio {
		t.cfg.redPT = c.red
		if c.rtx == 0 && slices.Contains(c.feedback, "nack") {
			t.cfg.transport = 0 // its packets are sent again as they were: see repeatable
		}
	} else {
		t.cfg.playout = m.extension(stream.PlayoutDelayURI)
	}
	if c.rtx != 0 && !t.cfg.audio {
		t.cfg.rtxPT, t.cfg.rtxSSRC = c.rtx, randomSSRC()
	}
	return t
}

// randomSSRC never returns zero, which stands for none.
func randomSSRC() uint32 { return 1 + rand.Uint32N(1<<32-1) }

// hold returns the lane that the track is on.
func (t *viewerTrack) hold() *laneHold { return t.held.Load() }

// swap puts the track on another lane and returns the one before.
func (t *viewerTrack) swap(h *laneHold) *laneHold { return t.held.Swap(h) }

// feedback passes on to the lane what the viewer asks of it.
func (t *viewerTrack) feedback(a *asked) {
	c := laneCommand{kind: a.kind, viewer: t.viewer}
	if a.kind == commandResend {
		c.lost = newLostPackets(a.entries)
	}
	if !t.hold().feedback(c) && c.lost != nil {
		c.lost.release()
	}
}
