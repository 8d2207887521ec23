package control

import "time"

// A link is believed to be slower at once, and to be faster only after it has
// been faster for a while. Whoever is on a link that got slower needs to know
// now; whoever might move to one that got faster has time. The while doubles each
// time the link relapses, so a link that swings is planned with its bad side and
// moves nobody.
type damper struct {
	value float64 // ms, believed
	peak  float64 // the most that was measured since below
	below time.Time
	// relapses, and when the last one was.
	relapses uint8
	relapsed time.Time
}

const (
	maxRelapses = 5
	// A return to the old value counts as a relapse if it is a step: what real routes
	// do, not what their noise does.
	relapseMs    = 3
	relapseShare = 0.10
)

// hold is how long the link must be faster before that is believed.
func (d *damper) hold(base time.Duration) time.Duration { return base << d.relapses }

// forgive forgets relapses of a link that has been quiet for several holds.
func (d *damper) forgive(now time.Time, base time.Duration) {
	if d.relapses > 0 && now.Sub(d.relapsed) > 4*d.hold(base) {
		d.relapses--
		d.relapsed = now
	}
}

// measure takes a new value, and reports what is believed now.
func (d *damper) measure(x float64, now time.Time, base time.Duration) float64 {
	d.forgive(now, base)
	if x >= d.value {
		if !d.below.IsZero() && x-d.peak > max(relapseMs, relapseShare*x) {
			d.relapses = min(d.relapses+1, maxRelapses)
			d.relapsed = now
		}
		d.value, d.below = x, time.Time{}
		return d.value
	}
	if d.below.IsZero() {
		d.below, d.peak = now, x
	}
	d.peak = max(d.peak, x)
	if now.Sub(d.below) >= d.hold(base) {
		d.value, d.below = d.peak, time.Time{}
	}
	return d.value
}
