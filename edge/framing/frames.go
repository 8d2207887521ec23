package framing

import "time"

// frames is the part of depacketizing that all video codecs share: which packets
// belong together (RFC 3550, Section 5.1: those of one timestamp, the last one
// marked), and what a gap does to them.
type frames struct {
	max int // largest frame in bytes

	ts      uint32    // timestamp of the current frame, once seen
	seen    bool      // ts is meaningful
	open    bool      // FrameBegin was emitted for ts
	done    bool      // the frame of ts is over, or lost: its remaining packets are skipped
	loss    bool      // packets were lost right before the next one with content
	gap     bool      // packets were lost right before the first of ts: there may be one before it
	arrival time.Time // of the first packet of ts
	told    bool      // FramesLost was emitted since the last frame began
	size    int       // bytes of the open frame

	out []Event // during Push
}

// ended reports whether p shows that the open frame ended with the packet before,
// which should have been marked and was not.
func (f *frames) ended(p *Packet) bool {
	return f.open && p.Lost == 0 && len(p.Payload) > 0 && p.Timestamp != f.ts
}

// enter begins the handling of p and reports whether its payload is to be parsed.
func (f *frames) enter(p *Packet) bool {
	if p.Lost > 0 {
		f.loss = true
		f.lose()
	}
	if len(p.Payload) == 0 {
		return false // only padding: it counts for continuity and no more
	}
	if !f.seen || p.Timestamp != f.ts {
		f.seen, f.ts, f.done, f.arrival = true, p.Timestamp, false, p.Arrival
		f.gap = f.loss
	}
	f.loss = false
	return !f.done
}

// leave returns the events of this Push.
func (f *frames) leave() []Event {
	out := f.out
	f.out = nil
	return out
}

// begin opens the frame.
func (f *frames) begin(key bool) {
	f.open, f.told, f.size = true, false, 0
	f.out = append(f.out, Event{Kind: FrameBegin, Key: key, Timestamp: f.ts, Arrival: f.arrival})
}

// data adds bytes to the open frame and reports false if that made it too large:
// it is then broken.
func (f *frames) data(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	f.size += len(b)
	if f.size > f.max {
		f.lose()
		return false
	}
	f.out = append(f.out, Event{Kind: FrameData, Timestamp: f.ts, Data: b})
	return true
}

// finish closes the open frame, if there is one.
func (f *frames) finish() {
	if f.open {
		f.out = append(f.out, Event{Kind: FrameEnd, Timestamp: f.ts})
	}
	f.open, f.done = false, true
}

// next closes the open frame of one layer: another of the same picture follows.
func (f *frames) next() {
	f.out = append(f.out, Event{Kind: FrameEnd, Timestamp: f.ts})
	f.open = false
}

// lose gives up the current frame, begun or not. A run of lost frames is told once.
func (f *frames) lose() {
	switch {
	case f.open:
		f.out = append(f.out, Event{Kind: FrameBroken, Timestamp: f.ts})
	case !f.told:
		f.out = append(f.out, Event{Kind: FramesLost, Timestamp: f.ts})
		f.told = true
	}
	f.open, f.done = false, true
}
