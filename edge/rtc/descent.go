package rtc

import "time"

const (
	// descentEvery is the time between two steps of a descent, in which an encoder follows the
	// last.
	descentEvery = 200 * time.Millisecond
	// No descent begins within descentKey of a key frame, nor within descentAhead of when
	// the next is asked for, but after descentWait in any case.
	descentKey   = 500 * time.Millisecond
	descentAhead = 800 * time.Millisecond
	descentWait  = 2 * time.Second
)

// descent lowers a publisher's limit in steps of half, between key frames. Browsers send what is
// encoded already at the new pace: after one step from all layers to the smallest, a key
// frame of a larger one stood before that for up to 0.36 s. Time is an argument.
type descent struct {
	group time.Duration // after which key frames are asked for
	last  uint64        // that was told, zero for none
	since time.Time     // when the next step should have been made, zero if none is to be
	next  time.Time
}

// step returns what to tell now on the way to a limit, zero for none. sent is what the
// publisher sends, key when its last key frame came.
func (d *descent) step(now time.Time, limit, sent uint64, key time.Time) uint64 {
	from := d.last
	if from == 0 {
		from = sent
	}
	if limit == 0 || limit >= from/2 {
		d.last, d.since = limit, time.Time{}
		return limit
	}
	if d.since.IsZero() {
		d.since = now
	}
	if now.Before(d.next) || d.disturbs(now.Sub(key)) && now.Sub(d.since) < descentWait {
		return d.last
	}
	d.last, d.since, d.next = from/2, time.Time{}, now.Add(descentEvery)
	return d.last
}

// disturbs reports whether a key frame may be under way, so long after the last.
func (d *descent) disturbs(age time.Duration) bool {
	return age < descentKey || age > d.group-descentAhead && age < d.group+descentKey
}
