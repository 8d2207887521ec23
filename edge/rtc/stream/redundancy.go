package stream

import (
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/packet"
)

// sounds remembers the last packets of sound that came with redundancy. What a
// packet repeats is told by its time and not by its number (RFC 2198, Section 4), and
// the number before its own may be that of padding: Chromium probes its path with it in the
// sound's sequence where there is nothing else.
type sounds struct {
	last [soundsKept]sound
	next int
}

type sound struct {
	seq       uint16
	timestamp uint32
	padding   bool
	known     bool
}

// soundsKept is a power of two: with padding between the packets, 100 ms and more.
const soundsKept = 16

func (s *sounds) note(seq uint16, timestamp uint32, padding bool) {
	s.last[s.next%soundsKept] = sound{seq, timestamp, padding, true}
	s.next++
}

// at returns the packet of a time, if it is there.
func (s *sounds) at(timestamp uint32) (sound, bool) {
	for _, p := range s.last {
		if p.known && !p.padding && p.timestamp == timestamp {
			return p, true
		}
	}
	return sound{}, false
}

// isPadding reports whether the packet with that number is known to be padding.
func (s *sounds) isPadding(seq uint16) bool {
	for _, p := range s.last {
		if p.known && p.seq == seq {
			return p.padding
		}
	}
	return false
}

// unwrap takes a payload with redundancy (RFC 2198): what it repeats of packets
// that are missing is taken for them. It returns the payload proper, nil if there
// is none. Senders repeat the packets right before, but for padding.
func (in *Inbound) unwrap(payload []byte, p *packet.Packet, sink Sink) []byte {
	var err error
	seq, now := p.Seq, p.Arrival
	if in.blocks, err = framing.ParseRED(payload, in.blocks[:0]); err != nil {
		return nil
	}
	last := len(in.blocks) - 1
	place, offset := seq-1, uint32(0)
	for i := last - 1; i >= 0; i-- {
		b := in.blocks[i]
		if len(b.Data) == 0 {
			continue
		}
		timestamp, length := p.Timestamp-uint32(b.Offset), uint32(b.Offset)-offset
		offset = uint32(b.Offset)
		if there, ok := in.sounds.at(timestamp); ok {
			in.fill(there.seq+1, place, timestamp, now, sink)
			place = there.seq - 1
			continue
		}
		for n := 0; n < soundsKept && in.sounds.isPadding(place); n++ {
			place--
		}
		if !in.losses.IsMissing(place, seq) {
			break // it is too long ago
		}
		in.sounds.note(place, timestamp, false)
		if in.repeat(framing.Packet{Seq: place, Timestamp: timestamp, Arrival: now, Payload: b.Data}, now, sink) {
			in.count.repeated.Add(1)
		}
		place--
		if before, ok := in.sounds.at(timestamp - length); ok {
			in.fill(before.seq+1, place, timestamp, now, sink)
		}
	}
	return in.blocks[last].Data
}

// fill is told that there was no sound between two packets, the first of which is
// there: what is missing from one number to another was padding, and is not waited for.
func (in *Inbound) fill(from, to uint16, timestamp uint32, now time.Time, sink Sink) {
	for n := 0; n < soundsKept && int16(to-from) >= 0; n, from = n+1, from+1 {
		if in.losses.IsMissing(from, to+1) {
			in.repeat(framing.Packet{Seq: from, Timestamp: timestamp, Arrival: now}, now, sink)
		}
	}
}

// repeat puts a packet in the place of one that is missing.
func (in *Inbound) repeat(p framing.Packet, now time.Time, sink Sink) bool {
	in.losses.Received(p.Seq, now)
	ok := in.reorder.Push(p)
	in.drain(now, sink) // the packet's bytes are ours until then
	return ok
}
