package rtc

import (
	"slices"
	"time"
)

const (
	// demandEvery is how often it is looked who wants which layer. Readers that find
	// nothing to begin with do not wait for it.
	demandEvery = 250 * time.Millisecond
	// demandLinger is how long a layer that nobody wants any more goes on being sent:
	// viewers on the edge of it come back, and each return costs a key frame.
	demandLinger = 4 * time.Second
	// demandLearn is how long a publisher is let send everything at first, until it is
	// known what its layers take; demandPatience for as long as not all of them have
	// come, for only what the catalog has can be wanted. demandSettle is how long after
	// the demand has risen.
	demandLearn    = 8 * time.Second
	demandPatience = 30 * time.Second
	demandSettle   = 3 * time.Second
	// demandSlack is by how much the limit is above what the wanted layers took when
	// they were free: encoders vary, and take less than they are given, so that one with
	// a tighter limit leaves out frames after each key frame. demandNext is how much of
	// the next layer comes on top: too little for it to be sent.
	demandSlack = 1.15
	demandNext  = 0.25
	// demandStarved is the share of what the wanted layers took when they were free
	// below which it may be the limit that holds them back.
	demandStarved = 0.9
	// demandStep is the factor of one correction, demandDown and demandUp the time
	// between them.
	demandStep = 0.9
	demandDown = 1500 * time.Millisecond
	demandUp   = 5 * time.Second
	// demandFull is the share of the limit from which on the wanted layers may need more.
	demandFull = 0.85
	// demandLeast and demandMost bound how far corrections go from what the wanted
	// layers took.
	demandLeast, demandMost = 0.6, 2.5
	// unlimited is a limit that limits nothing.
	unlimited = 1_000_000_000
	// layerSilence is how long a layer must have been silent to count as not sent.
	layerSilence = 700 * time.Millisecond
)

// layerUse is one layer as the demand sees it.
type layerUse struct {
	wanted  time.Time // when somebody last wanted it
	heard   time.Time // when it last brought a frame
	bps     uint64    // what it takes, as measured
	stalled bool      // it brings nothing though it may
	most    uint64    // what its viewers can be sent of it at most, zero if that is not known
}

// demand decides how much a publisher is let send, by who wants which layers of its
// picture: encoders fill the smallest layers first and leave out those for which
// nothing is left. So the layers up to the highest that is wanted are sent, and a
// limit between what they take and what the next one would need at least stops
// the others. Where that is, depends on the encoder; it is found out by correcting
// the limit. Time is an argument.
type demand struct {
	began  time.Time
	top    int       // the highest layer that is wanted
	freed  time.Time // when the demand last rose
	limit  uint64    // bit/s, zero for none
	first  uint64    // the least limit that was thought of at first
	took   uint64    // what the wanted layers took when they were free
	moved  time.Time // when it was last changed
	bound  uint64    // a limit with which too much was sent, zero if none is known
	layers int

	learning bool // everything is let come, wanted or not
	fitting  fitting
}

// decide returns the limit for all that the publisher sends, zero for none, and the
// highest layer that it is meant to send. The layers come the smallest first; other
// is what sound takes, and hidden says that there are layers which have not come yet.
func (d *demand) decide(now time.Time, layers []layerUse, other uint64, hidden bool) (limit uint64, top int) {
	if d.began.IsZero() {
		d.began = now
	}
	top = topWanted(now, layers)
	if len(layers) != d.layers || top > d.top {
		d.freed = now
	}
	if len(layers) != d.layers || top != d.top {
		d.limit, d.bound = 0, 0
	}
	d.layers, d.top = len(layers), top
	d.learning = now.Sub(d.began) < demandLearn || hidden && now.Sub(d.began) < demandPatience
	if d.learning {
		d.fitting = fitting{}
	} else if limit := d.fitting.limit(now, layers, top, other); limit != 0 {
		d.limit = 0
		return limit, top
	}
	free := top >= len(layers)-1 || d.learning || now.Sub(d.freed) < demandSettle
	switch {
	case free:
		d.limit = 0
	case d.limit == 0:
		d.begin(now, layers, other)
	default:
		d.correct(now, layers, other)
	}
	return d.limit, top
}

// topWanted returns the highest layer that is wanted. The lowest always is, so that
// whoever comes has a picture at once. A layer that brings nothing though it may
// cannot be chosen by anybody: it is wanted by those who have the next best.
func topWanted(now time.Time, layers []layerUse) int {
	top := 0
	for i, l := range layers {
		if i > top && !l.wanted.IsZero() && now.Sub(l.wanted) < demandLinger {
			top = i
		}
	}
	if !anyWanted(now, layers) {
		return top
	}
	for top+1 < len(layers) && layers[top+1].stalled {
		top++
	}
	return top
}

func anyWanted(now time.Time, layers []layerUse) bool {
	return slices.ContainsFunc(layers, func(l layerUse) bool {
		return !l.wanted.IsZero() && now.Sub(l.wanted) < demandLinger
	})
}

// leastVideo is what a picture is always let have: below that, encoders only get worse.
const leastVideo = 60_000

func (d *demand) begin(now time.Time, layers []layerUse, other uint64) {
	d.took = 0
	for _, l := range layers[:d.top+1] {
		d.took += l.bps
	}
	next := layers[d.top+1].bps // there is one: else nothing is limited
	d.first = uint64(float64(max(d.took, leastVideo))*demandSlack) + other
	d.limit, d.moved, d.bound = d.first+uint64(float64(next)*demandNext), now, 0
}

// correct lowers the limit while layers are sent that nobody wants, and raises it
// where the others may need more.
func (d *demand) correct(now time.Time, layers []layerUse, other uint64) {
	var sum uint64
	for _, l := range layers[:d.top+1] {
		sum += l.bps
	}
	full := float64(sum+other) > demandFull*float64(d.limit) || float64(sum) < demandStarved*float64(d.took)
	over := slices.ContainsFunc(layers[d.top+1:], func(l layerUse) bool {
		return !l.heard.IsZero() && now.Sub(l.heard) < layerSilence
	})
	next := d.limit
	switch {
	case over && now.Sub(d.moved) >= demandDown:
		d.bound = d.limit
		next = uint64(float64(d.limit) * demandStep)
	case !over && full && now.Sub(d.moved) >= demandUp:
		next = uint64(float64(d.limit) / demandStep)
		if d.bound != 0 && next >= d.bound-d.bound/100 { // give or take what is rounded
			next = d.limit
		}
	}
	next = max(next, uint64(float64(d.first)*demandLeast))
	next = min(next, uint64(float64(d.first)*demandMost))
	if next != d.limit {
		d.limit, d.moved = next, now
	}
}
