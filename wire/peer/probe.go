package peer

import (
	"fmt"

	"github.com/quic-go/quic-go/quicvarint"
)

// DatagramProbe is the first field of a probe.
const DatagramProbe uint64 = 0x01

// MaxProbeBytes holds any probe.
const MaxProbeBytes = 8 * 8

// Probe measures a link in both directions. Times are µs since 1970 on the
// clock of the sender, except EchoSent, which is on the receiver's.
type Probe struct {
	Seq       uint64 // from 1
	PeriodMs  uint64 // the next one follows within this time
	Sent      uint64
	EchoSeq   uint64 // last probe heard from the receiver, 0 none
	EchoSent  uint64 // its Sent
	EchoHeard uint64 // when it came
	Heard     uint64 // how many have been heard in all
}

// Append appends the datagram, type included.
//
//	Type (i), Seq (i), PeriodMs (i), Sent (i), EchoSeq (i), EchoSent (i), EchoHeard (i), Heard (i)
func (p Probe) Append(b []byte) []byte {
	b = quicvarint.Append(b, DatagramProbe)
	b = quicvarint.Append(b, p.Seq)
	b = quicvarint.Append(b, p.PeriodMs)
	b = quicvarint.Append(b, p.Sent)
	b = quicvarint.Append(b, p.EchoSeq)
	b = quicvarint.Append(b, p.EchoSent)
	b = quicvarint.Append(b, p.EchoHeard)
	return quicvarint.Append(b, p.Heard)
}

// ErrUnknownDatagram is a datagram of a type that a later revision may know.
// It is to be ignored.
var ErrUnknownDatagram = fmt.Errorf("%w: unknown datagram", ErrMalformed)

// ParseProbe parses a datagram.
func ParseProbe(b []byte) (Probe, error) {
	c := cursor{b: b}
	if t := c.varint(); c.err == nil && t != DatagramProbe {
		return Probe{}, ErrUnknownDatagram
	}
	p := Probe{
		Seq:       c.varint(),
		PeriodMs:  c.upTo(60_000, "period"),
		Sent:      c.upTo(maxTime, "sent"),
		EchoSeq:   c.varint(),
		EchoSent:  c.upTo(maxTime, "echo sent"),
		EchoHeard: c.upTo(maxTime, "echo heard"),
		Heard:     c.varint(),
	}
	if c.err == nil && p.Seq == 0 {
		c.fail(fmt.Errorf("%w: sequence 0", ErrMalformed))
	}
	if c.err != nil {
		return Probe{}, fmt.Errorf("probe: %w", c.err)
	}
	return p, nil
}
