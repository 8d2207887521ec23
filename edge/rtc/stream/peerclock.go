package stream

import "time"

// clockReports is over how many sender reports the clock of a peer is estimated, and
// over how many round trips the shortest: half a minute to some, in which two clocks
// drift apart by a millisecond or two.
const clockReports = 32

// peerClock estimates what the clock of a peer says, the one that the sender reports of a stream
// are of. A report says at its arrival what the clock said when it left; the one that took least
// on its way comes nearest. How long that took lies between nothing and the round trip, and half
// of the shortest is what is assumed, where any was measured. Time is an argument.
type peerClock struct {
	behind leastOf // the peer's clock behind ours, and the way of a report
}

// reported takes a report's time and arrival.
func (c *peerClock) reported(at, arrival time.Time) { c.behind.add(arrival.Sub(at)) }

// set says that the peer's clock was set.
func (c *peerClock) set() { c.behind = leastOf{} }

// at returns what the peer's clock said when ours said t, and what bounds the error of that:
// negative where nothing does. The time is zero before the first report.
func (c *peerClock) at(t time.Time, trips *leastOf) (at time.Time, bound time.Duration) {
	behind, ok := c.behind.least()
	if !ok {
		return time.Time{}, 0
	}
	trip, ok := trips.least()
	if !ok {
		return t.Add(-behind), -1
	}
	return t.Add(trip/2 - behind), trip / 2
}

// leastOf is the least of the latest durations.
type leastOf struct {
	ring [clockReports]time.Duration
	n    int
}

func (l *leastOf) add(d time.Duration) {
	l.ring[l.n%clockReports] = d
	l.n++
}

func (l *leastOf) least() (time.Duration, bool) {
	d := l.ring[0]
	for _, o := range l.ring[:min(l.n, clockReports)] {
		d = min(d, o)
	}
	return d, l.n > 0
}
