package rtc

import (
	"testing"
	"time"
)

// encoder is a model of libwebrtc's: it gives each layer up to its target, the
// smallest first, as long as the layer gets its least; what is left over goes to
// the highest one.
type encoder struct {
	least, target, most []uint64
	sent                []uint64
	share               float64 // of what a layer is given that it takes, 1 if zero
}

func newEncoder() *encoder {
	return &encoder{
		least:  []uint64{30_000, 150_000, 350_000},
		target: []uint64{110_000, 380_000, 1_300_000},
		most:   []uint64{150_000, 500_000, 1_700_000},
		sent:   make([]uint64, 3),
	}
}

func (e *encoder) run(limit uint64, sound uint64) {
	left := uint64(5_000_000)
	if limit != 0 {
		left = limit - min(sound, limit)
	}
	top := -1
	for i := range e.sent {
		e.sent[i] = 0
	}
	for i := range e.sent {
		if left < e.least[i] && i > 0 {
			break
		}
		e.sent[i] = min(left, e.target[i])
		left -= e.sent[i]
		top = i
	}
	e.sent[top] = min(e.sent[top]+left, e.most[top])
	for i := range e.sent {
		if e.share > 0 {
			e.sent[i] = uint64(e.share * float64(e.sent[i]))
		}
	}
}

// demandWorld runs a demand beside an encoder.
type demandWorld struct {
	now    time.Time
	d      demand
	e      *encoder
	layers []layerUse
	limit  uint64
	hidden bool
}

func newDemandWorld() *demandWorld {
	return &demandWorld{now: time.Unix(1_700_000_000, 0), e: newEncoder(), layers: make([]layerUse, 3)}
}

// run has somebody want the given layers for a time.
func (w *demandWorld) run(d time.Duration, wanted ...int) {
	const sound = 60_000
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(demandEvery) {
		w.e.run(w.limit, sound)
		for i := range w.layers {
			l := &w.layers[i]
			if w.e.sent[i] > 0 {
				l.heard, l.bps = w.now, w.e.sent[i]
			}
		}
		for _, i := range wanted {
			w.layers[i].wanted = w.now
		}
		w.limit, _ = w.d.decide(w.now, w.layers, sound, w.hidden)
	}
}

func (w *demandWorld) want(t *testing.T, what string, sent ...bool) {
	t.Helper()
	for i, s := range sent {
		if got := w.e.sent[i] > 0; got != s {
			t.Errorf("%s: layer %d is sent: %v, want %v; limit %d", what, i, got, s, w.limit)
		}
	}
}

func TestDemandStopsWhatNobodyWants(t *testing.T) {
	w := newDemandWorld()
	w.run(demandLearn, 0)
	w.want(t, "while it learns", true, true, true)
	w.run(6*time.Second, 0)
	w.want(t, "only the lowest is wanted", true, false, false)
	w.run(time.Minute, 0)
	w.want(t, "a minute later", true, false, false)
	if got, least := w.e.sent[0], w.e.target[0]; got < least {
		t.Errorf("the lowest layer is let have %d, wants %d", got, least)
	}

	w.run(2*demandEvery, 0, 2)
	w.want(t, "the highest is wanted", true, true, true)
	w.run(10*time.Second, 1)
	w.want(t, "the middle is wanted", true, true, false)
	if got, least := w.e.sent[1], w.e.target[1]; got < least {
		t.Errorf("the middle layer is let have %d, wants %d", got, least)
	}

	w.run(10 * time.Second)
	w.want(t, "nobody is there", true, false, false)
}

// TestDemandLingers does not stop a layer at once: viewers come back.
func TestDemandLingers(t *testing.T) {
	w := newDemandWorld()
	w.run(20*time.Second, 2)
	w.run(demandLinger-2*demandEvery, 0)
	w.want(t, "just left", true, true, true)
	w.run(4*demandEvery, 0)
	w.want(t, "left for long", true, false, false)
}

// TestDemandFindsTheGap corrects a first limit that is too high for an encoder
// whose next layer needs very little.
func TestDemandFindsTheGap(t *testing.T) {
	w := newDemandWorld()
	w.e.least = []uint64{10_000, 15_000, 20_000}
	w.run(demandLearn+demandSettle, 0, 1)
	w.run(15*time.Second, 0, 1)
	w.want(t, "after corrections", true, true, false)
	below := 0
	for range 60 {
		w.run(time.Second, 0, 1)
		if w.e.sent[2] > 0 {
			below++
		}
	}
	if below > 4 {
		t.Errorf("the layer that nobody wants was sent in %d of 60 seconds", below)
	}
}

// TestDemandKeepsAStalledLayerWanted: nobody can choose a layer that the
// publisher's path does not carry, so that nobody wants it; it must come back all
// the same.
func TestDemandKeepsAStalledLayerWanted(t *testing.T) {
	w := newDemandWorld()
	w.layers[2].stalled = true
	w.run(30*time.Second, 1)
	if w.limit != 0 {
		t.Errorf("limited to %d", w.limit)
	}
	w.run(30*time.Second, 0)
	if w.limit == 0 {
		t.Error("not limited though nobody wants the next best layer")
	}
}

// TestDemandWaitsForLayers lets a publisher send everything while not all of its
// layers have come: encoders begin with the small ones.
func TestDemandWaitsForLayers(t *testing.T) {
	w := newDemandWorld()
	w.hidden = true
	w.run(demandPatience-time.Second, 0)
	if w.limit != 0 {
		t.Errorf("limited to %d", w.limit)
	}
	w.run(2*time.Second, 0)
	if w.limit == 0 {
		t.Error("not limited though the last layer does not come")
	}
}

// TestDemandDoesNotStarve has an encoder that takes two thirds of what it is given, as
// those do that hold a rate by leaving out frames.
func TestDemandDoesNotStarve(t *testing.T) {
	for _, wanted := range []int{0, 1} {
		w := newDemandWorld()
		w.e.share = 0.67
		w.run(demandLearn, 2)
		free := w.e.sent[wanted]
		w.run(demandLinger+40*time.Second, wanted)
		if w.e.sent[2] > 0 {
			t.Errorf("layer %d is wanted: the highest is sent", wanted)
		}
		if got := w.e.sent[wanted]; got*10 < free*9 {
			t.Errorf("layer %d takes %d, and %d when it was free; limit %d", wanted, got, free, w.limit)
		}
	}
}
