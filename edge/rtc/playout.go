package rtc

import (
	"time"

	"trellis/edge/rtc/bwe"
)

// playout decides how long a viewer should keep pictures back at the least, so that
// a packet that was lost can be sent again in time, and a key frame has passed a narrow
// path when it is due. Players that only receive do not know the round-trip time, and
// Chromium takes it for 100 ms; nor do they expect key frames, and show each as a short
// freeze. The time is told with the playout-delay header extension. The zero playout
// asks for nothing.
type playout struct {
	// alone: the player adds nothing by itself for what is sent again. Chromium does not
	// for a stream with repair packets, be there any or not.
	alone  bool
	loss   float64 // share, over about playoutMemory
	began  time.Time
	seen   time.Time
	delay  time.Duration
	until  time.Time // it is not made shorter before
	narrow time.Time // since when large frames take long, zero if they do not
	least  time.Duration
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
	playoutMemory = 5 * time.Second // less at first, but not less than playoutLeast
	playoutLeast  = 500 * time.Millisecond
	// playoutHold is how long a longer delay lasts at least: each change is visible.
	playoutHold = 30 * time.Second
	// A large frame counts from playoutLarge on, with playoutKey that it is late before: it
	// takes longer to be encoded, and publishers pace it, too. playoutLargeMax bounds it:
	// where frames take longer than that a smaller layer would do better. It counts
	// after playoutSure, in which estimates settle.
	playoutLarge    = 100 * time.Millisecond
	playoutKey      = 60 * time.Millisecond
	playoutLargeMax = 350 * time.Millisecond
	playoutSure     = 3 * time.Second
	// playoutUnit is that of the extension.
	playoutUnit = 10 * time.Millisecond
)

// update takes an estimate, and the bytes of the largest frames that the viewer is sent,
// and returns the delay.
func (p *playout) update(now time.Time, e bwe.Estimate, largest int) time.Duration {
	if p.seen.IsZero() {
		p.began, p.seen = now, now
	}
	memory := min(max(now.Sub(p.began), playoutLeast), playoutMemory)
	share := min(1, now.Sub(p.seen).Seconds()/memory.Seconds())
	p.loss += (e.Loss - p.loss) * share
	p.seen = now
	want := time.Duration(0)
	if p.loss >= playoutLoss && (p.alone || e.RTT >= playoutRTT) {
		want = min(e.RTT+playoutMargin, playoutMax)
		if p.alone {
			want = max(want, playoutAlone)
		}
	}
	want = max(want, p.large(now, e, largest).Truncate(playoutUnit))
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

// large is how long after they are due the largest frames are there, at the least of
// the last few seconds.
func (p *playout) large(now time.Time, e bwe.Estimate, largest int) time.Duration {
	took := time.Duration(float64(largest) * 8 / float64(max(e.SustainedBps, 1)) * float64(time.Second))
	if took < playoutLarge || e.State == bwe.Outage {
		p.narrow, p.least = time.Time{}, 0
		return 0
	}
	more := min(took+playoutKey, playoutLargeMax)
	if p.narrow.IsZero() {
		p.narrow, p.least = now, more
	}
	if p.least = min(p.least, more); now.Sub(p.narrow) < playoutSure {
		return 0
	}
	return p.least
}
