package framing

// h264Depacketizer implements RFC 6184 for packetization modes 0 and 1: single
// NAL units, STAP-A and FU-A. Units before the first slice are held back, because
// the slice tells whether the frame is a key frame; slices stream through.
type h264Depacketizer struct {
	frames

	sets parameterSets

	held     []byte // NAL units before the first slice, with start codes
	aud      int    // bytes of held that are an access unit delimiter at its front
	inlineSP [2]bool
	recovery bool // held has a recovery point

	fragment   byte   // type of the NAL unit whose fragments are arriving; 0 when none is
	prefix     []byte // start code and header of a fragmented slice
	unfinished []byte // fragmented unit before the first slice
	params     []byte // parameter sets put before a key frame that came without
}

func newH264Depacketizer(f frames, sets [][]byte) *h264Depacketizer {
	d := &h264Depacketizer{frames: f}
	for _, nal := range sets {
		d.sets.keep(nal)
	}
	return d
}

func (d *h264Depacketizer) Push(p Packet, out []Event) []Event {
	d.out = out
	if d.ended(&p) {
		d.close()
	}
	before := d.ts
	parse := d.enter(&p)
	if d.ts != before || p.Lost > 0 {
		d.clear()
	}
	if !parse {
		return d.leave()
	}
	if !d.payload(p.Payload) {
		d.lose()
		d.clear()
		return d.leave()
	}
	if p.Marker {
		d.close()
	}
	return d.leave()
}

// payload handles one RTP payload and reports false when the frame is lost.
func (d *h264Depacketizer) payload(b []byte) bool {
	switch t := b[0] & nalTypeMask; {
	case t >= 1 && t < nalSTAPA:
		return d.fragment == 0 && d.unit(b)
	case t == nalSTAPA:
		return d.fragment == 0 && d.aggregate(b[1:])
	case t == nalFUA:
		return d.fu(b)
	default: // interleaved modes were not offered; 0, 30 and 31 are reserved
		return false
	}
}

// aggregate handles a STAP-A: RFC 6184, Section 5.7.1.
func (d *h264Depacketizer) aggregate(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 3 {
			return false
		}
		n := int(b[0])<<8 | int(b[1])
		if n == 0 || n > len(b)-2 {
			return false
		}
		if !d.unit(b[2 : 2+n]) {
			return false
		}
		b = b[2+n:]
	}
	return true
}

// fu handles a FU-A: RFC 6184, Section 5.8.
func (d *h264Depacketizer) fu(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	start, end, kind := b[1]&0x80 != 0, b[1]&0x40 != 0, b[1]&nalTypeMask
	header, data := b[0]&^nalTypeMask|kind, b[2:]
	if start != (d.fragment == 0) || kind == 0 || !start && kind != d.fragment {
		return false // a fragment is missing, or the sender is confused
	}
	if start {
		d.prefix = append(append(d.prefix[:0], startCode...), header)
		if isVCL(kind) {
			var head [12]byte
			head[0] = header
			if n := copy(head[1:], data); !d.slice(head[:1+n]) {
				return false
			}
		}
		if d.open && !d.data(d.prefix) {
			return false
		}
		if !d.open {
			d.unfinished = append(d.unfinished[:0], header)
		}
	}
	d.fragment = kind
	if end {
		d.fragment = 0
	}
	if d.open {
		return d.data(data)
	}
	// A parameter set or message so long that it was cut: wait for all of it.
	if len(d.unfinished)+len(data) > maxHeldBytes {
		return false
	}
	d.unfinished = append(d.unfinished, data...)
	return !end || d.unit(d.unfinished)
}

// unit handles one whole NAL unit.
func (d *h264Depacketizer) unit(nal []byte) bool {
	t := nal[0] & nalTypeMask
	if t == nalSPS || t == nalPPS {
		d.sets.keep(nal)
	}
	if isVCL(t) {
		return d.slice(nal) && d.data(startCodeBytes) && d.data(nal)
	}
	if d.open { // after the slices: end of sequence, filler, redundant parts
		return d.data(startCodeBytes) && d.data(nal)
	}
	if len(d.held)+len(startCode)+len(nal) > maxHeldBytes {
		return false
	}
	switch t {
	case nalSPS, nalPPS:
		d.inlineSP[t-nalSPS] = true
	case nalSEI:
		d.recovery = d.recovery || recoveryPoint(nal)
	}
	d.held = append(append(d.held, startCode...), nal...)
	if t == nalAUD && d.aud == 0 && len(d.held) == len(startCode)+len(nal) {
		d.aud = len(d.held)
	}
	return true
}

// slice opens the frame at its first slice; nal may be only the beginning of it.
func (d *h264Depacketizer) slice(nal []byte) bool {
	if d.open {
		return true
	}
	first, intra := sliceHead(nal)
	if d.gap && first != 0 {
		return false // slices before this one were lost
	}
	idr := nal[0]&nalTypeMask == nalIDR
	// An I picture that comes with its SPS, or is marked as a recovery point, starts
	// streams of encoders that never send an IDR picture after the first.
	key := idr || intra && (d.recovery || d.inlineSP[0])
	if key {
		d.params = d.params[:0]
		if !d.inlineSP[0] {
			d.params = d.sets.append(d.params, nalSPS)
		}
		if !d.inlineSP[1] {
			d.params = d.sets.append(d.params, nalPPS)
		}
		if !d.sets.complete() {
			return false // nobody could decode it
		}
	}
	d.begin(key)
	if !key {
		return d.data(d.held)
	}
	// ITU-T H.264, Section 7.4.1.2.3: a delimiter comes first, parameter sets before messages.
	return d.data(d.held[:d.aud]) && d.data(d.params) && d.data(d.held[d.aud:])
}

// close ends the frame at its marked packet, or before the first of the next.
func (d *h264Depacketizer) close() {
	switch {
	case d.fragment != 0:
		d.lose()
	case d.open:
		d.finish()
	default:
		d.done = true // only parameter sets or messages: they are kept, there is no frame
	}
	d.clear()
}

func (d *h264Depacketizer) clear() {
	d.held, d.aud, d.inlineSP, d.recovery, d.fragment = d.held[:0], 0, [2]bool{}, false, 0
}
