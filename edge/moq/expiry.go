package moq

import (
	"time"

	"trellis/wire/moqlite"
)

// expiryGrace is how long a group may take in any case once a newer one has
// begun. A viewer that says "only the newest matters" (max_latency 0, as
// @moq/watch does) means that it does not want to wait. It does not mean to lose
// the end of each group of pictures, which is on its way when the next key frame
// comes, nor nine of ten audio packets which network jitter delivered to us in
// one burst.
const expiryGrace = 200 * time.Millisecond

// expiryOf returns how long after a newer group began a group is still of use.
// The drafts count from where the old group began, but a group of pictures is
// always older than its successor by its whole length: what counts is for how
// long it has held up something newer.
func expiryOf(maxLatency time.Duration) time.Duration { return max(maxLatency, expiryGrace) }

// mark says when a group began: the presentation time of its first frame, once
// that is there, and the time when its first byte came to us.
type mark struct {
	seq   uint64
	at    time.Time
	time  int64
	timed bool
}

// stale reports whether newer groups go first. A burst stays in order: what is
// young next to the newest group, by both clocks, does not count as stale.
func (g mark) stale(newest mark, timescale uint64) bool {
	if newest.seq <= g.seq {
		return false
	}
	if newest.at.Sub(g.at) > expiryGrace {
		return true
	}
	return g.timed && newest.timed && spanOf(newest.time-g.time, timescale) > expiryGrace
}

// spanOf turns units of a timescale into a duration, at most some centuries.
func spanOf(units int64, timescale uint64) time.Duration {
	// Both times are within ±MaxTime, so neither difference nor float overflows
	// before the comparison below.
	seconds := float64(units) / float64(timescale)
	const most = float64(1<<62) / float64(time.Second)
	return time.Duration(min(seconds, most) * float64(time.Second))
}

// urgency is the priority of a group's stream at the QUIC layer, 0 to 7, lower
// first. Control streams have 3.
type urgency = int8

// Ranks that are told apart: the most important tracks of a session, the next,
// and the others, as in catalog and audio, video, the rest.
const lastRank = 2

// urgencyOf places a track of some rank. Among groups of one track, those that
// are current go before those that are stale, or after them if the viewer asked
// for order.
func urgencyOf(rank int, current, ordered bool) urgency {
	u := urgency(1 + 2*min(rank, lastRank))
	if current == ordered {
		u++
	}
	return u
}

// dropRanges collects groups that a viewer will not get, to be told in as few
// messages as possible.
type dropRanges struct{ list []moqlite.SubscribeDrop }

// maxDropRanges bounds the list; beyond, what is skipped is not told, which no
// client relies on.
const maxDropRanges = 32

func (d *dropRanges) add(m moqlite.SubscribeDrop) {
	if n := len(d.list); n > 0 {
		last := &d.list[n-1]
		if last.Code == m.Code && m.First == last.Last+1 {
			last.Last = m.Last
			return
		}
	}
	if len(d.list) < maxDropRanges {
		d.list = append(d.list, m)
	}
}

func (d *dropRanges) take() []moqlite.SubscribeDrop {
	list := d.list
	d.list = nil
	return list
}
