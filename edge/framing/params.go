package framing

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Params is what a WebCodecs codec string says.
type Params struct {
	Codec Codec
	// Profile is profile_idc of H.264, the profile of VP9 or seq_profile of AV1.
	Profile uint8
	// Constraints are the constraint flags of H.264.
	Constraints uint8
	// Level is level_idc of H.264 (31 is 3.1), ten times the level of VP9, or
	// seq_level_idx of AV1.
	Level uint8
	// Tier is 1 for the high tier of AV1.
	Tier uint8
	// BitDepth of VP9 and AV1.
	BitDepth uint8
}

// ParseParams reads a codec string such as "avc1.42E01E", "vp8", "vp09.00.10.08",
// "av01.0.04M.08" or "opus". Optional fields after the bit depth are ignored. A
// codec of someone else wraps ErrCodec.
func ParseParams(s string) (Params, error) {
	name, rest, _ := strings.Cut(s, ".")
	var p Params
	ok := false
	switch strings.ToLower(name) {
	case "opus":
		p, ok = Params{Codec: Opus}, rest == ""
	case "vp8":
		p, ok = Params{Codec: VP8}, rest == ""
	case "vp9": // short form, as some encoders report it
		p, ok = Params{Codec: VP9, Level: 10, BitDepth: 8}, rest == ""
	case "vp08":
		p, ok = Params{Codec: VP8}, true
	case "vp09":
		p, ok = parseVP09(rest)
	case "avc1", "avc3":
		p, ok = parseAVC(rest)
	case "av01":
		p, ok = parseAV01(rest)
	}
	if !ok {
		return Params{}, fmt.Errorf("%w: %q", ErrCodec, s)
	}
	return p, nil
}

// parseAVC reads the three bytes of RFC 6381, Section 3.3 in hexadecimal.
func parseAVC(s string) (Params, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 3 {
		return Params{}, false
	}
	return Params{Codec: H264, Profile: b[0], Constraints: b[1], Level: b[2]}, true
}

// parseVP09 reads PP.LL.DD of "VP codec ISO media file format binding", Section "Codecs Parameter String".
func parseVP09(s string) (Params, bool) {
	f := strings.Split(s, ".")
	if len(f) < 3 || len(f) > 8 {
		return Params{}, false
	}
	profile, ok1 := decimal(f[0], 2)
	level, ok2 := decimal(f[1], 2)
	depth, ok3 := decimal(f[2], 2)
	return Params{Codec: VP9, Profile: profile, Level: level, BitDepth: depth}, ok1 && ok2 && ok3 && profile <= 3
}

// parseAV01 reads P.LLT.DD of "AV1 codec ISO media file format binding", Section 5.
func parseAV01(s string) (Params, bool) {
	f := strings.Split(s, ".")
	if len(f) < 3 || len(f) > 9 || len(f[1]) != 3 {
		return Params{}, false
	}
	profile, ok1 := decimal(f[0], 1)
	level, ok2 := decimal(f[1][:2], 2)
	depth, ok3 := decimal(f[2], 2)
	tier := f[1][2]
	p := Params{Codec: AV1, Profile: profile, Level: level, BitDepth: depth}
	if tier == 'H' {
		p.Tier = 1
	}
	return p, ok1 && ok2 && ok3 && profile <= 2 && level <= 31 && (tier == 'M' || tier == 'H')
}

// decimal reads exactly n digits.
func decimal(s string, n int) (uint8, bool) {
	if len(s) != n {
		return 0, false
	}
	v, err := strconv.ParseUint(s, 10, 8)
	return uint8(v), err == nil
}

// String writes the codec string, which ParseParams reads back.
func (p Params) String() string {
	switch p.Codec {
	case H264:
		return fmt.Sprintf("avc1.%02X%02X%02X", p.Profile, p.Constraints, p.Level)
	case VP9:
		return fmt.Sprintf("vp09.%02d.%02d.%02d", p.Profile, p.Level, p.BitDepth)
	case AV1:
		tier := 'M'
		if p.Tier != 0 {
			tier = 'H'
		}
		return fmt.Sprintf("av01.%d.%02d%c.%02d", p.Profile, p.Level, tier, p.BitDepth)
	default:
		return p.Codec.String()
	}
}
