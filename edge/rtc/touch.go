package rtc

import "trellis/edge/rtc/transport"

// touch reads what write uses of viewers, and what their transports need: see
// [transport.Touch]. It takes as many as that does. What it returns means nothing.
func touch(viewers []*viewer) (sum uint64) {
	var conns [transport.MaxTouched]*transport.Conn
	n := 0
	for _, v := range viewers {
		if c, ok := v.cfg.out.(*transport.Conn); ok {
			conns[n] = c
			n++
		}
		// One of each 64 bytes.
		sum += v.next + uint64(v.aim.slice) + v.seq + v.run.firstObject + uint64(v.ticks) + uint64(v.kept)
		if v.aim.layer != nil {
			sum++
		}
	}
	return sum + transport.Touch(conns[:n])
}
