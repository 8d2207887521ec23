package framing

// Unwrapper turns counters that wrap, RTP sequence numbers or timestamps, into
// numbers that do not. Each value is taken to be the one nearest to the last.
// The zero value is ready; the first value is returned as it is.
type Unwrapper[T uint16 | uint32] struct {
	last int64
	seen bool
}

// Unwrap returns the number for v.
func (u *Unwrapper[T]) Unwrap(v T) int64 {
	if !u.seen {
		u.seen, u.last = true, int64(v)
		return u.last
	}
	forward := v - T(u.last) // modulo the size of T
	half := ^T(0)>>1 + 1
	if forward < half {
		u.last += int64(forward)
	} else {
		u.last -= int64(T(u.last) - v)
	}
	return u.last
}
