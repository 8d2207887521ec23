package stream

import "time"

// ntpEpoch is the NTP era's start in Unix seconds: RFC 5905, Section 6.
const ntpEpoch = -2_208_988_800

// NTP returns t in the 64-bit format of sender reports: RFC 3550, Section 4.
func NTP(t time.Time) uint64 {
	sec := uint64(t.Unix() - ntpEpoch)
	frac := uint64(t.Nanosecond()) << 32 / uint64(time.Second)
	return sec<<32 | frac
}

// NTPTime is the inverse of NTP, exact to a nanosecond.
func NTPTime(ntp uint64) time.Time {
	nanos := (ntp&0xffff_ffff*uint64(time.Second) + 1<<31) >> 32
	return time.Unix(int64(ntp>>32)+ntpEpoch, int64(nanos))
}

// ntpMicros returns the time that is so many microseconds into the NTP era.
func ntpMicros(us int64) time.Time { return time.UnixMicro(us + ntpEpoch*1_000_000) }

// Ticks converts microseconds to RTP clock units, modulo 2^32 as timestamps are.
func Ticks(us int64, clockRate uint32) uint32 {
	const second = 1_000_000
	return uint32(us/second*int64(clockRate) + us%second*int64(clockRate)/second)
}
