package rtc

import "trellis/edge/framing"

// redPayloadType stands for Opus in payloads with redundancy until a viewer's own is
// put there: most have this one.
const redPayloadType = 111

// protect begins or ends to send a viewer its sound twice. The payloads are made
// once for all viewers, while there are such.
func (l *lane) protect(v *viewer, on bool) {
	if v.red == on {
		return
	}
	v.red = on
	v.redUsed = v.redUsed || on
	if on {
		l.metrics.redViewers.Inc()
	}
}

// protected reports whether any viewer is sent its sound twice.
func (l *lane) protected() bool {
	for _, v := range l.viewers {
		if v.red {
			return true
		}
	}
	return false
}

// addRED makes the payload of the newest object together with the one before it.
func (la *layer) addRED() {
	p := la.packets
	if p.head-p.tail < 2 {
		return
	}
	o, before := p.at(p.head-1), p.at(p.head-2)
	offset := o.ticks - before.ticks
	if o.payloads.Len() != 1 || before.payloads.Len() != 1 || offset <= 0 || offset > framing.MaxREDOffset ||
		o.payloads.Bytes()+before.payloads.Bytes() > framing.DefaultMaxPayload-redHeaders {
		return
	}
	o.red.AddRED([]framing.REDBlock{
		{PayloadType: redPayloadType, Offset: uint16(offset), Data: before.payloads.At(0)},
		{PayloadType: redPayloadType, Data: o.payloads.At(0)},
	})
}

// redHeaders is what the headers of two blocks take: RFC 2198, Section 3.
const redHeaders = 4 + 1

// redPayload returns an object's payload with redundancy, for this viewer.
func (v *viewer) redPayload(o *laneObject) []byte {
	b := o.red.At(0)
	if v.cfg.pt == redPayloadType {
		return b
	}
	v.scratch = append(v.scratch[:0], b...)
	v.scratch[0], v.scratch[4] = 0x80|v.cfg.pt, v.cfg.pt
	return v.scratch
}
