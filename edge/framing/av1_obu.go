package framing

// OBU types (AV1 specification, Section 6.2.2).
const (
	obuSequenceHeader    = 1
	obuTemporalDelimiter = 2
	obuFrameHeader       = 3
	obuFrame             = 6
	obuTileList          = 8
	obuPadding           = 15
)

const (
	obuExtensionFlag = 0x04
	obuHasSize       = 0x02
)

func obuType(header byte) byte { return header >> 3 & 0x0f }

// temporalDelimiter begins each temporal unit: an OBU of type 2, of size 0.
var temporalDelimiter = []byte{obuTemporalDelimiter<<3 | obuHasSize, 0}

// obu is one open bitstream unit, split into its parts; all alias the input.
type obu struct {
	header  []byte // one byte, or two with extension
	payload []byte
}

// parseOBU splits the OBU at the front of b. Without a size field it reaches to
// the end of b (AV1 specification, Section 5.3.1).
func parseOBU(b []byte) (o obu, rest []byte, ok bool) {
	if len(b) == 0 || b[0]&0x80 != 0 { // forbidden bit
		return o, nil, false
	}
	n := 1
	if b[0]&obuExtensionFlag != 0 {
		n = 2
	}
	if len(b) < n {
		return o, nil, false
	}
	o.header = b[:n]
	if b[0]&obuHasSize == 0 {
		o.payload = b[n:]
		return o, nil, true
	}
	size, m := leb128(b[n:])
	if m == 0 || size > uint64(len(b)-n-m) {
		return o, nil, false
	}
	end := n + m + int(size)
	o.payload = b[n+m : end]
	return o, b[end:], true
}

// appendHeader writes the header of o with its size field.
func (o obu) appendHeader(b []byte) []byte {
	b = append(b, o.header[0]|obuHasSize)
	b = append(b, o.header[1:]...)
	return appendLEB128(b, uint64(len(o.payload)))
}

// leb128 reads a number of AV1 specification, Section 4.10.5, and returns its
// length, or 0 if b does not hold a valid one.
func leb128(b []byte) (v uint64, n int) {
	for n < len(b) && n < 8 {
		v |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1]&0x80 == 0 {
			if v > 1<<32-1 {
				return 0, 0
			}
			return v, n
		}
	}
	return 0, 0
}

func appendLEB128(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func leb128Len(v int) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// av1FrameKey reports whether the payload of a frame or frame header OBU is a
// shown key frame: show_existing_frame 0, frame_type 0, show_frame 1 (AV1
// specification, Section 5.9.2). Streams of reduced still pictures have only those.
func av1FrameKey(payload []byte, reduced bool) bool {
	return reduced || len(payload) > 0 && payload[0]&0xf0 == 0x10
}
