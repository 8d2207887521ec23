package framing

import "fmt"

// vp8Depacketizer implements RFC 7741, Section 4.
type vp8Depacketizer struct {
	frames
}

// vp8Descriptor is the payload descriptor, as far as it matters here.
type vp8Descriptor struct {
	start     bool  // S: start of a partition
	partition uint8 // PID
}

// parseVP8Descriptor reads the descriptor of RFC 7741, Section 4.2:
//
//	X R N S R PID | [X] I L T K RSV | [I] M PictureID (7 or 15 bits) | [L] TL0PICIDX | [T/K] TID Y KEYIDX
//
// The rest aliases b and is not empty.
func parseVP8Descriptor(b []byte) (d vp8Descriptor, rest []byte, ok bool) {
	if len(b) < 1 {
		return d, nil, false
	}
	first := b[0]
	d.start, d.partition = first&0x10 != 0, first&0x07
	n := 1
	if first&0x80 != 0 { // X
		if len(b) < 2 {
			return d, nil, false
		}
		ext := b[1]
		n = 2
		if ext&0x80 != 0 { // I
			if len(b) <= n {
				return d, nil, false
			}
			if b[n]&0x80 != 0 { // M
				n++
			}
			n++
		}
		if ext&0x40 != 0 { // L
			n++
		}
		if ext&0x30 != 0 { // T or K
			n++
		}
	}
	if len(b) <= n {
		return d, nil, false
	}
	return d, b[n:], true
}

func (d *vp8Depacketizer) Push(p Packet, out []Event) []Event {
	d.out = out
	if d.ended(&p) {
		d.finish()
	}
	if !d.enter(&p) {
		return d.leave()
	}
	desc, data, ok := parseVP8Descriptor(p.Payload)
	switch {
	case !ok:
		d.lose()
		return d.leave()
	case !d.open && (!desc.start || desc.partition != 0):
		d.lose() // its first packet is missing
		return d.leave()
	case !d.open:
		// RFC 6386, Section 9.1: the lowest bit of the frame tag is 0 in key frames.
		d.begin(data[0]&1 == 0)
	}
	if d.data(data) && p.Marker {
		d.finish()
	}
	return d.leave()
}

// vp8Packetizer writes the shortest descriptor, without a picture id: receivers then
// take every frame to refer to the one before it, by sequence numbers, which go on
// when a viewer changes to another layer or begins a group again. Picture ids would go
// back or jump then, and Chromium drops frames whose id is below the last one's if they
// overtake the key frame.
type vp8Packetizer struct{ max int }

const vp8DescriptorBytes = 1

func (v *vp8Packetizer) Packetize(frame []byte, _ bool, dst *Payloads) error {
	if len(frame) == 0 {
		return fmt.Errorf("%w: empty vp8 frame", ErrFrame)
	}
	piece := split(len(frame), v.max-vp8DescriptorBytes)
	dst.begin(len(frame) + (len(frame)/piece+1)*vp8DescriptorBytes)
	flags := byte(0x10) // S; the frame travels as one partition, number 0
	for len(frame) > 0 {
		n := min(piece, len(frame))
		dst.buf = append(append(dst.buf, flags), frame[:n]...)
		dst.end()
		frame, flags = frame[n:], 0
	}
	return nil
}
