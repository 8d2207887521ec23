// Package allowance bounds how often something may be done: a token bucket to which
// the time is told.
package allowance

import "time"

// Bucket holds tokens, which come at a rate. It is not safe for concurrent use. The
// zero Bucket never has one.
type Bucket struct {
	rate, burst float64 // tokens per second, and at most

	left   float64
	filled time.Time
}

// New returns a full Bucket of burst tokens, to which rate come back per second.
func New(rate, burst float64) Bucket { return Bucket{rate: rate, burst: burst, left: burst} }

// Take removes a token, if there is one.
func (b *Bucket) Take(now time.Time) bool { return b.TakeN(now, 1) }

// TakeN removes n tokens, or none if there are fewer.
func (b *Bucket) TakeN(now time.Time, n int) bool {
	if !b.Has(now, n) {
		return false
	}
	b.left -= float64(n)
	return true
}

// Has reports whether there are n tokens, and takes none.
func (b *Bucket) Has(now time.Time, n int) bool {
	// Who shares a Bucket may have read the clock in another order: time that has
	// been counted is not counted again.
	if now.After(b.filled) {
		if !b.filled.IsZero() {
			b.left = min(b.burst, b.left+now.Sub(b.filled).Seconds()*b.rate)
		}
		b.filled = now
	}
	return b.left >= float64(n)
}
