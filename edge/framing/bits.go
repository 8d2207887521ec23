package framing

// bits reads bit fields from the most significant end. Reading past the end
// yields zeros and sets short: parsers read everything and check once.
type bits struct {
	b     []byte
	pos   int // in bits
	short bool
}

// u reads n bits, at most 32.
func (r *bits) u(n int) uint32 {
	var v uint32
	for range n {
		v <<= 1
		if i := r.pos >> 3; i < len(r.b) {
			v |= uint32(r.b[i]>>(7-r.pos&7)) & 1
		} else {
			r.short = true
		}
		r.pos++
	}
	return v
}

// flag reads one bit.
func (r *bits) flag() bool { return r.u(1) == 1 }

// skip passes over n bits.
func (r *bits) skip(n int) { r.pos += n }

// ue reads an unsigned Exp-Golomb code (ITU-T H.264, Section 9.1).
func (r *bits) ue() uint32 {
	zeros := 0
	for !r.flag() {
		zeros++
		if r.short || zeros > 31 {
			r.short = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.u(zeros)
}

// se reads a signed Exp-Golomb code (ITU-T H.264, Section 9.1.1).
func (r *bits) se() int32 {
	v := r.ue()
	if v&1 == 1 {
		return int32(v/2) + 1
	}
	return -int32(v / 2)
}

// uvlc reads a variable length code of AV1 (AV1 specification, Section 4.10.3).
func (r *bits) uvlc() uint32 { return r.ue() }
