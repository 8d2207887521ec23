package framing

import (
	"bytes"
	"slices"
)

// av1Depacketizer implements the AV1 RTP payload format, version 1.0. The size of
// an OBU precedes it in the stream but is not in the packets, so that an OBU is
// handed on when all of it is there.
type av1Depacketizer struct {
	frames
	apart bool // layers stay apart

	sequence []byte // the last sequence header OBU, with size field
	reduced  bool   // it announces reduced still pictures

	fragment []byte // beginning of an OBU whose rest is to come
	partial  bool   // fragment is in use
	held     []byte // OBUs before the first frame
	heldSeq  bool   // held has a sequence header
	joined   []byte // the OBU that this Push completed
	headers  []byte // OBU headers made in this Push

	layers av1Layers
}

// aggregation is the header of Section 4.4: Z Y W W N - - -.
type aggregation struct {
	continues bool // Z: the first element continues one of the packet before
	continued bool // Y: the last element goes on in the next packet
	count     int  // W: number of elements, 0 when each has a length
	start     bool // N: first packet of a coded video sequence
}

func parseAggregation(b byte) aggregation {
	return aggregation{continues: b&0x80 != 0, continued: b&0x40 != 0, count: int(b >> 4 & 3), start: b&0x08 != 0}
}

func (d *av1Depacketizer) Push(p Packet, out []Event) []Event {
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
	d.headers = d.headers[:0]
	if d.apart {
		d.layers.packet(&p)
	}
	if !d.payload(p.Payload) {
		d.lose()
		d.clear()
		return d.leave()
	}
	if d.apart && d.open && d.layers.last() {
		d.nextLayer()
	}
	if p.Marker {
		d.close()
	}
	return d.leave()
}

// payload takes the elements of a packet and reports false when the frame is lost.
func (d *av1Depacketizer) payload(b []byte) bool {
	a := parseAggregation(b[0])
	b = b[1:]
	if a.continues != d.partial || a.start && a.continues || len(b) == 0 {
		return false // a packet is missing, or the sender is confused
	}
	if d.gap && !d.open && len(d.held) == 0 && !d.partial && !a.start && !startsUnit(b, a.count) {
		return false // the beginning of the temporal unit may be lost
	}
	for i := 1; len(b) > 0; i++ {
		element := b
		if i != a.count { // every element but the last of W has a length
			size, n := leb128(b)
			if n == 0 || size > uint64(len(b)-n) {
				return false
			}
			element, b = b[n:n+int(size)], b[n+int(size):]
		} else {
			b = nil
		}
		if !d.element(element, a.continued && len(b) == 0) {
			return false
		}
		if a.count == 0 && i > maxElements {
			return false
		}
	}
	return true
}

// maxElements bounds what one packet makes us do: real packets hold a handful.
const maxElements = 512

// startsUnit reports whether the first element of a packet can only be the first
// OBU of a temporal unit.
func startsUnit(b []byte, count int) bool {
	if count != 1 {
		_, n := leb128(b)
		b = b[n:]
	}
	if len(b) == 0 {
		return false
	}
	t := obuType(b[0])
	return t == obuSequenceHeader || t == obuTemporalDelimiter
}

// element takes one element: an OBU, or a fragment of one.
func (d *av1Depacketizer) element(b []byte, more bool) bool {
	if d.partial || more {
		if len(d.fragment)+len(b) > d.max {
			return false
		}
		d.fragment = append(d.fragment, b...)
		d.partial = more
		if more {
			return true
		}
		// The whole OBU moves, because events refer to it until the next Push.
		b = d.fragment
		d.fragment, d.joined = d.joined[:0], b
		return d.unit(b)
	}
	return d.unit(b)
}

// unit takes one whole OBU.
func (d *av1Depacketizer) unit(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	o, _, ok := parseOBU(b)
	if !ok {
		return false
	}
	switch t := obuType(o.header[0]); t {
	case obuTemporalDelimiter, obuTileList, obuPadding:
		return true // Section 5 of the payload format: to be removed, or ignored
	case obuSequenceHeader:
		d.keepSequence(o)
		if !d.open {
			d.heldSeq = true
		}
	case obuFrame, obuFrameHeader:
		if d.apart && d.open && d.layers.changes(o) {
			d.nextLayer()
		}
		if !d.open && !d.first(o) {
			return false
		}
	}
	if !d.open {
		if len(d.held)+len(b)+8 > maxHeldBytes {
			return false
		}
		d.held = append(o.appendHeader(d.held), o.payload...)
		return true
	}
	return d.emit(o)
}

// first opens the temporal unit at its first frame.
func (d *av1Depacketizer) first(o obu) bool {
	key := av1FrameKey(o.payload, d.reduced)
	if key && d.sequence == nil {
		return false // nobody could decode it
	}
	d.begin(key)
	var layer Layer
	if d.apart {
		layer = d.layers.begin(o, key)
		d.out[len(d.out)-1].Layer = layer
	}
	if layer.Alone() && !d.data(temporalDelimiter) {
		return false
	}
	if key && !d.heldSeq && !d.data(d.sequence) {
		return false
	}
	return d.data(d.held)
}

func (d *av1Depacketizer) emit(o obu) bool {
	var h [10]byte
	header := o.appendHeader(h[:0])
	at := len(d.headers)
	d.headers = append(d.headers, header...)
	return d.data(d.headers[at:]) && d.data(o.payload)
}

// keepSequence remembers a sequence header OBU.
func (d *av1Depacketizer) keepSequence(o obu) {
	var h [10]byte
	header := o.appendHeader(h[:0])
	if len(d.sequence) == len(header)+len(o.payload) && bytes.HasSuffix(d.sequence, o.payload) && bytes.HasPrefix(d.sequence, header) {
		return
	}
	s, ok := parseAV1Sequence(o.payload)
	if !ok {
		return
	}
	d.reduced, d.layers.sequence = s.reduced, s.layers
	d.sequence = slices.Concat(header, o.payload)
}

// close ends the temporal unit.
func (d *av1Depacketizer) close() {
	switch {
	case d.partial:
		d.lose()
	case d.open:
		d.finish() // of the layer, if they stay apart: with it the picture
	default:
		d.done = true // headers only: they are kept, there is no frame
	}
	d.clear()
}

// nextLayer ends the frame of a layer. What comes before the next one must not
// overwrite what events of this Push refer to.
func (d *av1Depacketizer) nextLayer() {
	d.next()
	d.held, d.heldSeq = nil, false
}

func (d *av1Depacketizer) clear() {
	d.fragment, d.partial = d.fragment[:0], false
	d.held, d.heldSeq = d.held[:0], false
}
