package rtc

import (
	"time"

	"trellis/internal/allowance"
)

// repeatable reports whether packets can be sent again. Without the
// retransmission format they go under the index that they had, and AES-GCM must not
// seal two things under one: an attacker who has both can make packets of his own
// (RFC 7714, Section 8.1). So only what is the same to the last byte is sent again, header
// extensions included: sound without transport-wide numbers.
func (c *viewerConfig) repeatable() bool { return c.rtxSSRC != 0 || c.audio && c.transport == 0 }

// resends is what a viewer was sent again and when. Viewers ask until a packet
// arrives, and some of them more often than once in a round trip: an answer that
// is on its way is not given twice. The zero resends
// allows none.
type resends struct {
	allowed allowance.Bucket
	recent  []resent // by sequence number; nil until the first
}

type resent struct {
	seq uint16
	at  time.Time
}

const (
	resentKept  = 256
	resentLeast = 20 * time.Millisecond // of a round trip that is not known
)

// recently says whether a packet was sent again within the last round trip.
func (r *resends) recently(seq uint16, rtt time.Duration, now time.Time) bool {
	if r.recent == nil {
		return false
	}
	last := &r.recent[seq%resentKept]
	return last.seq == seq && now.Sub(last.at) < max(rtt, resentLeast)
}

// note remembers that a packet is sent again.
func (r *resends) note(seq uint16, now time.Time) {
	if r.recent == nil {
		r.recent = make([]resent, resentKept)
	}
	r.recent[seq%resentKept] = resent{seq, now}
}
