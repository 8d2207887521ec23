package rtc

import (
	"time"

	"trellis/edge/rtc/bwe"
)

// playout decides how long a viewer should keep pictures back at the least, so that
// a packet that was lost can be sent again in time. Players that only receive do
// not know the round-trip time, and Chromium takes it for 100 ms. The time is told
// with the playout-delay header extension. The zero playout asks for nothing.
type playout struct {
	// alone: the player adds nothing by itself for what is sent again. Chromium does not
	// for a stream with repair packets, be there any or not.
	alone bool
	loss  float64 // share, over about playoutMemory
	seen  time.Time
	delay time.Duration
	until time.Time // it is not made shorter before
}

const (
	// playoutLoss is the loss from which on it is worth it, playoutRTT the round trip.
	playoutLoss = 0.01
	playoutRTT  = 80 * time.Millisecond
	// playoutMargin is what passes besides the round trip until a packet that was sent
	// again is there: the one after the lost one has to come, the request may wait for
	// others, and the answer takes its turn.
	playoutMargin = 80 * time.Millisecond
	playoutMax    = time.Second
	// playoutAlone is what Chromium keeps pictures back by itself once it had to ask
	// for some packets: measured at 40 ms, 1 Mbit/s and 2 % loss. Key frames need it, too.
	playoutAlone  = 370 * time.Millisecond
	playoutMemory = 5 * time.Second
	// playoutHold is how long a longer delay lasts at least: each change is visible.
	playoutHold = 30 * time.Second
	// playoutUnit is that of the extension.
	playoutUnit = 10 * time.Millisecond
)

// update takes an estimate and returns the delay.
func (p *playout) update(now time.Time, e bwe.Estimate) time.Duration {
	if p.seen.IsZero() {
		p.seen = now
	}
	share := min(1, now.Sub(p.seen).Seconds()/playoutMemory.Seconds())
	p.loss += (e.Loss - p.loss) * share
	p.seen = now
	want := time.Duration(0)
	if p.loss >= playoutLoss && (p.alone || e.RTT >= playoutRTT) {
		want = min(e.RTT+playoutMargin, playoutMax).Truncate(playoutUnit)
		if p.alone {
			want = max(want, playoutAlone)
		}
	}
	switch {
	case want > p.delay+p.delay/8:
		p.delay, p.until = want, now.Add(playoutHold)
	case want > p.delay*3/4:
		p.until = now.Add(playoutHold) // it is still needed
	case now.After(p.until):
		p.delay = want
	}
	return p.delay
}
