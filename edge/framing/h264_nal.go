package framing

import "bytes"

// NAL unit types of ITU-T H.264, Table 7-1, and of RFC 6184, Table 1.
const (
	nalSlice  = 1
	nalIDR    = 5
	nalSEI    = 6
	nalSPS    = 7
	nalPPS    = 8
	nalAUD    = 9
	nalFiller = 12
	nalSTAPA  = 24
	nalFUA    = 28
)

const nalTypeMask = 0x1f

// startCode precedes each NAL unit in an Annex B stream. The long form is used
// throughout; it is required before the first unit of an access unit and before
// parameter sets.
const startCode = "\x00\x00\x00\x01"

// startCodeBytes is startCode for events, which nobody may change.
var startCodeBytes = []byte(startCode)

// isVCL reports whether a NAL unit of type t holds picture data.
func isVCL(t byte) bool { return t >= nalSlice && t <= nalIDR }

// nextNAL returns the first NAL unit of the Annex B bytes b, without start code
// and trailing zeros, and what follows it. nal is nil when there is none.
func nextNAL(b []byte) (nal, rest []byte) {
	i := bytes.Index(b, startCodeBytes[1:])
	if i < 0 {
		return nil, nil
	}
	b = b[i+3:]
	end := bytes.Index(b, startCodeBytes[1:])
	if end < 0 {
		end, rest = len(b), nil
	} else {
		rest = b[end:]
	}
	// Zeros before the next start code, or at the end, are not part of the unit.
	nal = bytes.TrimRight(b[:end], "\x00")
	if len(nal) == 0 && rest != nil {
		return nextNAL(rest)
	}
	if len(nal) == 0 {
		return nil, nil
	}
	return nal, rest
}

// sliceHead reads the beginning of a slice: the address of its first macroblock,
// and whether it is an I slice (ITU-T H.264, Section 7.3.3 and Table 7-6).
func sliceHead(nal []byte) (first uint32, intra bool) {
	// Two Exp-Golomb codes fit the first bytes even of a very large picture.
	// Emulation prevention cannot occur in so few.
	r := bits{b: nal[1:min(len(nal), 12)]}
	first = r.ue()
	kind := r.ue()
	return first, !r.short && (kind == 2 || kind == 7)
}

// recoveryPoint reports whether a SEI NAL unit says that decoding can begin at
// its access unit at once (ITU-T H.264, Section D.1.8).
func recoveryPoint(nal []byte) bool {
	const payloadRecoveryPoint = 6
	b := nal[1:]
	for len(b) >= 2 && b[0] != 0x80 {
		kind, n := seiNumber(b)
		b = b[n:]
		size, n := seiNumber(b)
		b = b[n:]
		if n == 0 || size > len(b) {
			return false
		}
		if kind == payloadRecoveryPoint {
			r := bits{b: b[:size]}
			return r.ue() == 0 && !r.short
		}
		b = b[size:]
	}
	return false
}

// seiNumber reads a number written as bytes of 255 and a last one below.
func seiNumber(b []byte) (v, n int) {
	for n < len(b) {
		c := b[n]
		n++
		v += int(c)
		if c != 0xff {
			return v, n
		}
	}
	return 0, 0
}
