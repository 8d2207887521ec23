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
}

const (
	stepUnit = 100 // microseconds
	// maxSteps bounds the number of different steps that are told apart.
	maxSteps = 10_000
	// gapSteps is how many usual steps make a gap: between one, with the jitter of
	// capture, and two.
	gapSteps = 1.5
)

// add notes a frame. Frames out of order count for nothing.
func (s *steps) add(pts int64) {
	if s.begun && pts <= s.last {
		return
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
