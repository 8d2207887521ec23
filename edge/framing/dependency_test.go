package framing

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// svcStream is a stream of a browser, see testdata.
type svcStream struct {
	file                string
	codec               Codec
	spatials, temporals uint8
}

var svcStreams = []svcStream{
	{"svc-vp9-l3t3-key", VP9, 3, 3},
	{"svc-vp9-l3t3", VP9, 3, 3},
	{"svc-vp9-s3t3", VP9, 3, 3},
	{"svc-vp9-l1t3", VP9, 1, 3},
	{"svc-av1-l1t3", AV1, 1, 3},
	{"svc-av1-l3t3-key", AV1, 3, 3},
	{"svc-av1-l3t3", AV1, 3, 3},
}

// loadPackets returns the packets of a stream; what a payload had beyond its
// beginning is zero.
func loadPackets(tb testing.TB, file string) []Packet {
	tb.Helper()
	f, err := os.Open("testdata/" + file + ".txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var all []Packet
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		var (
			ts                  uint32
			marker, size        int
			dependency, payload string
		)
		if _, err := fmt.Sscan(lines.Text(), &ts, &marker, &dependency, &payload, &size); err != nil {
			tb.Fatalf("%s: %q: %v", file, lines.Text(), err)
		}
		p := Packet{Seq: uint16(len(all)), Timestamp: ts, Marker: marker == 1, Arrival: testTime, Payload: make([]byte, size)}
		b, err := hex.DecodeString(payload)
		if err != nil {
			tb.Fatal(err)
		}
		copy(p.Payload, b)
		if dependency != "-" {
			if p.Dependency, err = hex.DecodeString(dependency); err != nil {
				tb.Fatal(err)
			}
		}
		all = append(all, p)
	}
	return all
}

// TestDependenciesOfABrowser reads every descriptor of the streams: frames begin
// and end, their numbers follow each other, and they are in the layers that the
// stream should have.
func TestDependenciesOfABrowser(t *testing.T) {
	for _, s := range svcStreams {
		t.Run(s.file, func(t *testing.T) {
			var structure *Structure
			var next uint16
			inside, begun := false, false
			var seen [maxSpatial][maxTemporal]int
			for i, p := range loadPackets(t, s.file) {
				d, err := ParseDependency(p.Dependency, structure)
				if err != nil {
					t.Fatalf("packet %d: %x: %v", i, p.Dependency, err)
				}
				if d.Structure != nil {
					structure = d.Structure
				}
				if d.First == inside {
					t.Errorf("packet %d: first %v though inside %v", i, d.First, inside)
				}
				if d.First {
					if begun && d.Frame != next {
						t.Errorf("packet %d: frame %d after %d", i, d.Frame, next-1)
					}
					begun, next = true, d.Frame+1
					seen[d.Spatial][d.Temporal]++
				}
				inside = !d.Last
			}
			if structure.Spatials != s.spatials || structure.Temporals != s.temporals {
				t.Errorf("%d spatial and %d temporal layers, want %d and %d", structure.Spatials, structure.Temporals, s.spatials, s.temporals)
			}
			for i := range s.spatials {
				for j := range s.temporals {
					if seen[i][j] == 0 {
						t.Errorf("no frame of layer %d, %d", i, j)
					}
				}
				if h := structure.Heights[i]; int(h) != 540>>(s.spatials-1-i) && s.spatials > 1 {
					t.Errorf("layer %d has %d lines", i, h)
				}
			}
		})
	}
}

// TestLayersOfABrowser runs the streams through depacketizer and Split: each output
// has a key frame first, rising times, and in the end nearly as many pictures
// as the stream has.
func TestLayersOfABrowser(t *testing.T) {
	for _, s := range svcStreams {
		t.Run(s.file, func(t *testing.T) {
			d, err := NewDepacketizer(s.codec, DepacketizerConfig{Layers: true})
			if err != nil {
				t.Fatal(err)
			}
			var split *Split
			var events []Event
			made, keys := map[string]int{}, map[string]int{}
			pictures, last := map[uint32]bool{}, map[string]int64{}
			for i, p := range loadPackets(t, s.file) {
				events = d.Push(p, events[:0])
				for _, e := range events {
					switch e.Kind {
					case FrameBegin:
						if split == nil || !split.Fits(e.Layer) {
							if split != nil {
								t.Fatalf("packet %d: the stream has other layers now: %+v", i, e.Layer)
							}
							split = NewSplit(s.codec, e.Layer, true)
						}
						pictures[e.Timestamp] = true
						split.Begin(LayerFrame{Layer: e.Layer, PTS: int64(e.Timestamp), Arrival: e.Arrival})
					case FrameData:
						split.Data(e.Data)
					case FrameEnd:
						for j, m := range split.End() {
							name := split.Outputs()[j].Suffix()
							if m.Broken {
								t.Errorf("packet %d: output %s is broken", i, name)
							}
							if m.Frame == nil {
								continue
							}
							if made[name] == 0 && !m.Key || m.PTS <= last[name] {
								t.Errorf("packet %d: output %s begins with key %v, at %d after %d", i, name, m.Key, m.PTS, last[name])
							}
							made[name]++
							last[name] = m.PTS
							if m.Key {
								keys[name]++
							}
						}
					default:
						t.Errorf("packet %d: %v", i, e.Kind)
					}
				}
			}
			t.Log(s.file, len(pictures), made, keys)
			if got := split.spatials; got != s.spatials {
				t.Errorf("%d spatial layers", got)
			}
			lowest := "-s0"
			if s.spatials == 1 {
				lowest = ""
			}
			// An encoder may leave a layer out of a picture.
			if n := made[lowest]; n < len(pictures)*85/100 || n > len(pictures) {
				t.Errorf("%d of %d pictures", n, len(pictures))
			}
			if n, of := made[lowest+"-t1"], made[lowest]; n < of*4/10 || n > of*7/10 {
				t.Errorf("%d of %d pictures without the highest temporal layer", n, of)
			}
		})
	}
}

func TestDependencyIsRejected(t *testing.T) {
	first := loadPackets(t, "svc-vp9-l3t3-key")[0].Dependency
	whole, err := ParseDependency(first, nil)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Structure == nil || !whole.First || whole.Active == 0 {
		t.Errorf("got %+v", whole)
	}
	for n := range len(first) - 1 {
		if _, err := ParseDependency(first[:n], nil); !errors.Is(err, ErrDependency) {
			t.Errorf("%d of %d bytes: %v", n, len(first), err)
		}
	}
	if _, err := ParseDependency([]byte{0xc0, 0, 1}, nil); !errors.Is(err, ErrDependency) {
		t.Errorf("without a structure: %v", err)
	}
	if _, err := ParseDependency([]byte{0xff, 0, 1}, whole.Structure); !errors.Is(err, ErrDependency) {
		t.Errorf("a template that there is not: %v", err)
	}
	// The first and last packet of frame 7, template 0, with references 3, 20 and 300.
	d, err := ParseDependency([]byte{0xc0, 0, 7, 0x12, 0x50, 0x9e, 0x25, 0x60}, whole.Structure)
	if err != nil || !slices.Equal(d.Diffs(), []uint16{3, 20, 300}) {
		t.Errorf("custom references: %v, %v", d.Diffs(), err)
	}
}

func FuzzParseDependency(f *testing.F) {
	for _, s := range svcStreams {
		for _, p := range loadPackets(f, s.file)[:40] {
			f.Add(p.Dependency)
		}
	}
	known, err := ParseDependency(loadPackets(f, "svc-vp9-l3t3-key")[0].Dependency, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range []*Structure{nil, known.Structure} {
			d, err := ParseDependency(b, in)
			if err != nil {
				continue
			}
			if d.Structure != nil {
				in = d.Structure
			}
			if d.Spatial >= in.Spatials || d.Temporal >= in.Temporals || in.Spatials > maxSpatial || in.Temporals > maxTemporal {
				t.Errorf("layer %d, %d of %d, %d", d.Spatial, d.Temporal, in.Spatials, in.Temporals)
			}
			for _, diff := range d.Diffs() {
				if diff == 0 {
					t.Error("a frame refers to itself")
				}
			}
		}
	})
}

// FuzzLayers pushes packets with any payload and descriptor: frames begin and end in
// turn, whatever comes.
func FuzzLayers(f *testing.F) {
	for _, s := range svcStreams {
		for _, p := range loadPackets(f, s.file)[:20] {
			f.Add(s.codec == AV1, p.Marker, p.Dependency, p.Payload)
		}
	}
	f.Fuzz(func(t *testing.T, av1, marker bool, dependency, payload []byte) {
		c := VP9
		if av1 {
			c = AV1
		}
		d, err := NewDepacketizer(c, DepacketizerConfig{Layers: true, MaxFrameBytes: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		open := false
		var split *Split
		for i := range 4 {
			p := Packet{
				Seq: uint16(i), Timestamp: uint32(i / 2), Marker: marker != (i == 1), Arrival: time.Unix(0, 0),
				Payload: payload, Dependency: dependency,
			}
			for _, e := range d.Push(p, nil) {
				switch e.Kind {
				case FrameBegin:
					if open {
						t.Fatal("a frame begins in another")
					}
					open = true
					if split == nil || !split.Fits(e.Layer) {
						split = NewSplit(c, e.Layer, true)
					}
					if split.Fits(e.Layer) {
						split.Begin(LayerFrame{Layer: e.Layer, PTS: int64(e.Timestamp)})
					}
				case FrameData:
					if !open {
						t.Fatal("data of no frame")
					}
					if split.Open() {
						split.Data(e.Data)
					}
				case FrameEnd:
					if split.Open() {
						split.End()
					}
					open = false
				case FrameBroken, FramesLost:
					if split != nil {
						split.Lose()
					}
					open = false
				}
			}
		}
	})
}
