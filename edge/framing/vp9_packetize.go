package framing

import "fmt"

// vp9Packetizer writes the descriptor of RFC 9628, Section 4.2, in non-flexible
// mode without a picture id (see vp8Packetizer) and layer indices: a whole superframe
// travels as one layer frame, and receivers take every picture to refer to the one
// before it. No scalability structure: picture sizes are in the key frame itself.
type vp9Packetizer struct{ max int }

const vp9DescriptorBytes = 1

func (v *vp9Packetizer) Packetize(frame []byte, key bool, dst *Payloads) error {
	if len(frame) == 0 {
		return fmt.Errorf("%w: empty vp9 frame", ErrFrame)
	}
	piece := split(len(frame), v.max-vp9DescriptorBytes)
	dst.begin(len(frame) + (len(frame)/piece+1)*vp9DescriptorBytes)
	flags := byte(0x08 | 0x01) // B, Z: not a reference for higher spatial layers
	if !key {
		flags |= 0x40 // P
	}
	for len(frame) > 0 {
		n := min(piece, len(frame))
		if n == len(frame) {
			flags |= 0x04 // E
		}
		dst.buf = append(append(dst.buf, flags), frame[:n]...)
		dst.end()
		frame, flags = frame[n:], flags&^0x08
	}
	return nil
}
