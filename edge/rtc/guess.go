package rtc

import (
	"time"

	"trellis/edge/rtc/bwe"
)

const (
	// guessMost is what a path is taken for whose first packets speak against nothing: it
	// carries the largest layer, as most do.
	guessMost = 3_000_000
	// guessPatience is how long it is, if nothing speaks against it later.
	guessPatience = 3 * time.Second
)

// guess is what a path is taken for until the estimator knows. The first packets tell how
// fast they came out of it, at the most. Where they overtook one another they tell
// nothing, and an estimate takes a second: until then the path is thought to be wide. Time is an
// argument. The zero guess has not begun.
type guess struct {
	began time.Time // when the first packets had come
	over  bool
	bps   int64
	fell  bool // it is less than what was taken for granted
}

// apply returns the estimate to go by. fell says that the path has just turned out to carry less
// than was taken for granted.
func (g *guess) apply(now time.Time, e bwe.Estimate) (by bwe.Estimate, fell bool) {
	if g.over || !e.Opened {
		return e, false
	}
	if g.began.IsZero() {
		g.began, g.bps = now, guessMost
		if e.OpeningBps > 0 {
			g.bps = min(g.bps, e.OpeningBps)
		}
		g.fell = g.bps < e.Bps
		fell = g.fell
	}
	switch e.Reason {
	case bwe.ReasonStart, bwe.ReasonGrowth, bwe.ReasonTrain, bwe.ReasonProbe:
		measured := !g.fell && e.SustainedBps >= g.bps
		g.over = measured || now.Sub(g.began) > guessPatience
	default:
		g.over = true
	}
	if !g.over {
		e.Bps, e.SustainedBps = g.bps, g.bps
	}
	return e, fell
}

// holds reports whether there is a guess to go by.
func (g *guess) holds() bool { return !g.over && !g.began.IsZero() }
