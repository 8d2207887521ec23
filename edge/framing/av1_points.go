package framing

// restrictAV1 appends the data of a key frame whose sequence header, in front of
// it, is restricted to spatial layers up to one: without the others, a decoder that
// is told of them would wait for them (AV1 specification, Section 7.18.1). What
// cannot be restricted stays as it is.
func restrictAV1(dst, data []byte, spatial uint8) []byte {
	o, rest, ok := parseOBU(data)
	if !ok || obuType(o.header[0]) != obuSequenceHeader || o.header[0]&obuHasSize == 0 {
		return append(dst, data...)
	}
	payload, ok := restrictAV1Sequence(o.payload, spatial)
	if !ok {
		return append(dst, data...)
	}
	o.payload = payload
	return append(append(o.appendHeader(dst), payload...), rest...)
}

// restrictAV1Sequence leaves out operating points with higher spatial layers: AV1
// specification, Section 5.5.1. False: there are none, or no others.
func restrictAV1Sequence(payload []byte, spatial uint8) ([]byte, bool) {
	r := bits{b: payload}
	r.skip(3 + 1)        // seq_profile, still_picture
	plain := r.u(3) == 0 // reduced_still_picture_header, timing_info_present_flag, initial_display_delay_present_flag
	count := int(r.u(5)) + 1
	if !plain {
		return nil, false
	}
	type point struct{ from, to int }
	var kept []point
	for range count {
		p := point{from: r.pos}
		idc := r.u(12)
		if level := r.u(5); level > 7 {
			r.skip(1) // seq_tier
		}
		if p.to = r.pos; idc>>8>>(spatial+1) == 0 {
			kept = append(kept, p)
		}
	}
	end := trailingBit(payload) + 1
	if r.short || len(kept) == 0 || len(kept) == count || end <= r.pos {
		return nil, false
	}
	var w bitWriter
	w.copy(payload, 0, 7)
	w.write(uint32(len(kept)-1), 5)
	for _, p := range kept {
		w.copy(payload, p.from, p.to)
	}
	w.copy(payload, r.pos, end)
	return w.b, true
}

// trailingBit returns the position of the last bit that is set: it ends an OBU's
// payload (AV1 specification, Section 5.3.4). -1: there is none.
func trailingBit(b []byte) int {
	for i := 8*len(b) - 1; i >= 0; i-- {
		if b[i>>3]>>(7-i&7)&1 == 1 {
			return i
		}
	}
	return -1
}

// bitWriter writes from the most significant bit; what is left of the last byte
// is zero.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) write(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.n&7 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n>>3] |= byte(v>>i&1) << (7 - w.n&7)
		w.n++
	}
}

// copy writes the bits of b from one position to before another.
func (w *bitWriter) copy(b []byte, from, to int) {
	for i := from; i < to; i++ {
		w.write(uint32(b[i>>3]>>(7-i&7)), 1)
	}
}
