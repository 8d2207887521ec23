package framing

import "fmt"

// av1Packetizer implements the AV1 RTP payload format, version 1.0: OBUs lose
// their size fields, the temporal delimiter goes, and elements fill packets of one
// size one after another, cut where a packet is full.
type av1Packetizer struct {
	max  int
	obus []obu // of the frame at hand

	// The packet being made.
	elements  []obu // whole, or the beginning or end of one; at most maxElements
	room      int   // bytes left for the next element
	continues bool  // its first element continues one of the packet before
	start     bool  // it begins a coded video sequence
}

// maxCounted is how many elements W can count. Then the last needs no length; no
// packet is given more.
const maxCounted = 3

// minFragment is the least room for which an OBU is cut. It must hold its header.
const minFragment = 8

const aggregationBytes = 1

func (a *av1Packetizer) Packetize(frame []byte, key bool, dst *Payloads) error {
	defer a.clear()
	total := 0
	for rest := frame; len(rest) > 0; {
		o, r, ok := parseOBU(rest)
		if !ok {
			return fmt.Errorf("%w: av1 temporal unit of %d bytes: bad OBU at %d", ErrFrame, len(frame), len(frame)-len(rest))
		}
		rest = r
		switch obuType(o.header[0]) {
		case obuTemporalDelimiter, obuTileList, obuPadding:
			continue
		}
		a.obus = append(a.obus, o)
		size := len(o.header) + len(o.payload)
		total += size + leb128Len(size)
	}
	if len(a.obus) == 0 {
		return fmt.Errorf("%w: av1 temporal unit of %d bytes without content", ErrFrame, len(frame))
	}
	piece := split(total, a.max-aggregationBytes)
	dst.begin(total + (total/piece+2)*aggregationBytes)
	a.start = key
	for i, o := range a.obus {
		a.add(o, i < len(a.obus)-1, piece, dst)
	}
	a.flush(false, piece, dst)
	return nil
}

// add writes an OBU into packets with room for piece bytes of elements each. more
// says that other OBUs follow.
//
// Without a dependency descriptor, receivers take every packet that begins with a
// whole OBU for the first of its frame. So an OBU that would fill the packet to its
// end leaves its last byte to the next one, unless it is the last of all.
func (a *av1Packetizer) add(o obu, more bool, piece int, dst *Payloads) {
	for {
		if len(a.elements) == 0 {
			a.room = piece
		}
		size := len(o.header) + len(o.payload)
		left := a.room - size - leb128Len(size) // with the length that it needs if another follows
		full := len(a.elements) == maxCounted-1 || left < minFragment
		switch {
		case len(a.elements) == maxCounted:
			a.flush(false, piece, dst)
		case size <= a.room && (!more || !full || len(o.payload) < 2):
			a.elements = append(a.elements, o)
			a.room = left
			return
		case a.room < minFragment && len(a.elements) > 0:
			a.flush(false, piece, dst)
		default: // of a packet, or of all packets together, there is room for one byte at least
			n := min(a.room-len(o.header), len(o.payload)-1)
			a.elements = append(a.elements, obu{header: o.header, payload: o.payload[:n]})
			o = obu{payload: o.payload[n:]}
			a.flush(true, piece, dst)
		}
	}
}

// flush writes the packet; continued says that its last element goes on in the next.
// The aggregation header of Section 4.4 is Z Y W W N - - -.
func (a *av1Packetizer) flush(continued bool, piece int, dst *Payloads) {
	if len(a.elements) == 0 {
		return
	}
	h := byte(len(a.elements)) << 4
	if a.continues {
		h |= 0x80
	}
	if continued {
		h |= 0x40
	}
	if a.start {
		h |= 0x08
	}
	dst.buf = append(dst.buf, h)
	for i, e := range a.elements {
		if i < len(a.elements)-1 {
			dst.buf = appendLEB128(dst.buf, uint64(len(e.header)+len(e.payload)))
		}
		if len(e.header) > 0 {
			dst.buf = append(dst.buf, e.header[0]&^obuHasSize)
			dst.buf = append(dst.buf, e.header[1:]...)
		}
		dst.buf = append(dst.buf, e.payload...)
	}
	dst.end()
	clear(a.elements)
	a.elements, a.room, a.continues, a.start = a.elements[:0], piece, continued, false
}

func (a *av1Packetizer) clear() {
	clear(a.obus) // they alias the caller's frame
	a.obus = a.obus[:0]
}
