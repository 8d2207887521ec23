package transport

import "time"

// allowance is a token bucket. It is full at first. Time is an argument.
type allowance struct {
	rate, burst float64 // per second, and at once

	left   float64
	filled time.Time
}

// take removes a token, if there is one.
func (a *allowance) take(now time.Time) bool {
	if !a.some(now) {
		return false
	}
	a.left--
	return true
}

// some reports whether there is a token.
func (a *allowance) some(now time.Time) bool {
	if a.filled.IsZero() {
		a.left = a.burst
	} else {
		a.left = min(a.burst, a.left+now.Sub(a.filled).Seconds()*a.rate)
	}
	a.filled = now
	return a.left >= 1
}
