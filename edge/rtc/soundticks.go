package rtc

// soundTicks gives sound its RTP timestamps: as many ticks apart as there are samples
// between two packets. Presentation times are not: they are whole microseconds, and
// follow the publisher's clock by some of them for each packet. Sender reports tell
// players what the difference comes to. Chromium (its NetEq) takes a packet
// that begins a single tick late for one with a gap before it, and makes up sound for
// as long as such packets come.
type soundTicks struct {
	begun    bool
	raw, out int64
}

// soundUnit is the shortest frame of Opus, 2.5 ms at 48 kHz: RFC 6716, Section 2.1.4.
// All others are multiples of it.
const soundUnit = 120

// next returns the timestamp of a packet whose presentation time is raw ticks.
func (s *soundTicks) next(raw int64) int64 {
	if !s.begun {
		s.begun, s.raw, s.out = true, raw, raw
		return raw
	}
	step := raw - s.raw
	half := int64(soundUnit / 2)
	if step < 0 {
		half = -half
	}
	s.raw, s.out = raw, s.out+(step+half)/soundUnit*soundUnit
	return s.out
}
