package framing

import mathbits "math/bits"

// av1Layers finds out which layer an AV1 frame belongs to and what it refers to:
// from dependency descriptors, or, where there are none, from what the bitstream
// says of itself, and then the worst is assumed.
type av1Layers struct {
	sequence uint16 // operating_point_idc of the sequence header

	descriptors
	ts      uint32 // of the current picture
	begun   bool   // it has a frame
	first   uint16 // number of its first frame
	spatial uint8  // layer of its newest frame
	key     bool   // its first frame was a key frame
}

// packet takes notice of a packet.
func (l *av1Layers) packet(p *Packet) {
	if p.Timestamp != l.ts {
		l.ts, l.begun = p.Timestamp, false
	}
	l.descriptors.packet(p)
}

// last reports whether the packet at hand ends its frame.
func (l *av1Layers) last() bool { return l.described && l.dep.Last }

// changes reports whether a frame is of another layer than the one that is open.
func (l *av1Layers) changes(o obu) bool { return !l.described && obuSpatial(o) != l.spatial }

// obuSpatial and obuTemporal read the extension of an OBU header (AV1
// specification, Section 5.3.3).
func obuSpatial(o obu) uint8 {
	if len(o.header) < 2 {
		return 0
	}
	return o.header[1] >> 3 & 3
}

func obuTemporal(o obu) uint8 {
	if len(o.header) < 2 {
		return 0
	}
	return o.header[1] >> 5
}

// begin returns the layer of the frame that begins with o.
func (l *av1Layers) begin(o obu, key bool) Layer {
	if !l.begun {
		l.first, l.key = l.dep.Frame, key
	}
	l.begun, l.spatial = true, obuSpatial(o)
	if !l.described {
		spatials, temporals := mathbits.Len16(l.sequence>>8), mathbits.Len16(l.sequence&0xff)
		if spatials <= 1 && temporals <= 1 {
			return Layer{}
		}
		return Layer{
			Spatial: l.spatial, Temporal: obuTemporal(o),
			Spatials: uint8(spatials), Temporals: uint8(temporals),
			Below: l.spatial > 0 && !key, Before: !l.key,
		}
	}
	layer := Layer{
		Spatial: l.dep.Spatial, Temporal: l.dep.Temporal, Spatials: l.structure.Spatials, Temporals: l.structure.Temporals,
		Width: l.structure.Widths[l.dep.Spatial], Height: l.structure.Heights[l.dep.Spatial],
	}
	for _, diff := range l.dep.Diffs() {
		if diff <= l.dep.Frame-l.first {
			layer.Below = true
		} else {
			layer.Before = true
		}
	}
	return layer
}
