// Package flexfectest has a receiver of FlexFEC for tests, written from the draft
// and not from the encoder: draft-ietf-payload-flexible-fec-scheme-03, Section 6.3.
package flexfectest

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrBad is a repair packet that breaks the format.
var ErrBad = errors.New("not a repair packet")

// Decoder finds lost packets of one stream. What is mutable in header extensions
// must be zero in the packets that it is given, and is in those that it returns.
type Decoder struct {
	// SSRC is that of the stream.
	SSRC uint32

	media   map[uint16][]byte
	newest  uint16
	repairs []repair
}

// memory is for how many packets what has arrived is kept: their numbers come again.
const memory = 256

type repair struct {
	seqs    []uint16
	recover [8]byte // of the header, with the length
	body    []byte
}

// Media takes a packet of the stream that has arrived, and returns those that are found with it.
func (d *Decoder) Media(packet []byte) [][]byte {
	d.keep(packet)
	return d.solve()
}

func (d *Decoder) keep(packet []byte) {
	if d.media == nil {
		d.media = map[uint16][]byte{}
		d.newest = binary.BigEndian.Uint16(packet[2:])
	}
	seq := binary.BigEndian.Uint16(packet[2:])
	d.media[seq] = append([]byte(nil), packet...)
	for ; int16(seq-d.newest) > 0; d.newest++ { //nolint:gosec // modulo the space of numbers
		delete(d.media, d.newest-memory)
	}
}

// Repair takes the payload of a repair packet.
func (d *Decoder) Repair(payload []byte) ([][]byte, error) {
	r, err := parse(payload, d.SSRC)
	if err != nil {
		return nil, err
	}
	d.repairs = append(d.repairs, r)
	for d.newest-d.repairs[0].seqs[0] < 1<<15 && d.newest-d.repairs[0].seqs[0] > memory/2 {
		d.repairs = d.repairs[1:]
		if len(d.repairs) == 0 {
			break
		}
	}
	return d.solve(), nil
}

func parse(b []byte, ssrc uint32) (r repair, err error) {
	switch {
	case len(b) < 20:
		return r, fmt.Errorf("%w: %d bytes", ErrBad, len(b))
	case b[0]&0xc0 != 0:
		return r, fmt.Errorf("%w: R and F are %d", ErrBad, b[0]>>6)
	case b[8] != 1:
		return r, fmt.Errorf("%w: %d SSRCs", ErrBad, b[8])
	case binary.BigEndian.Uint32(b[12:]) != ssrc:
		return r, fmt.Errorf("%w: for another stream", ErrBad)
	}
	copy(r.recover[:], b)
	base := binary.BigEndian.Uint16(b[16:])
	at := uint16(0)
	rest := b[18:]
	for _, bytes := range []int{2, 4, 8} {
		if len(rest) < bytes {
			return r, fmt.Errorf("%w: the mask ends", ErrBad)
		}
		for i := 1; i < 8*bytes; i++ {
			if rest[i/8]>>(7-i%8)&1 == 1 {
				r.seqs = append(r.seqs, base+at)
			}
			at++
		}
		last := rest[0]&0x80 != 0
		rest = rest[bytes:]
		if last {
			r.body = append([]byte(nil), rest...)
			if len(r.seqs) == 0 {
				return r, fmt.Errorf("%w: it covers nothing", ErrBad)
			}
			return r, nil
		}
	}
	return r, fmt.Errorf("%w: the mask has no end", ErrBad)
}

// solve finds what it can.
func (d *Decoder) solve() (found [][]byte) {
	for more := true; more; {
		more = false
		left := d.repairs[:0]
		for _, r := range d.repairs {
			var missing []uint16
			for _, s := range r.seqs {
				if d.media[s] == nil {
					missing = append(missing, s)
				}
			}
			if len(missing) > 1 {
				left = append(left, r)
			}
			if len(missing) != 1 {
				continue
			}
			if p := d.find(r, missing[0]); p != nil {
				d.keep(p)
				found, more = append(found, p), true
			}
		}
		d.repairs = left
	}
	return found
}

// find is Section 6.3.2: the missing packet is what is left of the sum.
func (d *Decoder) find(r repair, seq uint16) []byte {
	h, body := r.recover, append([]byte(nil), r.body...)
	length := binary.BigEndian.Uint16(h[2:])
	for _, s := range r.seqs {
		p := d.media[s]
		if p == nil {
			continue
		}
		for i := range h {
			h[i] ^= p[i]
		}
		length ^= uint16(len(p) - 12) //nolint:gosec // of a test
		for i := 12; i < len(p) && i-12 < len(body); i++ {
			body[i-12] ^= p[i]
		}
	}
	if int(length) > len(body) {
		return nil
	}
	out := append([]byte{h[0]&0x3f | 0x80, h[1], 0, 0}, h[4:8]...)
	binary.BigEndian.PutUint16(out[2:], seq)
	out = binary.BigEndian.AppendUint32(out, d.SSRC)
	return append(out, body[:length]...)
}
