package framing

import "fmt"

// h264Packetizer implements RFC 6184, packetization mode 1: units that fit are
// put together into STAP-A as far as they come one after another, larger ones
// are cut into FU-A of equal size.
type h264Packetizer struct {
	max  int
	run  [][]byte // NAL units waiting for more company
	size int      // of the STAP-A that run would make
}

const (
	fuHeaderBytes   = 2
	stapHeaderBytes = 1
	stapLengthBytes = 2
)

func (h *h264Packetizer) Packetize(frame []byte, _ bool, dst *Payloads) error {
	before := dst.Len()
	dst.begin(len(frame) + (len(frame)/(h.max-fuHeaderBytes)+4)*4)
	h.clear()
	pictures := false
	for rest := frame; ; {
		var nal []byte
		if nal, rest = nextNAL(rest); nal == nil {
			break
		}
		t := nal[0] & nalTypeMask
		switch {
		case t == nalAUD || t == nalFiller:
			continue // the marker bit delimits; padding is the transport's business
		case t == 0 || t >= nalSTAPA:
			dst.truncate(before)
			return fmt.Errorf("%w: h264 NAL unit of type %d", ErrFrame, t)
		}
		pictures = pictures || isVCL(t)
		if len(nal) > h.max {
			h.flush(dst)
			h.fragment(nal, dst)
			continue
		}
		if h.size+stapLengthBytes+len(nal) > h.max {
			h.flush(dst)
		}
		h.run = append(h.run, nal)
		h.size += stapLengthBytes + len(nal)
	}
	h.flush(dst)
	if !pictures {
		dst.truncate(before)
		return fmt.Errorf("%w: h264 access unit of %d bytes without a slice", ErrFrame, len(frame))
	}
	return nil
}

// flush writes the waiting units: one as it is, several as STAP-A.
func (h *h264Packetizer) flush(dst *Payloads) {
	switch len(h.run) {
	case 0:
		return
	case 1:
		dst.buf = append(dst.buf, h.run[0]...)
	default:
		// RFC 6184, Section 5.7: F is the or, NRI the largest of all.
		var f, nri byte
		for _, nal := range h.run {
			f |= nal[0] & 0x80
			nri = max(nri, nal[0]&0x60)
		}
		dst.buf = append(dst.buf, f|nri|nalSTAPA)
		for _, nal := range h.run {
			dst.buf = append(dst.buf, byte(len(nal)>>8), byte(len(nal)))
			dst.buf = append(dst.buf, nal...)
		}
	}
	dst.end()
	h.clear()
}

func (h *h264Packetizer) clear() {
	clear(h.run) // they alias the caller's frame
	h.run, h.size = h.run[:0], stapHeaderBytes
}

// fragment cuts a unit into FU-A: RFC 6184, Section 5.8. The unit's own header is
// not repeated, it is made again from the two header bytes.
func (h *h264Packetizer) fragment(nal []byte, dst *Payloads) {
	indicator, kind := nal[0]&^nalTypeMask|nalFUA, nal[0]&nalTypeMask
	data := nal[1:]
	piece := split(len(data), h.max-fuHeaderBytes)
	flag := byte(0x80) // start
	for len(data) > 0 {
		n := min(piece, len(data))
		if n == len(data) {
			flag |= 0x40 // end
		}
		dst.buf = append(dst.buf, indicator, flag|kind)
		dst.buf = append(dst.buf, data[:n]...)
		dst.end()
		data, flag = data[n:], 0
	}
}
