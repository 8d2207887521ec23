package rtc

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
)

// viewerTrack is one track on its way to one viewer: a webrtc.TrackLocal that
// only remembers what was negotiated. The lane does the writing.
type viewerTrack struct {
	codec  framing.Codec
	sender *webrtc.RTPSender
	pc     *webrtc.PeerConnection
	held   atomic.Pointer[laneHold] // the lane that it is on; never nil

	// Set in Bind, during the negotiation.
	cfg   viewerConfig
	bound bool
}

var _ webrtc.TrackLocal = (*viewerTrack)(nil)

// hold returns the lane that the track is on.
func (t *viewerTrack) hold() *laneHold { return t.held.Load() }

// swap puts the track on another lane and returns the one before.
func (t *viewerTrack) swap(h *laneHold) *laneHold { return t.held.Swap(h) }

// Bind implements webrtc.TrackLocal.
func (t *viewerTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, c := range ctx.CodecParameters() {
		if codec, ok := stream.CodecOf(c.MimeType); !ok || codec != t.codec {
			continue
		}
		t.cfg = viewerConfig{
			out: ctx.WriteStream(), writeRTCP: t.pc.WriteRTCP,
			ssrc: uint32(ctx.SSRC()), pt: uint8(c.PayloadType),
			capture:   stream.ExtensionID(ctx.HeaderExtensions(), stream.AbsCaptureTimeURI),
			clockRate: t.codec.ClockRate(), audio: t.codec.Audio(),
		}
		apt := fmt.Sprintf("apt=%d", c.PayloadType)
		for _, r := range ctx.CodecParameters() {
			if strings.EqualFold(r.MimeType, webrtc.MimeTypeRTX) && r.SDPFmtpLine == apt {
				t.cfg.rtxSSRC, t.cfg.rtxPT = uint32(ctx.SSRCRetransmission()), uint8(r.PayloadType)
			}
		}
		t.bound = true
		return c, nil
	}
	return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
}

// Unbind implements webrtc.TrackLocal.
func (t *viewerTrack) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID implements webrtc.TrackLocal.
func (t *viewerTrack) ID() string { return t.Kind().String() }

// RID implements webrtc.TrackLocal.
func (t *viewerTrack) RID() string { return "" }

// StreamID implements webrtc.TrackLocal: players put the tracks of one stream in
// step with each other.
func (t *viewerTrack) StreamID() string { return "trellis" }

// Kind implements webrtc.TrackLocal.
func (t *viewerTrack) Kind() webrtc.RTPCodecType {
	if t.codec.Audio() {
		return webrtc.RTPCodecTypeAudio
	}
	return webrtc.RTPCodecTypeVideo
}

// readFeedback passes what the viewer reports on to the lane, until the peer
// connection closes.
func (t *viewerTrack) readFeedback(v *viewer) {
	buf := make([]byte, receiveMTU)
	for {
		n, _, err := t.sender.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue // a type that pion cannot read is none that we answer
		}
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.TransportLayerNack: // RFC 4585, Section 6.2.1
				if c := (laneCommand{kind: commandResend, viewer: v, seqs: lostPackets(p)}); len(c.seqs) > 0 {
					t.hold().feedback(c)
				}
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				t.hold().feedback(laneCommand{kind: commandRestart, viewer: v})
			}
		}
	}
}

const (
	receiveMTU = 1500
	// maxLostPackets bounds what one NACK may ask for.
	maxLostPackets = 512
)

func lostPackets(n *rtcp.TransportLayerNack) []uint16 {
	var seqs []uint16
	for i := range n.Nacks {
		n.Nacks[i].Range(func(seq uint16) bool {
			seqs = append(seqs, seq)
			return len(seqs) < maxLostPackets
		})
	}
	return seqs
}
