package receive

import (
	"encoding/binary"
	"time"

	"trellis/edge/rtc/packet"
)

// ReportBytes is the length of a report block: RFC 3550, Section 6.4.1.
const ReportBytes = 24

const (
	// A sequence number that is further off begins a new count: RFC 3550, Appendix A.1.
	maxDropout  = 3000
	maxMisorder = 100
)

// Report counts what has come of an SSRC: RFC 3550, Section 6.4.1 and Appendix A. It takes
// the time as an argument, and belongs to one goroutine at a time.
type Report struct {
	ssrc, clockRate uint32

	begun          bool
	base, max      int64 // extended sequence numbers
	bad            uint16
	hasBad         bool
	received       int64
	expectedBefore int64 // at the last report
	receivedBefore int64

	transit int32
	timed   bool
	jitter  float64
	first   time.Time

	sender   uint32 // the middle of the last sender report's time
	senderAt time.Time
}

// NewReport returns the Report of an SSRC.
func NewReport(ssrc, clockRate uint32) *Report { return &Report{ssrc: ssrc, clockRate: clockRate} }

// SSRC returns whose Report it is.
func (r *Report) SSRC() uint32 { return r.ssrc }

// Received notes a packet.
func (r *Report) Received(h *packet.Header, now time.Time) {
	if !r.count(h.Seq) {
		return
	}
	if r.first.IsZero() {
		r.first = now
	}
	us := now.Sub(r.first).Microseconds()
	rate := int64(r.clockRate)
	// RFC 3550, Appendix A.8, modulo 2^32.
	transit := int32(uint32(us/1e6*rate+us%1e6*rate/1e6) - h.Timestamp)
	if r.timed {
		off := float64(transit - r.transit)
		r.jitter += (max(off, -off) - r.jitter) / 16
	}
	r.transit, r.timed = transit, true
}

// count notes a sequence number: RFC 3550, Appendix A.1, but for the probation, which is
// for packets that nothing proves.
func (r *Report) count(seq uint16) bool {
	forward := seq - uint16(r.max)
	switch {
	case !r.begun:
		r.begin(seq)
	case forward < maxDropout:
		r.max += int64(forward)
	case int(forward) <= 1<<16-maxMisorder:
		if !r.hasBad || seq != r.bad {
			r.bad, r.hasBad = seq+1, true
			return false
		}
		r.begin(seq) // two in a row: it goes on from there
	}
	r.hasBad = false
	r.received++
	return true
}

func (r *Report) begin(seq uint16) {
	r.begun, r.timed = true, false
	r.base, r.max, r.received = int64(seq), int64(seq), 0
	r.expectedBefore, r.receivedBefore = 0, 0
}

// Reported notes a sender report.
func (r *Report) Reported(ntp uint64, now time.Time) { r.sender, r.senderAt = uint32(ntp>>16), now }

// Append writes the block about what has come since the last one.
func (r *Report) Append(b []byte, now time.Time) []byte {
	expected := r.max - r.base + 1
	lost := min(max(expected-r.received, -1<<23), 1<<23-1)
	interval, came := expected-r.expectedBefore, r.received-r.receivedBefore
	r.expectedBefore, r.receivedBefore = expected, r.received
	fraction := int64(0)
	if interval > 0 && interval > came {
		fraction = min((interval-came)<<8/interval, 255)
	}
	var since uint32
	if !r.senderAt.IsZero() {
		since = uint32(now.Sub(r.senderAt).Microseconds() * 65536 / 1e6)
	}
	b = binary.BigEndian.AppendUint32(b, r.ssrc)
	b = binary.BigEndian.AppendUint32(b, uint32(fraction)<<24|uint32(lost)&0xffffff)
	b = binary.BigEndian.AppendUint32(b, uint32(r.max))
	b = binary.BigEndian.AppendUint32(b, uint32(r.jitter))
	b = binary.BigEndian.AppendUint32(b, r.sender)
	return binary.BigEndian.AppendUint32(b, since)
}
