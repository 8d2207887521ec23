package framing

// vp9Depacketizer implements RFC 9628, Section 4. Spatial layers arrive as frames
// of their own with one timestamp; they become one superframe, or stay apart.
type vp9Depacketizer struct {
	frames
	apart bool // layers stay apart

	layer  int    // bytes of the layer frame that is arriving
	layers []int  // sizes of those before it
	inside bool   // a layer frame has begun and not ended
	index  []byte // superframe index

	count int // layer frames of the picture that have begun

	dependency    descriptors
	structure     vp9Structure // the last that the sender has told
	seenTemporals uint8        // temporal layers that have come

	spatials, temporals uint8 // layers at the last key picture
}

// vp9Descriptor is the payload descriptor, as far as it matters here.
type vp9Descriptor struct {
	predicted  bool  // P: depends on an earlier picture
	begin, end bool  // B, E: of a layer frame
	layered    bool  // L: there are layer indices
	temporal   uint8 // TID
	spatial    uint8 // SID
	below      bool  // D: depends on the next lower layer in this picture
	structured bool  // V: structure is set
	structure  vp9Structure
}

// vp9Structure is the scalability structure, as far as it matters here.
type vp9Structure struct {
	spatials, temporals uint8 // zero temporals: it does not say
	widths, heights     [maxVP9Layers]uint16
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
		d.layered, d.temporal, d.spatial, d.below = true, b[n]>>5, b[n]>>1&0x07, b[n]&0x01 != 0
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
		s, size, ok := parseVP9Structure(b[min(n, len(b)):])
		if !ok {
			return d, nil, false
		}
		d.structured, d.structure = true, s
		n += size
	}
	if len(b) <= n {
		return d, nil, false
	}
	return d, b[n:], true
}

// parseVP9Structure reads the scalability structure at the front of b and returns
// its size.
// RFC 9628, Section 4.2.1: N_S Y G | [Y] width, height per layer | [G] N_G | per picture TID U R | R P_DIFF.
func parseVP9Structure(b []byte) (s vp9Structure, n int, ok bool) {
	if len(b) < 1 {
		return s, 0, false
	}
	s.spatials = b[0]>>5 + 1
	n = 1
	if b[0]&0x10 != 0 { // Y
		for i := range s.spatials {
			if len(b) < n+4 {
				return s, 0, false
			}
			s.widths[i], s.heights[i] = uint16(b[n])<<8|uint16(b[n+1]), uint16(b[n+2])<<8|uint16(b[n+3])
			n += 4
		}
	}
	if b[0]&0x08 != 0 { // G
		if len(b) <= n {
			return s, 0, false
		}
		pictures := int(b[n])
		n++
		for range pictures {
			if len(b) <= n {
				return s, 0, false
			}
			s.temporals = max(s.temporals, b[n]>>5+1)
			n += 1 + int(b[n]>>2&0x03)
		}
	}
	return s, n, true
}

func (d *vp9Depacketizer) Push(p Packet, out []Event) []Event {
	d.out = out
	if d.ended(&p) {
		d.close()
	}
	before, seen := d.ts, d.seen
	parse := d.enter(&p)
	if !seen || d.ts != before {
		d.count, d.inside = 0, false
	}
	d.inside = d.inside && p.Lost == 0
	if d.apart {
		d.dependency.packet(&p)
	}
	if !parse {
		return d.leave()
	}
	desc, data, ok := parseVP9Descriptor(p.Payload)
	if !ok || !d.step(desc, data) {
		d.inside = false
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
	if desc.begin {
		// After a gap, a higher layer's frame does not begin the picture for sure.
		if d.inside || d.count == maxVP9Layers || d.apart && desc.spatial >= maxSpatial || d.count == 0 && d.gap && desc.spatial != 0 {
			return false
		}
		d.beginLayer(desc, data)
	} else if !d.inside {
		return false
	}
	d.layer += len(data)
	d.inside = !desc.end
	if !d.data(data) {
		return false
	}
	if d.apart && desc.end {
		d.next()
	}
	return true
}

// beginLayer opens the frame of a layer, and with the first that of the picture.
func (d *vp9Depacketizer) beginLayer(desc vp9Descriptor, data []byte) {
	if d.count == 0 {
		d.layers = d.layers[:0]
	} else {
		d.layers = append(d.layers, d.layer)
	}
	if d.count == 0 || d.apart {
		key, known := vp9Key(data)
		d.begin(key || !known && !desc.predicted)
	}
	if d.apart {
		d.out[len(d.out)-1].Layer = d.layerOf(desc)
	}
	d.layer = 0
	d.count++
}

// layerOf says which layer a frame is of. How many temporal layers there are, key
// pictures alone may change, for a sender need not say it before they come.
func (d *vp9Depacketizer) layerOf(desc vp9Descriptor) Layer {
	if desc.structured {
		d.structure = desc.structure
	}
	if !desc.layered {
		d.seenTemporals, d.temporals = 0, 0
		return Layer{}
	}
	d.seenTemporals = max(d.seenTemporals, desc.temporal+1)
	if desc.spatial == 0 && !desc.predicted {
		d.temporals = max(d.seenTemporals, d.structure.temporals)
		d.spatials = d.structure.spatials
		if s := d.dependency.structure; s != nil {
			// It has all layers, the payload's structure those that are sent now.
			d.spatials, d.temporals = s.Spatials, s.Temporals
		}
	}
	return Layer{
		Spatial: desc.spatial, Temporal: desc.temporal,
		Spatials: max(d.spatials, desc.spatial+1), Temporals: d.temporals,
		Below: desc.below, Before: desc.predicted,
		Width: d.structure.widths[desc.spatial], Height: d.structure.heights[desc.spatial],
	}
}

// maxVP9Layers is how many frames a superframe can hold (VP9 specification, Annex B.2).
const maxVP9Layers = 8

// close ends the picture. More than one layer frame makes a superframe.
func (d *vp9Depacketizer) close() {
	if d.inside && d.open {
		d.inside = false
		d.lose()
		return
	}
	if d.apart {
		d.done = true
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
