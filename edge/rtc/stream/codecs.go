package stream

import (
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
)

// TransportCCURI names the one that numbers all packets of a transport, so that
// their arrival can be reported: draft-holmer-rmcat-transport-wide-cc-extensions-01.
const TransportCCURI = sdp.TransportCCURI

// AbsCaptureTimeURI names the header extension that carries when a frame was
// captured, or, from our edges, when it entered the backbone.
const AbsCaptureTimeURI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"

// PlayoutDelayURI names the one that says how long pictures are kept back: two times
// of 12 bits, the least and the most, in units of 10 ms.
const PlayoutDelayURI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

// The H.264 profiles that we negotiate, all with packetization mode 1, as
// profile-level-id (RFC 6184, Section 8.1). The level is not compared.
const (
	H264ConstrainedBaseline = "42e01f"
	H264Baseline            = "42001f"
	H264Main                = "4d001f"
	H264High                = "64001f"
	H264ConstrainedHigh     = "640c1f"
)

// Offer is one way of sending or receiving a codec.
type Offer struct {
	Codec framing.Codec
	// FMTP holds the format parameters; empty for the codec's usual ones.
	FMTP string
}

// AllOffers lists everything that the edge accepts from a publisher.
func AllOffers() []Offer {
	return []Offer{
		{Codec: framing.Opus},
		{Codec: framing.VP8},
		{Codec: framing.VP9},
		H264Offer(H264ConstrainedBaseline),
		H264Offer(H264Baseline),
		H264Offer(H264Main),
		H264Offer(H264High),
		H264Offer(H264ConstrainedHigh),
		{Codec: framing.AV1},
	}
}

// H264Offer returns the offer for a profile, in packetization mode 1.
func H264Offer(profileLevelID string) Offer {
	return Offer{
		Codec: framing.H264,
		FMTP:  "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profileLevelID,
	}
}

func (o Offer) fmtp() string {
	if o.FMTP != "" {
		return o.FMTP
	}
	switch o.Codec {
	case framing.Opus:
		return "minptime=10;useinbandfec=1"
	case framing.VP9:
		return "profile-id=0"
	case framing.H264:
		return H264Offer(H264ConstrainedBaseline).FMTP
	case framing.VP8, framing.AV1:
	}
	return ""
}

// firstPayloadType is where our own dynamic payload types begin. They only
// appear in offers of our client: an answer repeats the numbers of the offer.
const firstPayloadType = 96

// EngineConfig says what a MediaEngine negotiates besides codecs.
type EngineConfig struct {
	Offers []Offer
	// TransportCC has the receiver of media report arrival times, from which
	// publishers estimate how much they may send.
	TransportCC bool
	// Simulcast accepts several layers of one video, told apart by their RID.
	Simulcast bool
	// Layers has senders say how the frames of layered video depend on each other.
	Layers bool
	// AudioNACK asks for and answers retransmissions of audio, too.
	AudioNACK bool
}

// NewMediaEngine returns a MediaEngine for the given codecs, each video codec
// with retransmission (RFC 4588), NACK, PLI and FIR feedback.
func NewMediaEngine(cfg EngineConfig) (*webrtc.MediaEngine, error) {
	me := &webrtc.MediaEngine{}
	pt := webrtc.PayloadType(firstPayloadType)
	for _, o := range cfg.Offers {
		if err := register(me, o, pt, cfg); err != nil {
			return nil, fmt.Errorf("media engine: %s: %w", o.Codec, err)
		}
		pt += 2
	}
	kinds := []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo}
	exts := []string{AbsCaptureTimeURI, sdp.SDESMidURI}
	if cfg.TransportCC {
		exts = append(exts, sdp.TransportCCURI)
		for _, k := range kinds {
			me.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, k)
		}
	}
	if cfg.Simulcast {
		exts = append(exts, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI)
	}
	if cfg.Layers {
		capability := webrtc.RTPHeaderExtensionCapability{URI: framing.DependencyURI}
		if err := me.RegisterHeaderExtension(capability, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, fmt.Errorf("media engine: extension %s: %w", capability.URI, err)
		}
	}
	for _, uri := range exts {
		for _, k := range kinds {
			if err := me.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, k); err != nil {
				return nil, fmt.Errorf("media engine: extension %s: %w", uri, err)
			}
		}
	}
	return me, nil
}

func register(me *webrtc.MediaEngine, o Offer, pt webrtc.PayloadType, cfg EngineConfig) error {
	kind, channels := webrtc.RTPCodecTypeVideo, uint16(0)
	feedback := []webrtc.RTCPFeedback{
		{Type: webrtc.TypeRTCPFBNACK},
		{Type: webrtc.TypeRTCPFBNACK, Parameter: "pli"},
		{Type: webrtc.TypeRTCPFBCCM, Parameter: "fir"},
	}
	if o.Codec.Audio() {
		kind, channels, feedback = webrtc.RTPCodecTypeAudio, 2, nil
		if cfg.AudioNACK {
			feedback = []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBNACK}}
		}
	}
	err := me.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: o.Codec.MimeType(), ClockRate: o.Codec.ClockRate(), Channels: channels,
			SDPFmtpLine: o.fmtp(), RTCPFeedback: feedback,
		},
		PayloadType: pt,
	}, kind)
	if err != nil || o.Codec.Audio() {
		return err
	}
	return me.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: o.Codec.ClockRate(),
			SDPFmtpLine: fmt.Sprintf("apt=%d", pt),
		},
		PayloadType: pt + 1,
	}, kind)
}

// CodecOf returns the codec with that MIME type, false if we do not carry it.
func CodecOf(mimeType string) (framing.Codec, bool) {
	for _, c := range []framing.Codec{framing.Opus, framing.VP8, framing.VP9, framing.H264, framing.AV1} {
		if strings.EqualFold(c.MimeType(), mimeType) {
			return c, true
		}
	}
	return 0, false
}

// ExtensionID returns the negotiated number of a header extension, zero if it
// was not negotiated.
func ExtensionID(exts []webrtc.RTPHeaderExtensionParameter, uri string) uint8 {
	for _, e := range exts {
		// RFC 8285, Section 4.2: one-byte headers have ids 1 to 14.
		if e.URI == uri && e.ID >= 1 && e.ID <= 14 {
			return uint8(e.ID)
		}
	}
	return 0
}
