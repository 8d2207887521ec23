package bwe

import (
	"encoding/binary"
	"fmt"
	"time"
)

// ECN is what the network marked a packet with: RFC 3168, Section 5.
type ECN uint8

// The codepoints.
const (
	ECNNone ECN = iota
	ECT1
	ECT0
	ECNCongested
)

// CongestionFeedback is an RTCP congestion control feedback packet: RFC 8888,
// Section 3.1. It names packets by the SSRC and sequence number of their RTP
// stream, so whoever sent them maps these to the Log.
type CongestionFeedback struct {
	SenderSSRC uint32
	// Timestamp is when it was sent: the middle 32 bits of the receiver's NTP time,
	// that is, in units of 1/65536 s.
	Timestamp uint32
	// Count is how many packets it reports on, received or not, in all its blocks.
	Count int

	blocks []byte // alias the packet
}

const (
	// maxBlockReports: no block may say more, RFC 8888, Section 3.1.
	maxBlockReports = 16384
	offsetUnknown   = 0x1fff
	offsetOver      = 0x1ffe // more than the field can say
	blockHeader     = 8
)

// ParseCongestionFeedback reads the RTCP packet at the beginning of b and checks
// it whole: its Reports yields exactly Count. The result aliases b.
func ParseCongestionFeedback(b []byte) (CongestionFeedback, error) {
	body, err := feedbackBody(b, formatRFC8888)
	if err != nil {
		return CongestionFeedback{}, err
	}
	if len(body) < 8 {
		return CongestionFeedback{}, fmt.Errorf("%w: congestion feedback of %d bytes", ErrMalformed, len(body))
	}
	f := CongestionFeedback{
		SenderSSRC: binary.BigEndian.Uint32(body),
		Timestamp:  binary.BigEndian.Uint32(body[len(body)-4:]),
		blocks:     body[4 : len(body)-4],
	}
	for rest := f.blocks; len(rest) > 0; {
		if len(rest) < blockHeader {
			return CongestionFeedback{}, fmt.Errorf("%w: ends in the head of a block", ErrMalformed)
		}
		n := int(binary.BigEndian.Uint16(rest[6:]))
		if n > maxBlockReports {
			return CongestionFeedback{}, fmt.Errorf("%w: %d in a block, at most %d", ErrTooMany, n, maxBlockReports)
		}
		size := blockSize(n)
		if size > len(rest) {
			return CongestionFeedback{}, fmt.Errorf("%w: ends in a block of %d reports", ErrMalformed, n)
		}
		f.Count += n
		rest = rest[size:]
	}
	return f, nil
}

// blockSize is that of a block with n reports: they are padded to 32 bits.
func blockSize(n int) int { return blockHeader + (2*n+3)/4*4 }

// Report is what became of one packet.
type Report struct {
	SSRC     uint32
	Seq      uint16
	Received bool
	ECN      ECN
	// Before is how long before the feedback's Timestamp the packet arrived, in
	// steps of 1/1024 s. Known says whether the receiver could tell.
	Before time.Duration
	Known  bool
}

// Reports iterates over what a packet says.
type Reports struct {
	rest []byte // of the current block, then the blocks after it
	ssrc uint32
	seq  uint16
	left int // in the current block
	odd  bool
}

// Reports returns an iterator over all packets that it reports on, block by block.
func (f CongestionFeedback) Reports() Reports { return Reports{rest: f.blocks} }

// Next returns the next packet, or false after the last.
func (r *Reports) Next() (Report, bool) {
	for r.left == 0 {
		if r.odd {
			r.rest, r.odd = r.rest[2:], false
		}
		if len(r.rest) == 0 {
			return Report{}, false
		}
		r.ssrc = binary.BigEndian.Uint32(r.rest)
		r.seq = binary.BigEndian.Uint16(r.rest[4:])
		r.left = int(binary.BigEndian.Uint16(r.rest[6:]))
		r.odd = r.left%2 != 0
		r.rest = r.rest[blockHeader:]
	}
	v := binary.BigEndian.Uint16(r.rest)
	report := Report{SSRC: r.ssrc, Seq: r.seq, Received: v&0x8000 != 0}
	r.rest, r.left = r.rest[2:], r.left-1
	r.seq++
	if report.Received {
		report.ECN = ECN(v >> 13 & 3)
		offset := v & 0x1fff
		report.Known = offset < offsetOver
		if report.Known {
			report.Before = time.Duration(offset) * time.Second / 1024
		}
	}
	return report, true
}
