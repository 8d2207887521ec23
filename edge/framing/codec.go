package framing

import (
	"errors"
	"fmt"
)

// Codec is one of the codecs that the WebRTC edge carries.
type Codec uint8

// The codecs. The zero value is none of them.
const (
	Opus Codec = iota + 1
	VP8
	VP9
	H264
	AV1
)

// ErrCodec is wrapped by errors about a codec, or a codec string, that is not
// one of ours.
var ErrCodec = errors.New("unsupported codec")

// String returns the word used in logs and metrics.
func (c Codec) String() string {
	switch c {
	case Opus:
		return "opus"
	case VP8:
		return "vp8"
	case VP9:
		return "vp9"
	case H264:
		return "h264"
	case AV1:
		return "av1"
	default:
		return fmt.Sprintf("codec(%d)", uint8(c))
	}
}

// Audio reports whether c carries sound.
func (c Codec) Audio() bool { return c == Opus }

// ClockRate returns the RTP clock rate in Hz: RFC 7587, Section 4.1 for Opus;
// 90 kHz for every video codec.
func (c Codec) ClockRate() uint32 {
	if c == Opus {
		return 48_000
	}
	return 90_000
}

// EncodingName returns the name in an SDP rtpmap.
func (c Codec) EncodingName() string {
	switch c {
	case Opus:
		return "opus"
	case VP8:
		return "VP8"
	case VP9:
		return "VP9"
	case H264:
		return "H264"
	case AV1:
		return "AV1"
	default:
		return ""
	}
}

// MimeType returns the type as SDP libraries want it, such as "video/H264".
func (c Codec) MimeType() string {
	if c.Audio() {
		return "audio/" + c.EncodingName()
	}
	return "video/" + c.EncodingName()
}
