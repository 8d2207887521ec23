package allocate

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var ladder = []uint64{150_000, 500_000, 1_700_000}

// viewer plays decisions about some pictures over time.
type viewer struct {
	now      time.Time
	pictures []Picture
	moves    int
}

func newViewer(n int) *viewer {
	v := &viewer{now: time.Unix(1_700_000_000, 0)}
	for i := range n {
		v.pictures = append(v.pictures, Picture{Layers: ladder, Current: Unknown, Priority: n - i, Memory: &Memory{}})
	}
	return v
}

func (v *viewer) decide(bps uint64) ([]Choice, uint64) {
	choices, wanted := Decide(nil, v.now, bps, v.pictures)
	for i, c := range choices {
		if c.Layer != v.pictures[i].Current {
			v.moves++
		}
		v.pictures[i].Current = c.Layer
	}
	v.now = v.now.Add(100 * time.Millisecond)
	return choices, wanted
}

func (v *viewer) layers() []int {
	var all []int
	for _, p := range v.pictures {
		all = append(all, p.Current)
	}
	return all
}

func TestOnePicture(t *testing.T) {
	v := newViewer(1)
	steps := []struct {
		bps    uint64
		layer  int
		reason Reason
		wanted bool
	}{
		{1_000_000, 1, Start, true},
		{1_000_000, 1, Stay, true},
		{1_700_000, 1, Stay, true},
		{2_000_000, 2, Room, false},
		{1_650_000, 2, Stay, true}, // without headroom: it is worth knowing whether there is any
		{1_500_000, 1, Estimate, false},
		{2_000_000, 1, Stay, false},
	}
	for i, s := range steps {
		choices, wanted := v.decide(s.bps)
		if c := choices[0]; c.Layer != s.layer || c.Reason != s.reason || wanted > 0 != s.wanted {
			t.Errorf("step %d, %d bit/s: layer %d for %v, wanted %d; want layer %d for %v", i, s.bps, c.Layer, c.Reason, wanted, s.layer, s.reason)
		}
	}
	v.now = v.now.Add(minHold)
	if choices, _ := v.decide(2_000_000); choices[0].Layer != 2 {
		t.Errorf("after the hold: %+v", choices[0])
	}
}

// TestPause has a path become too narrow for the smallest layer.
func TestPause(t *testing.T) {
	v := newViewer(1)
	v.decide(1_000_000)
	choices, _ := v.decide(80_000)
	if choices[0].Layer != 0 {
		t.Fatalf("at once: %+v", choices[0])
	}
	for range 20 {
		choices, _ = v.decide(80_000)
	}
	if choices[0].Layer != Paused {
		t.Fatalf("after two seconds: %+v", choices[0])
	}
	if choices, _ = v.decide(200_000); choices[0].Layer != 0 || choices[0].Reason != Resume {
		t.Fatalf("with room again: %+v", choices[0])
	}
}

// TestFlapping has an estimate that swings about what a layer needs.
func TestFlapping(t *testing.T) {
	v := newViewer(1)
	for i := range 1200 { // two minutes
		bps := uint64(1_500_000)
		if i/10%2 == 0 {
			bps = 2_000_000
		}
		v.decide(bps)
	}
	if v.moves > 16 {
		t.Errorf("%d moves in two minutes", v.moves)
	}
}

// TestImportance has the more important picture lose last and gain first.
func TestImportance(t *testing.T) {
	v := newViewer(2)
	v.decide(5_000_000)
	if got := v.layers(); got[0] != 2 || got[1] != 2 {
		t.Fatalf("with plenty: %v", got)
	}
	v.decide(1_900_000)
	if got := v.layers(); got[0] != 2 || got[1] != 0 {
		t.Errorf("with 1.9 Mbit/s: %v", got)
	}
	for range 30 {
		v.decide(180_000)
	}
	if got := v.layers(); got[0] != 0 || got[1] != Paused {
		t.Errorf("with 180 kbit/s: %v", got)
	}
}

// TestLayerGone has the ladder change below a viewer.
func TestLayerGone(t *testing.T) {
	v := newViewer(1)
	v.decide(5_000_000)
	v.pictures[0].Layers, v.pictures[0].Current = ladder[:2], Unknown
	choices, wanted := v.decide(5_000_000)
	if choices[0].Layer != 1 || choices[0].Reason != Ladder || wanted != 0 {
		t.Errorf("%+v, wanted %d", choices[0], wanted)
	}
}

// TestAnything checks what holds for every ladder, estimate and history: a choice
// is one of the layers, and after a decision pictures that came down fit.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := newViewer(rapid.IntRange(1, 4).Draw(t, "pictures"))
		for i := range v.pictures {
			n := rapid.IntRange(0, 4).Draw(t, "layers")
			v.pictures[i].Layers = nil
			for at := uint64(0); len(v.pictures[i].Layers) < n; {
				at += rapid.Uint64Range(1, 3_000_000).Draw(t, "step")
				v.pictures[i].Layers = append(v.pictures[i].Layers, at)
			}
		}
		for range 50 {
			bps := rapid.Uint64Range(0, 10_000_000).Draw(t, "bps")
			for i := range v.pictures {
				v.pictures[i].Asked = rapid.IntRange(0, 4).Draw(t, "asked")
				v.pictures[i].Off = rapid.IntRange(0, 4).Draw(t, "off") == 0
			}
			before := v.layers()
			choices, wanted := v.decide(bps)
			total, came, starved := uint64(0), false, false
			for i, c := range choices {
				p := v.pictures[i]
				if c.Layer < Paused || c.Layer >= len(p.Layers) {
					t.Fatalf("picture %d: layer %d of %d", i, c.Layer, len(p.Layers))
				}
				if p.Off && c.Layer != Paused || p.Asked > 0 && c.Layer >= p.Asked {
					t.Fatalf("picture %d: layer %d, and %d are asked for, off: %v", i, c.Layer, p.Asked, p.Off)
				}
				if c.Layer >= 0 {
					total += p.Layers[c.Layer]
				}
				came = came || c.Layer < before[i]
				starved = starved || !p.Memory.starved.IsZero() || c.Layer == 0
			}
			if came && !starved && float64(total) > Tolerance*float64(bps) {
				t.Fatalf("%d bit/s of %d after coming down from %v to %v", total, bps, before, v.layers())
			}
			if wanted > 0 && float64(wanted) < Headroom*float64(bps) {
				t.Fatalf("%d bit/s wanted, and %d are there", wanted, bps)
			}
		}
	})
}

// TestAsked: a viewer is sent no more than it wants, and is where it was as soon as it
// wants that again.
func TestAsked(t *testing.T) {
	v := newViewer(1)
	for i, s := range []struct {
		asked  int
		off    bool
		bps    uint64
		layer  int
		reason Reason
	}{
		{2, false, 5_000_000, 1, Start},
		{0, false, 5_000_000, 2, Room},
		{1, false, 5_000_000, 0, Asked},
		{1, false, 5_000_000, 0, Stay},
		{3, false, 5_000_000, 2, Room},
		{0, true, 5_000_000, Paused, Asked},
		{0, true, 5_000_000, Paused, Stay},
		{2, false, 5_000_000, 1, Resume},
		{0, false, 5_000_000, 2, Room},
		{2, false, 200_000, 0, Estimate}, // the path has less than it wants
	} {
		v.pictures[0].Asked, v.pictures[0].Off = s.asked, s.off
		choices, wanted := v.decide(s.bps)
		if c := choices[0]; c.Layer != s.layer || c.Reason != s.reason {
			t.Errorf("step %d: layer %d for %v, want %d for %v", i, c.Layer, c.Reason, s.layer, s.reason)
		}
		if s.bps == 5_000_000 && wanted != 0 {
			t.Errorf("step %d: wants to know of %d bit/s", i, wanted)
		}
	}
}

func TestLossForbidsLayers(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := Picture{Layers: []uint64{100, 400, 1600}, Current: 2, Most: 2, Memory: &Memory{}}
	choices, wanted := Decide(nil, now, 3000, []Picture{p})
	if choices[0] != (Choice{Layer: 1, Reason: Loss}) || wanted != 0 {
		t.Errorf("on a layer that may not be used: %+v, wants %d", choices[0], wanted)
	}
	choices, _ = Decide(nil, now, 500, []Picture{p})
	if choices[0] != (Choice{Layer: 1, Reason: Estimate}) {
		t.Errorf("and does not fit: %+v", choices[0])
	}
	p.Current = 1
	choices, wanted = Decide(nil, now.Add(time.Hour), 3000, []Picture{p})
	if choices[0] != (Choice{Layer: 1, Reason: Stay}) || wanted != 0 {
		t.Errorf("below it: %+v, wants %d", choices[0], wanted)
	}
}
