package rtc

import "time"

const (
	// fitLeast is how many times what the next smaller layer takes a layer must be let
	// have: with less it is hardly the better picture.
	fitLeast = 1.4
	// fitNarrow is what it must be let have at all: on narrower paths each of its key frames
	// stops the picture. With 300 kbit/s on a path of 500 that was for 1.4 s of 55.
	fitNarrow = 500_000
	// fitFull is the share of what a layer takes by itself from which on it is let be.
	fitFull = 0.95
	// fitSlack is how much more than they take the smaller layers are given by encoders.
	fitSlack = 1.15
	// fitEvery is the time between corrections, and fitSettle how long after a change
	// of what the layer may take what it takes still tells of before: bitrates are
	// averages of 4 s.
	fitEvery  = 2 * time.Second
	fitSettle = 4 * time.Second
	// fitStep is the share of what the layer may take by which the limit is corrected, and
	// fitMost by which at most in all.
	fitStep = 0.05
	fitMost = 0.5
	// fitLow is below what share of what it may take a layer has too little.
	fitLow = 0.88
)

// fitting decides a limit with which the highest layer that is wanted takes no more than its
// viewers can be sent. How much encoders give to the smaller layers is not known, so the
// limit is corrected by what the layer takes. Time is an argument.
type fitting struct {
	free  []float64 // what each layer took without a limit
	top   int       // the layer that is held
	most  float64   // to what, zero if it is not
	more  float64   // correction of the limit, in bit/s
	moved time.Time
}

// held returns what a layer is held to, in bit/s, zero if it is not.
func (f *fitting) held(layer int) uint64 {
	if f.top != layer {
		return 0
	}
	return uint64(f.most)
}

// limit returns a limit for all that the publisher sends, zero if the layer needs none.
func (f *fitting) limit(now time.Time, layers []layerUse, top int, other uint64) uint64 {
	if len(f.free) != len(layers) {
		*f = fitting{free: make([]float64, len(layers))}
	}
	for i := range layers {
		if i > top || f.most == 0 {
			f.free[i] = max(f.free[i], float64(layers[i].bps))
		}
	}
	most := float64(layers[top].most)
	if top == 0 || most == 0 || most > fitFull*f.free[top] {
		f.most, f.more = 0, 0
		return 0
	}
	if change := most - f.most; top != f.top || change > most/10 || change < -most/20 {
		f.moved = now.Add(fitSettle - fitEvery)
	}
	if top != f.top {
		f.top, f.more = top, 0
	}
	f.most = most
	f.correct(now, &layers[top])
	lower := 0.0
	for i := range top {
		lower += float64(layers[i].bps)
	}
	return other + uint64(lower*fitSlack+most+f.more)
}

// correct follows what the layer takes.
func (f *fitting) correct(now time.Time, l *layerUse) {
	if now.Sub(f.moved) < fitEvery {
		return
	}
	f.moved = now
	is := float64(l.bps)
	if now.Sub(l.heard) > layerSilence {
		is = 0
	}
	switch {
	case is > f.most:
		f.more -= min(is-f.most, 4*fitStep*f.most)
	case is < fitLow*f.most:
		f.more += fitStep * f.most
	}
	f.more = min(max(f.more, -fitMost*f.most), fitMost*f.most)
}
