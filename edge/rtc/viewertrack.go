package rtc

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/bwe"
	"trellis/edge/rtc/stream"
	"trellis/internal/allowance"
)

// viewerTrack is one track on its way to one viewer: what was negotiated, and the
// lane that does the writing.
type viewerTrack struct {
	codec   framing.Codec
	offered offeredCodec
	held    atomic.Pointer[laneHold] // the lane that it is on; never nil
	viewer  *viewer                  // on the lane
	stop    func() bool              // waits for the lane's end no more; nil before it joins
	dropped bool                     // it is not to be sent any more
	joined  atomic.Bool              // its viewer is the lane's, which may be asked for something

	protection protection
	wish       Wish // guarded by the steering's mutex, once it is there

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
		if sent != nil && m.fec != 0 { // whether it helps is seen from what the viewer reports
			t.cfg.fecPT, t.cfg.fecSSRC = m.fec, randomSSRC()
		}
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

// feedback passes on to the lane what the viewer asks of it, and says why not if it
// does not. limits is what the viewer may ask of all its tracks together.
func (t *viewerTrack) feedback(a *asked, limits *asks, now time.Time) skip {
	if !t.joined.Load() {
		return skipUnknownSSRC
	}
	c := laneCommand{kind: a.kind, viewer: t.viewer}
	if a.kind == commandResend {
		c.lost = newLostPackets(a.entries)
		if !limits.packets.TakeN(now, c.lost.n) {
			c.lost.release()
			return skipAskLimit
		}
	} else if !limits.pictures.Take(now) {
		return skipAskLimit
	}
	if !t.hold().feedback(c) && c.lost != nil {
		c.lost.release()
	}
	return numSkips
}

// asks bounds what one viewer's feedback can make its lanes do.
type asks struct {
	packets  allowance.Bucket // to be sent again
	pictures allowance.Bucket // to begin with
	reports  allowance.Bucket // packets reported on
}

func newAsks() asks {
	return asks{
		packets:  allowance.New(askRate, askBurst),
		pictures: allowance.New(pictureRate, pictureBurst),
		reports:  allowance.New(reportRate, reportBurst),
	}
}

const (
	// askRate and askBurst are some times what is sent again: a viewer asks anew until
	// a packet arrives.
	askRate  = 10 * resendRate
	askBurst = 10 * resendBurst
	// Players ask for a picture once a second, one for each track.
	pictureRate  = 5
	pictureBurst = 20
	// A viewer reports once on each packet, and again on what was missing: 100 Mbit/s.
	reportRate  = 20_000
	reportBurst = 40_000
)
