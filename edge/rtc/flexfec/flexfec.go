// Package flexfec makes repair packets of FlexFEC in the form that browsers
// understand: draft-ietf-payload-flexible-fec-scheme-03, which is not that of RFC 8627.
//
//	Cover   which repair packets of a group hold which of its media packets
//	Append  the payload of one repair packet
//
// A repair packet is the exclusive or of the packets it covers, so whoever has it
// and all of those but one has that one, too. It is pure: the packets are the
// caller's to keep and to send.
package flexfec

import (
	"crypto/subtle"
	"encoding/binary"
)

// Packet is a media packet as the viewer's decoder will see it: header extensions
// that are written last, such as the transport-wide sequence number, are zero in
// it, as decoders make them before they use them.
type Packet struct {
	Header  []byte // with extensions
	Payload []byte
}

const (
	// MaxPackets bounds a group. Chromium keeps the last 48 packets of a stream for
	// repairs, and those of a group must still be there when the repairs come.
	MaxPackets = 40
	// MaxSpan is how far apart the sequence numbers of a group may be: a mask of 46
	// bits takes two words of the header, a longer one four.
	MaxSpan = 46
	// MaxRepairs is how many repair packets a group may have.
	MaxRepairs = MaxPackets / 2
	// Overhead is by how much a payload can be longer than the longest packet that it
	// covers is without its fixed header.
	Overhead = 24

	fixedHeader = 12 // of RTP: RFC 3550, Section 5.1
	shortMask   = 15 // bits in the first word
)

// Cover returns the repair packets of m that cover packet i of a group; a and b are
// the same where it is one. With few repair packets, some packets are in one of
// them and some in two, so that they differ as much as they can. With four and more, each is
// in two that no other packet is in together, as long as there are such: what is
// lost is then found out unless it closes a ring, which takes three packets, instead of two
// in one repair packet. Consecutive packets share as little as possible, for losses come in bursts.
func Cover(i, m int) (a, b int) {
	if m < 4 {
		// The repair packets one by one, then the pairs of them.
		k := i % (m * (m + 1) / 2)
		if k < m {
			return k, k
		}
		k -= m
		return k % m, (k + 1) % m
	}
	k := i % (m * (m - 1) / 2)
	return k % m, (k%m + k/m + 1) % m
}

// Append appends the payload of repair packet r of m for a group: the header of
// Section 4.2 of the draft, and the exclusive or of what it covers. The group has at most
// MaxPackets packets of one stream, in the order of their sequence numbers, at most MaxSpan
// apart. It returns dst as it is where r covers none.
func Append(dst []byte, group []Packet, r, m int) []byte {
	longest, first, mask := 0, 0, uint64(0)
	var base uint16
	for i := range group {
		if !covers(i, r, m) {
			continue
		}
		seq := binary.BigEndian.Uint16(group[i].Header[2:])
		if mask == 0 {
			first, base = i, seq
		}
		mask |= 1 << (63 - (seq - base))
		longest = max(longest, len(group[i].Header)-fixedHeader+len(group[i].Payload))
	}
	if mask == 0 {
		return dst
	}
	start := len(dst)
	// The first 64 bits are those of the RTP headers, with the length in the place of the
	// sequence number. R and F are zero, and there is one SSRC.
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0)
	dst = append(dst, group[first].Header[8:12]...)
	dst = binary.BigEndian.AppendUint16(dst, base)
	word := uint16(mask >> (64 - shortMask))
	if rest := mask << shortMask; rest == 0 {
		dst = binary.BigEndian.AppendUint16(dst, 1<<15|word) // k: there are no more words
	} else {
		dst = binary.BigEndian.AppendUint16(dst, word)
		dst = binary.BigEndian.AppendUint32(dst, 1<<31|uint32(rest>>33))
	}
	body := len(dst)
	dst = append(dst, make([]byte, longest)...)
	head, sum := dst[start:start+8], dst[body:]
	var length uint16
	for i := range group {
		if !covers(i, r, m) {
			continue
		}
		p := &group[i]
		ext := p.Header[fixedHeader:]
		length ^= uint16(len(ext) + len(p.Payload)) //nolint:gosec // they fit a datagram
		subtle.XORBytes(head, head, p.Header[:8])
		subtle.XORBytes(sum, sum, ext)
		subtle.XORBytes(sum[len(ext):], sum[len(ext):], p.Payload)
	}
	head[0] &= 0x3f
	binary.BigEndian.PutUint16(head[2:], length)
	return dst
}

func covers(i, r, m int) bool {
	a, b := Cover(i, m)
	return r == a || r == b
}
