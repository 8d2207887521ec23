package rtc

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

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

// feedback passes a viewer's report on to the lane, and says why not if it does not.
// asks is what the viewer may ask of all its tracks together.
func (t *viewerTrack) feedback(p rtcp.Packet, asks *asks, now time.Time) skip {
	switch p := p.(type) {
	case *rtcp.TransportLayerNack: // RFC 4585, Section 6.2.1
		seqs := lostPackets(p)
		if len(seqs) == 0 {
			return numSkips
		}
		if !asks.packets.takeN(now, askRate, askBurst, len(seqs)) {
			return skipAskLimit
		}
		t.hold().feedback(laneCommand{kind: commandResend, viewer: t.viewer, seqs: seqs})
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		if !asks.pictures.take(now, pictureRate, pictureBurst) {
			return skipAskLimit
		}
		t.hold().feedback(laneCommand{kind: commandRestart, viewer: t.viewer})
	case *rtcp.ReceiverReport: // RFC 3550, Section 6.4.2
		for _, r := range p.Reports {
			if r.SSRC == t.cfg.ssrc {
				t.protect(time.Now(), float64(r.FractionLost)/256)
			}
		}
	}
	return numSkips
}

// asks bounds what one viewer's feedback can make its lanes do.
type asks struct {
	packets  allowance // to be sent again
	pictures allowance // to begin with
	reports  allowance // packets reported on
}

const (
	// maxLostPackets bounds what one NACK may ask for.
	maxLostPackets = 512
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

func lostPackets(n *rtcp.TransportLayerNack) []uint16 {
	var seqs []uint16
	for i := range n.Nacks {
		n.Nacks[i].Range(func(seq uint16) bool {
			seqs = append(seqs, seq)
			return len(seqs) < maxLostPackets
		})
		if len(seqs) == maxLostPackets {
			break
		}
	}
	return seqs
}
