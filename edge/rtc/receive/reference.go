package receive

import (
	"encoding/binary"
	"time"
)

// ExtendedReport is the type of RTCP's extended reports: RFC 3611, Section 2.
const ExtendedReport = 207

const (
	blockReference = 4 // RFC 3611, Section 4.4
	blockAnswers   = 5 // Section 4.5
	answerBytes    = 12
	// maxTrip is the longest round trip that is believed.
	maxTrip = 10 * time.Second
)

// AppendReference appends an extended report with the time of ours, which whoever sends us media
// answers with the next of its own: who only receives learns the round trip by that. It names an SSRC
// of the sender's, in an answer to the reference that we never had from it (Section 4.5: zero): pion
// hands reports on by what SSRCs are in them.
func AppendReference(b []byte, ssrc, sender uint32, ntp uint64) []byte {
	b = append(b, 2<<6, ExtendedReport, 0, 8)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, blockReference, 0, 0, 2)
	b = binary.BigEndian.AppendUint64(b, ntp)
	b = append(b, blockAnswers, 0, 0, 3)
	b = binary.BigEndian.AppendUint32(b, sender)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0)
}

// RoundTrip reads the answer to ssrc's reference out of an extended report that arrived at ntp.
// False: there is none that can be believed.
func RoundTrip(report []byte, ssrc uint32, ntp uint64) (time.Duration, bool) {
	if len(report) < 8 {
		return 0, false
	}
	for b := report[8:]; len(b) >= 4; {
		size := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if size > len(b) {
			return 0, false
		}
		if b[0] == blockAnswers {
			for a := b[4:size]; len(a) >= answerBytes; a = a[answerBytes:] {
				if binary.BigEndian.Uint32(a) == ssrc {
					return trip(binary.BigEndian.Uint32(a[4:]), binary.BigEndian.Uint32(a[8:]), uint32(ntp>>16))
				}
			}
		}
		b = b[size:]
	}
	return 0, false
}

// trip is what is left of the time since our reference without what it waited for its answer, in
// units of 2^-16 s. A clock that is read a little early makes it less than nothing.
func trip(reference, waited, now uint32) (time.Duration, bool) {
	if reference == 0 {
		return 0, false // it has had none
	}
	const rounding = 64 // a millisecond
	units := int64(int32(now - reference - waited))
	d := time.Duration(units) * time.Second >> 16
	return max(d, 0), units > -rounding && d <= maxTrip
}
