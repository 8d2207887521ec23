package framing

import (
	"fmt"
	"testing"
	"time"
)

// svcMode is a model of an encoder with layers: every frame is one byte, its number.
type svcMode struct {
	name      string
	spatials  int
	temporals int
	below     func(key bool, spatial int) bool // a frame refers to the one below
}

var svcModes = []svcMode{
	{"L1T3", 1, 3, func(bool, int) bool { return false }},
	{"L3T3_KEY", 3, 3, func(key bool, s int) bool { return key && s > 0 }},
	{"L3T3", 3, 3, func(_ bool, s int) bool { return s > 0 }},
	{"S3T1", 3, 1, func(bool, int) bool { return false }},
	{"L2T1_KEY", 2, 1, func(key bool, s int) bool { return key && s > 0 }},
}

// temporalOf is the usual pattern: 0 2 1 2, or 0 1, or 0.
func (m svcMode) temporalOf(picture int) int {
	switch m.temporals {
	case 3:
		return []int{0, 2, 1, 2}[picture%4]
	case 2:
		return picture % 2
	}
	return 0
}

// svcFrame is a frame of the model with what it refers to.
type svcFrame struct {
	LayerFrame
	number byte
	refs   []byte
}

// pictures makes so many pictures, with a key picture every 16.
func (m svcMode) pictures(n int) [][]svcFrame {
	var all [][]svcFrame
	var newest [maxSpatial][maxTemporal]byte // of each layer, zero for none
	number := byte(0)
	for i := range n {
		var picture []svcFrame
		key, temporal := i%16 == 0, m.temporalOf(i)
		for s := range m.spatials {
			number++
			f := svcFrame{number: number, LayerFrame: LayerFrame{
				PTS: int64(i), Arrival: time.Unix(int64(i), 0),
				Layer: Layer{
					Spatial: uint8(s), Temporal: uint8(temporal), Spatials: uint8(m.spatials), Temporals: uint8(m.temporals),
					Below: m.below(key, s), Before: !key,
				},
			}}
			if f.Below {
				f.refs = append(f.refs, number-1)
			}
			if !key {
				// The newest of a lower temporal layer, or of the base layer its own.
				for t := max(temporal-1, 0); t >= 0; t-- {
					if ref := newest[s][t]; ref != 0 {
						f.refs = append(f.refs, ref)
						break
					}
				}
			} else {
				newest[s] = [maxTemporal]byte{}
			}
			newest[s][temporal] = number
			picture = append(picture, f)
		}
		all = append(all, picture)
	}
	return all
}

// TestSplitOutputsAreDecodable runs the modes through Split and wants each output
// to hold everything that its frames refer to, all pictures of its own, and no
// more of the layers below than that takes.
func TestSplitOutputsAreDecodable(t *testing.T) {
	for _, m := range svcModes {
		t.Run(m.name, func(t *testing.T) {
			split := NewSplit(VP8, Layer{Spatials: uint8(m.spatials), Temporals: uint8(m.temporals)}, true)
			outputs := split.Outputs()
			have := make([]map[byte]bool, len(outputs))
			count := make([]int, len(outputs))
			extra := make([]int, len(outputs))
			const n = 64
			for i, picture := range m.pictures(n) {
				for _, f := range picture {
					split.Begin(f.LayerFrame)
					split.Data([]byte{f.number})
					for o, made := range split.End() {
						if made.Broken {
							t.Fatalf("picture %d: output %d is broken", i, o)
						}
						if made.Frame == nil {
							continue
						}
						if made.Key != (i%16 == 0) || made.PTS != int64(i) {
							t.Errorf("picture %d: output %d has key %v, time %d", i, o, made.Key, made.PTS)
						}
						if made.Key {
							have[o] = map[byte]bool{}
						}
						count[o]++
						extra[o] += len(made.Frame) - 1
						for _, number := range made.Frame {
							for _, p := range picture {
								if p.number != number {
									continue
								}
								for _, ref := range p.refs {
									if !have[o][ref] {
										t.Fatalf("picture %d: output %d has frame %d, which refers to %d", i, o, number, ref)
									}
								}
							}
							have[o][number] = true
						}
					}
				}
			}
			for i, o := range outputs {
				pictures, lower := n, 0
				if o.Thinned() {
					pictures = n / (1 << (m.temporals - 1 - int(o.Temporal)))
				}
				switch m.name {
				case "L3T3_KEY", "L2T1_KEY":
					lower = n / 16 * int(o.Spatial)
				case "L3T3":
					lower = n * int(o.Spatial)
				}
				if count[i] != pictures || extra[i] != lower {
					t.Errorf("output %+v has %d pictures and %d lower frames, want %d and %d", o, count[i], extra[i], pictures, lower)
				}
			}
		})
	}
}

func TestSplitOutputs(t *testing.T) {
	for _, c := range []struct {
		spatials, temporals uint8
		thin                bool
		want                string
	}{
		{1, 3, true, "[ -t1 -t0]"},
		{1, 3, false, "[]"},
		{3, 3, true, "[-s2 -s1 -s0 -s0-t1]"},
		{3, 1, true, "[-s2 -s1 -s0]"},
		{2, 3, true, "[-s1 -s0 -s0-t1 -s0-t0]"},
	} {
		var got []string
		for _, o := range NewSplit(AV1, Layer{Spatials: c.spatials, Temporals: c.temporals}, c.thin).Outputs() {
			got = append(got, o.Suffix())
		}
		if s := fmt.Sprint(got); s != c.want {
			t.Errorf("%d spatial and %d temporal layers, thin %v: %s, want %s", c.spatials, c.temporals, c.thin, s, c.want)
		}
	}
}

// TestSplitWithoutTheUpperLayer leaves the upper layer out for a while, as encoders
// do when their rate is low: its output goes on only where it can be decoded.
func TestSplitWithoutTheUpperLayer(t *testing.T) {
	for _, c := range []struct {
		mode   svcMode
		broken int
	}{{svcModes[2], 1}, {svcModes[1], 0}} {
		split := NewSplit(VP8, Layer{Spatials: 3, Temporals: 3}, false)
		broken, made := 0, 0
		for i, picture := range c.mode.pictures(32) {
			for _, f := range picture {
				if i > 4 && i < 8 && f.Spatial == 2 {
					continue
				}
				split.Begin(f.LayerFrame)
				split.Data([]byte{f.number})
				out := split.End()
				if out[0].Broken {
					broken++
				}
				if out[0].Frame != nil {
					made++
				}
				if f.Spatial < 2 && out[2-f.Spatial].Frame == nil {
					t.Errorf("%s, picture %d: layer %d has nothing", c.mode.name, i, f.Spatial)
				}
			}
		}
		if broken != c.broken {
			t.Errorf("%s: broken %d times, want %d", c.mode.name, broken, c.broken)
		}
		if want := map[int]int{0: 29, 1: 21}[c.broken]; made != want {
			t.Errorf("%s: %d frames of the upper layer, want %d", c.mode.name, made, want)
		}
	}
}

// TestSplitWaitsAfterALoss gives everything up until the next key picture.
func TestSplitWaitsAfterALoss(t *testing.T) {
	m := svcModes[1]
	split := NewSplit(VP8, Layer{Spatials: 3, Temporals: 3}, false)
	for i, picture := range m.pictures(20) {
		for _, f := range picture {
			split.Begin(f.LayerFrame)
			if i == 3 && f.Spatial == 1 {
				split.Lose()
				break
			}
			split.Data([]byte{f.number})
			for o, made := range split.End() {
				due := split.Outputs()[o].Spatial == f.Spatial && (i < 3 || i == 3 && f.Spatial == 0 || i >= 16)
				if made.Broken || (made.Frame != nil) != due {
					t.Errorf("picture %d, layer %d: output %d has %v", i, f.Spatial, o, made)
				}
			}
		}
	}
}
