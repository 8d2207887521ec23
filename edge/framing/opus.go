package framing

import "fmt"

// opusDepacketizer implements RFC 7587, Section 4.2: one packet is one frame.
type opusDepacketizer struct{}

func (d *opusDepacketizer) Push(p Packet, out []Event) []Event {
	if p.Lost > 0 {
		out = append(out, Event{Kind: FramesLost, Timestamp: p.Timestamp})
	}
	if len(p.Payload) == 0 {
		return out
	}
	return append(out,
		Event{Kind: FrameBegin, Key: true, Timestamp: p.Timestamp, Arrival: p.Arrival},
		Event{Kind: FrameData, Timestamp: p.Timestamp, Data: p.Payload},
		Event{Kind: FrameEnd, Timestamp: p.Timestamp})
}

// maxOpusBytes bounds a packet: RFC 6716, Section 3.4 allows 48 frames of at most
// 1275 bytes in 120 ms, but what does not fit a datagram cannot be sent at all.
const maxOpusBytes = 1275

type opusPacketizer struct{}

func (opusPacketizer) Packetize(frame []byte, _ bool, dst *Payloads) error {
	if len(frame) == 0 || len(frame) > maxOpusBytes {
		return fmt.Errorf("%w: opus packet of %d bytes", ErrFrame, len(frame))
	}
	dst.begin(len(frame))
	dst.buf = append(dst.buf, frame...)
	dst.end()
	return nil
}
