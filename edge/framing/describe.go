package framing

import (
	"errors"
	"fmt"
)

// Description is what the bytes of a key frame say about their stream.
type Description struct {
	Params
	// Width and Height of the picture in pixels; zero for audio.
	Width, Height int
	// FrameRate is what H.264 timing information claims; zero when there is none.
	FrameRate float64
	// Channels is the number of channels of an Opus packet; zero for video.
	Channels int
}

// ErrNotKey is returned by Describe for a video frame that does not describe its
// stream, because it is not a key frame.
var ErrNotKey = errors.New("not a key frame")

// Describe reads a key frame in the form that a Depacketizer makes.
func Describe(c Codec, frame []byte) (Description, error) {
	d := Description{Params: Params{Codec: c}}
	if len(frame) == 0 {
		return d, fmt.Errorf("%w: empty", ErrFrame)
	}
	switch c {
	case Opus:
		d.Channels = 1
		if frame[0]&0x04 != 0 { // RFC 6716, Section 3.1: s
			d.Channels = 2
		}
		return d, nil
	case VP8:
		return describeVP8(d, frame)
	case VP9:
		return describeVP9(d, frame)
	case H264:
		return describeH264(d, frame)
	case AV1:
		return describeAV1(d, frame)
	default:
		return d, codecError(c)
	}
}

// IsKey reports whether decoding can begin at a frame in the form that a
// Depacketizer makes. Every Opus packet is one.
func IsKey(c Codec, frame []byte) bool {
	switch c {
	case Opus:
		return true
	case VP8:
		return len(frame) > 0 && frame[0]&1 == 0
	case VP9:
		key, _ := vp9Key(frame)
		return key
	case H264:
		return h264Key(frame)
	case AV1:
		return av1Key(frame)
	default:
		return false
	}
}

// describeVP8 reads the frame header of RFC 6386, Section 9.1.
func describeVP8(d Description, frame []byte) (Description, error) {
	if frame[0]&1 != 0 {
		return d, fmt.Errorf("vp8: %w", ErrNotKey)
	}
	if len(frame) < 10 || frame[3] != 0x9d || frame[4] != 0x01 || frame[5] != 0x2a {
		return d, fmt.Errorf("%w: vp8 key frame header", ErrFrame)
	}
	// The two bits above the 14 of each size are for upscaling.
	d.Width = int(frame[6]) | int(frame[7]&0x3f)<<8
	d.Height = int(frame[8]) | int(frame[9]&0x3f)<<8
	return d, nil
}

func describeVP9(d Description, frame []byte) (Description, error) {
	h, ok := parseVP9Header(frame)
	switch {
	case !ok:
		return d, fmt.Errorf("%w: vp9 frame header", ErrFrame)
	case !h.key:
		return d, fmt.Errorf("vp9: %w", ErrNotKey)
	}
	d.Profile, d.BitDepth, d.Width, d.Height = h.profile, h.bitDepth, h.width, h.height
	d.Level = vp9Level(h.width, h.height)
	return d, nil
}

// vp9Level returns the least level whose luma picture size holds the picture (the
// table "VP9 Levels" of the VP9 project). The bitstream does not name one; the rate is not
// known here, so that the level is a lower bound, which decoders do not check.
func vp9Level(width, height int) uint8 {
	for _, l := range []struct {
		level   uint8
		samples int
	}{
		{10, 36_864},
		{11, 73_728},
		{20, 122_880},
		{21, 245_760},
		{30, 552_960},
		{31, 983_040},
		{40, 2_228_224},
		{50, 8_912_896},
	} {
		if width*height <= l.samples {
			return l.level
		}
	}
	return 60
}

func describeH264(d Description, frame []byte) (Description, error) {
	for rest := frame; ; {
		var nal []byte
		if nal, rest = nextNAL(rest); nal == nil {
			return d, fmt.Errorf("h264: no sequence parameter set: %w", ErrNotKey)
		}
		if nal[0]&nalTypeMask != nalSPS {
			continue
		}
		s, ok := parseH264SPS(nal)
		if !ok {
			return d, fmt.Errorf("%w: h264 sequence parameter set", ErrFrame)
		}
		d.Profile, d.Constraints, d.Level = s.profile, s.constraints, s.level
		d.Width, d.Height = s.width, s.height
		if s.unitsInTick > 0 {
			d.FrameRate = float64(s.timeScale) / 2 / float64(s.unitsInTick)
		}
		return d, nil
	}
}

// h264Key applies the rule of the depacketizer to a whole access unit.
func h264Key(frame []byte) bool {
	var sps, recovery bool
	for rest := frame; ; {
		var nal []byte
		if nal, rest = nextNAL(rest); nal == nil {
			return false
		}
		switch t := nal[0] & nalTypeMask; {
		case t == nalIDR:
			return true
		case t == nalSPS:
			sps = true
		case t == nalSEI:
			recovery = recovery || recoveryPoint(nal)
		case isVCL(t):
			_, intra := sliceHead(nal)
			return intra && (sps || recovery)
		}
	}
}

func describeAV1(d Description, frame []byte) (Description, error) {
	for rest := frame; len(rest) > 0; {
		o, r, ok := parseOBU(rest)
		if !ok {
			return d, fmt.Errorf("%w: av1 OBU", ErrFrame)
		}
		rest = r
		if obuType(o.header[0]) != obuSequenceHeader {
			continue
		}
		s, ok := parseAV1Sequence(o.payload)
		if !ok {
			return d, fmt.Errorf("%w: av1 sequence header", ErrFrame)
		}
		d.Profile, d.Level, d.Tier, d.BitDepth = s.profile, s.level, s.tier, s.bitDepth
		d.Width, d.Height = s.width, s.height
		return d, nil
	}
	return d, fmt.Errorf("av1: no sequence header: %w", ErrNotKey)
}

// av1Key reports whether the first frame of a temporal unit is a key frame.
func av1Key(frame []byte) bool {
	reduced := false
	for rest := frame; len(rest) > 0; {
		o, r, ok := parseOBU(rest)
		if !ok {
			return false
		}
		rest = r
		switch obuType(o.header[0]) {
		case obuSequenceHeader:
			s, ok := parseAV1Sequence(o.payload)
			reduced = ok && s.reduced
		case obuFrame, obuFrameHeader:
			return av1FrameKey(o.payload, reduced)
		}
	}
	return false
}
