package rtc

import (
	"testing"
	"time"

	"trellis/edge/rtc/bwe"
)

// TestGuess: what the first packets say of a path counts until it is measured; where they say
// nothing the path is taken for wide, until something speaks against it or nothing has come of it.
func TestGuess(t *testing.T) {
	const mbit = 1_000_000
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	type step struct {
		at      time.Duration
		bps     int64
		reason  bwe.Reason
		opening int64 // -1: not known yet
		want    int64
	}
	for name, steps := range map[string][]step{
		"narrow": {
			{0, mbit / 2, bwe.ReasonStart, -1, mbit / 2},
			{time.Second, mbit / 2, bwe.ReasonStart, 3 * mbit / 10, 3 * mbit / 10},
			{2 * time.Second, mbit / 4, bwe.ReasonQueue, 3 * mbit / 10, mbit / 4},
			{3 * time.Second, mbit / 2, bwe.ReasonGrowth, 3 * mbit / 10, mbit / 2},
		},
		"wide": {
			{0, mbit / 2, bwe.ReasonStart, 20 * mbit, guessMost},
			{time.Second, 2 * mbit, bwe.ReasonTrain, 20 * mbit, guessMost},
			{2 * time.Second, 4 * mbit, bwe.ReasonTrain, 20 * mbit, 4 * mbit},
			{3 * time.Second, 2 * mbit, bwe.ReasonGrowth, 20 * mbit, 2 * mbit},
		},
		"overtaking": {
			{0, mbit / 2, bwe.ReasonStart, 0, guessMost},
			{guessPatience, mbit / 2, bwe.ReasonGrowth, 0, guessMost},
			{guessPatience + 1, mbit, bwe.ReasonGrowth, 0, mbit},
		},
	} {
		var g guess
		for _, s := range steps {
			e := bwe.Estimate{Bps: s.bps, SustainedBps: s.bps, Reason: s.reason, Opened: s.opening >= 0, OpeningBps: max(s.opening, 0)}
			got, fell := g.apply(began.Add(s.at), e)
			if got.Bps != s.want || got.SustainedBps != s.want || fell != (got.Bps < s.bps) {
				t.Errorf("%s, at %v: %d, fell %v; want %d", name, s.at, got.Bps, fell, s.want)
			}
		}
	}
}
