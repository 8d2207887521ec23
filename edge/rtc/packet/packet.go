// Package packet reads the headers of RTP packets as they come from the network. It
// is pure, and allocates nothing.
package packet

import (
	"encoding/binary"
	"errors"
	"time"
)

// Packet is an RTP packet that was received, with its protection taken off.
type Packet struct {
	Header
	// Payload is what follows the header, with the padding.
	Payload []byte
	// Arrival is when it came.
	Arrival time.Time
}

// Header is that of an RTP packet: RFC 3550, Section 5.1.
type Header struct {
	Marker      bool
	Padded      bool
	PayloadType uint8
	Seq         uint16
	Timestamp   uint32
	SSRC        uint32
	// Size is the length of the header; the payload follows.
	Size int

	extensions []byte // of the packet: one after the other
	wide       bool   // in the two-byte form
}

// ErrMalformed means that a packet has no RTP header.
var ErrMalformed = errors.New("malformed RTP header")

const (
	fixedSize = 12
	// The two forms of a header extension: RFC 8285, Sections 4.2 and 4.3.
	profileOneByte = 0xbede
	profileTwoByte = 0x1000 // and four bits for the application
)

// ParseHeader reads the header at the beginning of b, which it aliases. What follows is
// not looked at: it may be encrypted.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) < fixedSize || b[0]>>6 != 2 {
		return h, ErrMalformed
	}
	h.Padded, h.Marker, h.PayloadType = b[0]&0x20 != 0, b[1]&0x80 != 0, b[1]&0x7f
	h.Seq, h.Timestamp, h.SSRC = binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	h.Size = fixedSize + 4*int(b[0]&0x0f)
	if b[0]&0x10 == 0 {
		if len(b) < h.Size {
			return h, ErrMalformed
		}
		return h, nil
	}
	if len(b) < h.Size+4 {
		return h, ErrMalformed
	}
	profile, words := binary.BigEndian.Uint16(b[h.Size:]), int(binary.BigEndian.Uint16(b[h.Size+2:]))
	begin := h.Size + 4
	if h.Size = begin + 4*words; len(b) < h.Size {
		return h, ErrMalformed
	}
	if h.wide = profile&0xfff0 == profileTwoByte; h.wide || profile == profileOneByte {
		h.extensions = b[begin:h.Size]
	}
	return h, nil
}

// Extension returns the data of the extension with that number, nil if the packet has
// none. Number zero is never there.
func (h *Header) Extension(id uint8) []byte {
	for b := h.extensions; len(b) > 0 && id != 0; {
		if b[0] == 0 {
			b = b[1:] // padding between elements
			continue
		}
		var have uint8
		var size, head int
		if h.wide {
			if len(b) < 2 {
				return nil
			}
			have, size, head = b[0], int(b[1]), 2
		} else {
			// RFC 8285, Section 4.2: nothing after number 15 counts.
			if have, size, head = b[0]>>4, int(b[0]&0x0f)+1, 1; have == 15 {
				return nil
			}
		}
		if len(b) < head+size {
			return nil
		}
		if have == id {
			return b[head : head+size]
		}
		b = b[head+size:]
	}
	return nil
}

// Unpadded returns the payload without its padding: RFC 3550, Section 5.1: the last
// byte counts it, itself included.
func (p *Packet) Unpadded() []byte {
	if !p.Padded {
		return p.Payload
	}
	pad := 0
	if n := len(p.Payload); n > 0 {
		pad = int(p.Payload[n-1])
	}
	return p.Payload[:max(0, len(p.Payload)-max(pad, 1))]
}

// Unrepair makes of a retransmission the packet that it repeats, but for its SSRC and
// payload type, which the caller knows: RFC 4588, Section 4. False: it holds none, as
// one that only probes the path.
func (p *Packet) Unrepair() bool {
	if p.Payload = p.Unpadded(); len(p.Payload) < 2 {
		return false
	}
	p.Seq, p.Payload, p.Padded = binary.BigEndian.Uint16(p.Payload), p.Payload[2:], false
	return true
}
