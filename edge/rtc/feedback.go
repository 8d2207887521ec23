package rtc

import (
	"encoding/binary"
	"sync"
)

// The RTCP packets that a viewer asks for something with: RFC 4585, Section 6, and
// RFC 5104, Section 4.3.1. They come all the time, so reading them allocates nothing.
const (
	rtcpSenderReport   = 200
	rtcpReceiverReport = 201
	senderInfo         = 20 // bytes
	reportBlock        = 24

	rtcpTransport = 205 // RTPFB
	rtcpPayload   = 206 // PSFB
	formatNACK    = 1
	formatPLI     = 1
	formatFIR     = 4
	formatTCC     = 15
	rtcpHeader    = 12 // with the SSRCs of who sends it and of the media
)

// asked is what a packet asks for: that of one track, or more in a FIR.
type asked struct {
	kind  commandKind // commandResend or commandRestart
	media uint32      // SSRC, zero where entries name it
	// entries are those of a NACK, 4 bytes each, or of a FIR, 8 bytes each. They
	// alias the packet.
	entries []byte
}

// parseRequest reads one RTCP packet. ok is false if it is malformed; kind is
// commandJoin, which no viewer can ask for, if it asks for nothing.
func parseRequest(b []byte) (a asked, ok bool) {
	size, ok := rtcpSize(b)
	if !ok {
		return a, false
	}
	format, kind := b[0]&0x1f, b[1]
	nack := kind == rtcpTransport && format == formatNACK
	key := kind == rtcpPayload && (format == formatPLI || format == formatFIR)
	if !nack && !key {
		return a, true
	}
	body := b[:size]
	if b[0]&0x20 != 0 { // padding: RFC 3550, Section 6.4.1
		pad := int(body[size-1])
		if pad == 0 || pad > size {
			return a, false
		}
		body = body[:size-pad]
	}
	if len(body) < rtcpHeader {
		return a, false
	}
	a.media, a.entries = binary.BigEndian.Uint32(body[8:]), body[rtcpHeader:]
	switch {
	case nack:
		a.kind = commandResend
		return a, len(a.entries) > 0 && len(a.entries)%4 == 0
	case format == formatPLI:
		a.kind, a.entries = commandRestart, nil
		return a, true
	}
	a.kind, a.media = commandRestart, 0
	return a, len(a.entries) > 0 && len(a.entries)%8 == 0
}

// reportedLoss returns the share of packets that a report says were lost of a track
// since the last one: RFC 3550, Section 6.4.2.
func reportedLoss(b []byte, ssrc uint32) (share float64, ok bool) {
	size, ok := rtcpSize(b)
	if !ok {
		return 0, false
	}
	begin := 8
	switch b[1] {
	case rtcpReceiverReport:
	case rtcpSenderReport:
		begin += senderInfo
	default:
		return 0, false
	}
	for n := int(b[0] & 0x1f); n > 0 && begin+reportBlock <= size; n-- {
		if block := b[begin:]; binary.BigEndian.Uint32(block) == ssrc {
			return float64(block[4]) / 256, true
		}
		begin += reportBlock
	}
	return 0, false
}

// of reports whether the packet asks something of a track.
func (a *asked) of(ssrc uint32) bool {
	if a.media != 0 || a.kind != commandRestart {
		return a.media == ssrc
	}
	for e := a.entries; len(e) >= 8; e = e[8:] {
		if binary.BigEndian.Uint32(e) == ssrc {
			return true
		}
	}
	return false
}

// maxLostPackets bounds what one NACK may ask for.
const maxLostPackets = 512

// lostPackets are the sequence numbers that a NACK names.
type lostPackets struct {
	n    int
	seqs [maxLostPackets]uint16
}

var lostPool = sync.Pool{New: func() any { return &lostPackets{} }}

// newLostPackets reads the entries of a NACK: RFC 4585, Section 6.2.1. Whoever has
// it last calls release.
func newLostPackets(entries []byte) *lostPackets {
	l := lostPool.Get().(*lostPackets) //nolint:forcetypeassert // there is nothing else in the pool
	l.n = 0
	for ; len(entries) >= 4; entries = entries[4:] {
		first, bits := binary.BigEndian.Uint16(entries), binary.BigEndian.Uint16(entries[2:])
		l.add(first)
		for i := uint16(1); bits != 0; i, bits = i+1, bits>>1 {
			if bits&1 != 0 {
				l.add(first + i)
			}
		}
	}
	return l
}

func (l *lostPackets) add(seq uint16) {
	if l.n < maxLostPackets {
		l.seqs[l.n] = seq
		l.n++
	}
}

func (l *lostPackets) release() { lostPool.Put(l) }

// appendReport writes a sender report and our name: RFC 3550, Sections 6.4.1 and 6.5.
func appendReport(b []byte, ssrc uint32, ntp uint64, ticks, packets, octets uint32) []byte {
	b = append(b, 2<<6, 200, 0, 6)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = binary.BigEndian.AppendUint64(b, ntp)
	b = binary.BigEndian.AppendUint32(b, ticks)
	b = binary.BigEndian.AppendUint32(b, packets)
	b = binary.BigEndian.AppendUint32(b, octets)
	const item = 2 + len(cname)
	const pad = 4 - item%4 // at least one zero ends the items
	b = append(b, 2<<6|1, 202, 0, byte((4+item+pad)/4))
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, 1, byte(len(cname)))
	b = append(b, cname...)
	return append(b, make([]byte, pad)...)
}
