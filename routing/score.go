package routing

import "math"

// Score is what a plan is worth: the terms of the objective, most important
// first.
type Score struct {
	InBound int64   // viewers whose delay is within their bound
	Served  int64   // viewers whose node is in the tree
	LateMs  float64 // viewer-milliseconds beyond the bound
	CostUSD float64 // USD per hour for the arcs used
	DelayMs float64 // viewer-milliseconds, the tie-break
}

// Differences below these are ties.
const (
	lateTie = 1e-6
	costTie = 1e-9
	// delayTie is relative: the last term has no tolerance of its own, and sums
	// taken in another order differ by rounding.
	delayTie = 1e-12
)

// Compare is positive if s is better than o, negative if it is worse.
func (s Score) Compare(o Score) int {
	switch {
	case s.InBound != o.InBound:
		return sign(s.InBound > o.InBound)
	case s.Served != o.Served:
		return sign(s.Served > o.Served)
	case math.Abs(s.LateMs-o.LateMs) > lateTie:
		return sign(s.LateMs < o.LateMs)
	case math.Abs(s.CostUSD-o.CostUSD) > costTie:
		return sign(s.CostUSD < o.CostUSD)
	case math.Abs(s.DelayMs-o.DelayMs) > delayTie*(1+math.Abs(s.DelayMs)):
		return sign(s.DelayMs < o.DelayMs)
	}
	return 0
}

func sign(better bool) int {
	if better {
		return 1
	}
	return -1
}

// Add returns the sum of two scores: the objective is additive over tracks.
func (s Score) Add(o Score) Score {
	return Score{s.InBound + o.InBound, s.Served + o.Served, s.LateMs + o.LateMs, s.CostUSD + o.CostUSD, s.DelayMs + o.DelayMs}
}
