package bwe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// What is wrong with a feedback message. They arrive wrapped.
var (
	// ErrNotFeedback: another kind of RTCP packet.
	ErrNotFeedback = errors.New("another kind of RTCP packet")
	// ErrMalformed: it contradicts itself.
	ErrMalformed = errors.New("malformed feedback")
	// ErrTooMany: it reports on more packets than a sane message does.
	ErrTooMany = errors.New("feedback on too many packets")
)

const (
	rtpfb           = 205 // RFC 4585, Section 6.1
	formatTransport = 15
	formatRFC8888   = 11
	feedbackHeader  = 12 // with the SSRC of the sender and, in most, that of the media
)

// maxStatuses bounds what one message may report on: four times what a Log holds,
// for after an outage a message begins where the one before it ended.
const maxStatuses = 4 * LogEntries

const (
	// deltaTick is the unit of receive deltas.
	deltaTick = 250 * time.Microsecond
	// referenceTick is the unit of the reference time.
	referenceTick = 64 * time.Millisecond
)

// TransportFeedback is a transport-wide congestion control message:
// draft-holmer-rmcat-transport-wide-cc-extensions-01, Section 3.1.
type TransportFeedback struct {
	SenderSSRC, MediaSSRC uint32
	// Base is the sequence number of the first packet that it reports on.
	Base uint16
	// Count is how many it reports on, received or not.
	Count int
	// Reference is the time that the deltas count from, in units of 64 ms of the
	// receiver's clock; 24 bits.
	Reference uint32
	// Number counts the messages, to tell which are missing.
	Number uint8

	chunks, deltas []byte // alias the message
}

// ParseTransportFeedback reads the RTCP packet at the beginning of b and checks it
// whole: its Statuses yields exactly Count. The result aliases b.
func ParseTransportFeedback(b []byte) (TransportFeedback, error) {
	body, err := feedbackBody(b, formatTransport)
	if err != nil {
		return TransportFeedback{}, err
	}
	if len(body) < 16 {
		return TransportFeedback{}, fmt.Errorf("%w: transport feedback of %d bytes", ErrMalformed, len(body))
	}
	f := TransportFeedback{
		SenderSSRC: binary.BigEndian.Uint32(body),
		MediaSSRC:  binary.BigEndian.Uint32(body[4:]),
		Base:       binary.BigEndian.Uint16(body[8:]),
		Count:      int(binary.BigEndian.Uint16(body[10:])),
		Reference:  binary.BigEndian.Uint32(body[12:]) >> 8,
		Number:     body[15],
	}
	if f.Count > maxStatuses {
		return TransportFeedback{}, fmt.Errorf("%w: %d, at most %d", ErrTooMany, f.Count, maxStatuses)
	}
	chunks, deltas, err := measureChunks(body[16:], f.Count)
	if err != nil {
		return TransportFeedback{}, err
	}
	f.chunks, f.deltas = body[16:16+chunks], body[16+chunks:16+chunks+deltas]
	return f, nil
}

// feedbackBody checks the header of an RTPFB packet and returns what follows its
// first four bytes, without padding.
func feedbackBody(b []byte, format byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, fmt.Errorf("%w: RTCP packet of %d bytes", ErrMalformed, len(b))
	}
	if b[0]>>6 != 2 || b[0]&0x1f != format || b[1] != rtpfb {
		return nil, fmt.Errorf("%w: type %d, format %d", ErrNotFeedback, b[1], b[0]&0x1f)
	}
	size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
	if size > len(b) {
		return nil, fmt.Errorf("%w: %d bytes of %d", ErrMalformed, len(b), size)
	}
	body := b[4:size]
	if b[0]&0x20 == 0 {
		return body, nil
	}
	if len(body) == 0 || body[len(body)-1] == 0 || int(body[len(body)-1]) > len(body) {
		return nil, fmt.Errorf("%w: padding", ErrMalformed)
	}
	return body[:len(body)-int(body[len(body)-1])], nil
}

// symbol is the status of one packet: Section 3.1.1 of the draft.
type symbol uint8

const (
	symbolMissing symbol = iota
	symbolSmall          // received, delta of one byte
	symbolLarge          // received, signed delta of two bytes
	symbolReserved
)

// chunk is a packet status chunk, Sections 3.1.3 and 3.1.4, as far as it is not
// read yet.
type chunk struct {
	bits   uint16
	left   int
	vector bool
	width  int // of a symbol in a vector
}

func newChunk(b []byte) chunk {
	v := binary.BigEndian.Uint16(b)
	switch {
	case v&0x8000 == 0:
		return chunk{bits: v, left: int(v & 0x1fff)}
	case v&0x4000 == 0:
		return chunk{bits: v, left: 14, vector: true, width: 1}
	}
	return chunk{bits: v, left: 7, vector: true, width: 2}
}

// next takes one symbol off; left must not be zero.
func (c *chunk) next() symbol {
	c.left--
	if !c.vector {
		return symbol(c.bits >> 13 & 3)
	}
	return symbol(c.bits >> (c.left * c.width) & (1<<c.width - 1))
}

// measureChunks returns how many bytes of b the chunks for count packets take, and
// how many after them the deltas.
func measureChunks(b []byte, count int) (chunks, deltas int, err error) {
	for count > 0 {
		if len(b) < chunks+2 {
			return 0, 0, fmt.Errorf("%w: ends in its chunks", ErrMalformed)
		}
		c := newChunk(b[chunks:])
		chunks += 2
		n := min(c.left, count)
		count -= n
		for ; n > 0; n-- {
			s := c.next()
			if s == symbolReserved {
				return 0, 0, fmt.Errorf("%w: reserved status", ErrMalformed)
			}
			deltas += int(s) // which is the bytes of its delta
			if !c.vector {
				deltas += int(s) * (n - 1)
				break
			}
		}
	}
	if len(b) < chunks+deltas {
		return 0, 0, fmt.Errorf("%w: ends in its deltas", ErrMalformed)
	}
	return chunks, deltas, nil
}

// Statuses iterates over what a message says, packet by packet.
type Statuses struct {
	f       TransportFeedback
	seq     uint16
	left    int
	current chunk
	arrived time.Duration
}

// Status is what became of one packet.
type Status struct {
	Seq      uint16
	Received bool
	// Arrived counts from the message's reference time. It can be negative.
	Arrived time.Duration
}

// Statuses returns an iterator over all packets that the message reports on, in
// the order of their sequence numbers.
func (f TransportFeedback) Statuses() Statuses {
	return Statuses{f: f, seq: f.Base, left: f.Count}
}

// Next returns the next packet, or false after the last.
func (s *Statuses) Next() (Status, bool) {
	if s.left == 0 {
		return Status{}, false
	}
	for s.current.left == 0 { // a run may be empty
		s.current = newChunk(s.f.chunks)
		s.f.chunks = s.f.chunks[2:]
	}
	s.left--
	status := Status{Seq: s.seq}
	s.seq++
	switch s.current.next() {
	case symbolSmall:
		s.arrived += time.Duration(s.f.deltas[0]) * deltaTick
		s.f.deltas = s.f.deltas[1:]
	case symbolLarge:
		s.arrived += time.Duration(int16(binary.BigEndian.Uint16(s.f.deltas))) * deltaTick
		s.f.deltas = s.f.deltas[2:]
	default:
		return status, true
	}
	status.Received, status.Arrived = true, s.arrived
	return status, true
}
