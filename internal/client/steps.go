package client

import (
	"maps"
	"math"
	"slices"
)

// steps counts the distances between the presentation times of successive frames,
// and finds the missing ones: a step well beyond the usual one is a gap, and as
// many frames are missing as usual steps would fit.
//
// It is the one measure that works alike for every protocol and every cause. A
// source that drops frames by itself, as cameras do in the dark, shows too.
type steps struct {
	counts map[int64]int64 // steps in units of stepUnit
	n      int64
	last   int64
	begun  bool
	// waiting are times not counted yet, in order: groups may overtake one another.
	waiting []int64
}

const (
	stepUnit = 100 // microseconds
	// maxSteps bounds the number of different steps that are told apart.
	maxSteps = 10_000
	// gapSteps is how many usual steps make a gap: between one, with the jitter of
	// capture, and two.
	gapSteps = 1.5
	// maxWaiting is how many frames one may come after its turn and still count:
	// more than a second of sound.
	maxWaiting = 64
)

// add notes a frame. One that comes much too late counts for nothing.
func (s *steps) add(pts int64) {
	at, twice := slices.BinarySearch(s.waiting, pts)
	if twice {
		return
	}
	s.waiting = slices.Insert(s.waiting, at, pts)
	if len(s.waiting) > maxWaiting {
		s.count(s.waiting[0])
		s.waiting = slices.Delete(s.waiting, 0, 1)
	}
}

// restart says that the next frame need not go on from the last.
func (s *steps) restart() {
	for _, pts := range s.waiting {
		s.count(pts)
	}
	s.waiting, s.begun = nil, false
}

// count takes the next frame in order.
func (s *steps) count(pts int64) {
	if s.begun && pts < s.last+stepUnit/2 {
		return // late, or the same frame again
	}
	if s.begun {
		if s.counts == nil {
			s.counts = map[int64]int64{}
		}
		step := (pts - s.last + stepUnit/2) / stepUnit
		if _, known := s.counts[step]; known || len(s.counts) < maxSteps {
			s.counts[step]++
			s.n++
		}
	}
	s.last, s.begun = pts, true
}

// usual returns the median step, in units of stepUnit.
func (s *steps) usual() int64 {
	seen := int64(0)
	for _, step := range slices.Sorted(maps.Keys(s.counts)) {
		if seen += s.counts[step]; seen*2 >= s.n {
			return step
		}
	}
	return 0
}

// missing returns the number of gaps, and of frames that are missing in them.
func (s *steps) missing() (gaps, frames int64) {
	if len(s.waiting) > 0 { // as if no more came, without keeping it
		all := steps{counts: maps.Clone(s.counts), n: s.n, last: s.last, begun: s.begun, waiting: s.waiting}
		all.restart()
		return all.missing()
	}
	usual := float64(s.usual())
	if usual == 0 {
		return 0, 0
	}
	for step, n := range s.counts {
		if r := float64(step) / usual; r > gapSteps {
			gaps += n
			frames += n * (int64(math.Round(r)) - 1)
		}
	}
	return gaps, frames
}
