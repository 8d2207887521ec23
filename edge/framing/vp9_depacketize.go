package framing

// vp9Depacketizer implements RFC 9628, Section 4. Spatial layers arrive as frames
// of their own with one timestamp; they become one superframe.
type vp9Depacketizer struct {
	frames

	layer  int    // bytes of the layer frame that is arriving
	layers []int  // sizes of those before it
	inside bool   // a layer frame has begun and not ended
	index  []byte // superframe index
}

// vp9Descriptor is the payload descriptor, as far as it matters here.
type vp9Descriptor struct {
	predicted  bool  // P: depends on an earlier picture
	begin, end bool  // B, E: of a layer frame
	spatial    uint8 // SID
}

// parseVP9Descriptor reads the descriptor of RFC 9628, Section 4.2:
//
//	I P L F B E V Z | [I] M PictureID | [L] TID U SID D | [L, not F] TL0PICIDX | [F and P] up to 3 P_DIFF | [V] SS
//
// The rest aliases b and is not empty.
func parseVP9Descriptor(b []byte) (d vp9Descriptor, rest []byte, ok bool) {
	if len(b) < 1 {
		return d, nil, false
	}
	first := b[0]
	flexible := first&0x10 != 0
	d.predicted, d.begin, d.end = first&0x40 != 0, first&0x08 != 0, first&0x04 != 0
	n := 1
	if first&0x80 != 0 { // I
		if len(b) <= n {
			return d, nil, false
		}
		if b[n]&0x80 != 0 { // M
			n++
		}
		n++
	}
	if first&0x20 != 0 { // L
		if len(b) <= n {
			return d, nil, false
		}
		d.spatial = b[n] >> 1 & 0x07
		n++
		if !flexible {
			n++ // TL0PICIDX
		}
	}
	if flexible && d.predicted {
		for i := 0; ; i++ {
			if i == 3 || len(b) <= n {
				return d, nil, false
			}
			more := b[n]&0x01 != 0 // N
			n++
			if !more {
				break
			}
		}
	}
	if first&0x02 != 0 { // V
		size, ok := vp9StructureBytes(b[min(n, len(b)):])
		if !ok {
			return d, nil, false
		}
		n += size
	}
	if len(b) <= n {
		return d, nil, false
	}
	return d, b[n:], true
}

// vp9StructureBytes returns the size of the scalability structure at the front of b.
// RFC 9628, Section 4.2.1: N_S Y G | [Y] width, height per layer | [G] N_G | per picture TID U R | R P_DIFF.
func vp9StructureBytes(b []byte) (int, bool) {
	if len(b) < 1 {
		return 0, false
	}
	n := 1
	if b[0]&0x10 != 0 { // Y
		n += (int(b[0]>>5) + 1) * 4
	}
	if b[0]&0x08 != 0 { // G
		if len(b) <= n {
			return 0, false
		}
		pictures := int(b[n])
		n++
		for range pictures {
			if len(b) <= n {
				return 0, false
			}
			n += 1 + int(b[n]>>2&0x03)
		}
	}
	return n, true
}

func (d *vp9Depacketizer) Push(p Packet, out []Event) []Event {
	d.out = out
	if d.ended(&p) {
		d.close()
	}
	if !d.enter(&p) {
		return d.leave()
	}
	desc, data, ok := parseVP9Descriptor(p.Payload)
	if !ok || !d.step(desc, data) {
		d.lose()
		return d.leave()
	}
	if p.Marker {
		d.close()
	}
	return d.leave()
}

// step takes the content of a packet and reports false when the frame is lost.
func (d *vp9Depacketizer) step(desc vp9Descriptor, data []byte) bool {
	switch {
	case !d.open:
		// After a gap, a higher layer's frame does not begin the picture for sure.
		if !desc.begin || d.gap && desc.spatial != 0 {
			return false
		}
		key, known := vp9Key(data)
		d.begin(key || !known && !desc.predicted)
		d.layers, d.layer, d.inside = d.layers[:0], 0, true
	case desc.begin:
		if d.inside || len(d.layers) == maxVP9Layers-1 {
			return false
		}
		d.layers = append(d.layers, d.layer)
		d.layer, d.inside = 0, true
	case !d.inside:
		return false
	}
	d.layer += len(data)
	d.inside = !desc.end
	return d.data(data)
}

// maxVP9Layers is how many frames a superframe can hold (VP9 specification, Annex B.2).
const maxVP9Layers = 8

// close ends the picture. More than one layer frame makes a superframe.
func (d *vp9Depacketizer) close() {
	if d.inside && d.open {
		d.lose()
		return
	}
	if d.open && len(d.layers) > 0 {
		d.layers = append(d.layers, d.layer)
		d.index = appendSuperframeIndex(d.index[:0], d.layers)
		if !d.data(d.index) {
			return
		}
	}
	d.finish()
}

// appendSuperframeIndex writes the index of VP9 specification, Annex B.3: a marker
// byte on both sides of the frames' sizes in little endian.
func appendSuperframeIndex(b []byte, sizes []int) []byte {
	width := 1
	for _, s := range sizes {
		for width < 4 && s>>(8*width) != 0 {
			width++
		}
	}
	marker := 0xc0 | byte(width-1)<<3 | byte(len(sizes)-1)
	b = append(b, marker)
	for _, s := range sizes {
		for i := range width {
			b = append(b, byte(s>>(8*i)))
		}
	}
	return append(b, marker)
}
