package framing

import (
	"errors"
	"fmt"
)

// ErrRED is wrapped by errors about a payload of redundant audio.
var ErrRED = errors.New("redundant audio")

const (
	// MaxREDBlocks bounds the redundant blocks of a packet. Browsers send up to two.
	MaxREDBlocks = 4
	// MaxREDOffset and maxREDLength are what the fields of 14 and 10 bits hold.
	MaxREDOffset = 1<<14 - 1
	maxREDLength = 1<<10 - 1
)

// REDBlock is one block of a payload of RFC 2198: Section 3.
type REDBlock struct {
	PayloadType uint8
	// Offset is how much earlier than the packet's its timestamp is; zero for the last
	// block, the primary one.
	Offset uint16
	Data   []byte
}

// ParseRED splits a payload into its blocks and appends them to dst, the oldest
// first and the primary one last. They alias b.
//
//	1 PT (7) Offset (14) Length (10) per redundant block | 0 PT (7) | data of all blocks
func ParseRED(b []byte, dst []REDBlock) ([]REDBlock, error) {
	headers := b
	at, n := 0, 0
	for ; ; n++ {
		if len(headers) == 0 {
			return dst, fmt.Errorf("%w: no primary block", ErrRED)
		}
		if headers[0]&0x80 == 0 {
			at++
			break
		}
		if len(headers) < 4 || n == MaxREDBlocks {
			return dst, fmt.Errorf("%w: %d bytes of headers after %d blocks", ErrRED, len(headers), n)
		}
		headers = headers[4:]
		at += 4
	}
	for i := range n {
		h := b[4*i:]
		length := int(h[2]&3)<<8 | int(h[3])
		if length > len(b)-at {
			return dst, fmt.Errorf("%w: block of %d bytes, %d are left", ErrRED, length, len(b)-at)
		}
		dst = append(dst, REDBlock{PayloadType: h[0] & 0x7f, Offset: uint16(h[1])<<6 | uint16(h[2])>>2, Data: b[at : at+length]})
		at += length
	}
	return append(dst, REDBlock{PayloadType: b[4*n] & 0x7f, Data: b[at:]}), nil
}

// AppendRED appends a payload of these blocks, the oldest first and the primary
// one last. A redundant block that a header cannot describe is left out, with all
// before it: what is given must follow one another.
func AppendRED(b []byte, blocks []REDBlock) []byte {
	last := len(blocks) - 1
	first := last
	for first > 0 && last-first < MaxREDBlocks && blocks[first-1].describable() {
		first--
	}
	for _, r := range blocks[first:last] {
		b = append(b, 0x80|r.PayloadType, byte(r.Offset>>6), byte(r.Offset<<2)|byte(len(r.Data)>>8), byte(len(r.Data)))
	}
	b = append(b, blocks[last].PayloadType&0x7f)
	for _, r := range blocks[first:] {
		b = append(b, r.Data...)
	}
	return b
}

// AddRED adds a payload of these blocks to p.
func (p *Payloads) AddRED(blocks []REDBlock) {
	n := 0
	for _, r := range blocks {
		n += 4 + len(r.Data)
	}
	p.begin(n)
	p.buf = AppendRED(p.buf, blocks)
	p.end()
}

func (r *REDBlock) describable() bool {
	return r.Offset > 0 && r.Offset <= MaxREDOffset && len(r.Data) <= maxREDLength
}
