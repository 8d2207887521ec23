package relay

// A slab hands out small byte slices cut from larger ones, so that an object
// costs no allocation of its own. Slices are never taken back: the garbage
// collector frees a slab when the last group that has a piece of it is gone.
type slab struct{ free []byte }

// slabBytes is a few hundred audio objects or a few video packets. A cached
// group keeps at most one slab alive beyond its own bytes.
const slabBytes = 16 << 10

func (s *slab) alloc(n int) []byte {
	if n > slabBytes/4 {
		return make([]byte, n)
	}
	if n > len(s.free) {
		s.free = make([]byte, slabBytes)
	}
	b := s.free[:n:n]
	s.free = s.free[n:]
	return b
}
