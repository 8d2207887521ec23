package framing

import (
	"fmt"
	"time"
)

// Layer says which layer of a stream a frame belongs to, and what it refers to.
// The zero Layer is that of a stream without layers.
type Layer struct {
	Spatial, Temporal uint8
	// Spatials and Temporals are how many layers the stream has of each kind.
	Spatials, Temporals uint8
	// Below: it refers to the frame of the next lower layer in the same picture.
	Below bool
	// Before: it refers to earlier pictures.
	Before bool
	// Width and Height of the spatial layer, zero where the stream does not say.
	Width, Height uint16
}

// Alone reports whether the stream has no layers.
func (l Layer) Alone() bool { return l.Spatials <= 1 && l.Temporals <= 1 }

// Output is a part of a layered stream that can be decoded on its own: a spatial
// layer with all temporal layers up to one.
type Output struct {
	Spatial, Temporal uint8
	spatials          uint8
	thinned           bool
}

// Suffix tells the outputs of a stream apart: nothing for a stream of one spatial
// layer as a whole.
func (o Output) Suffix() string {
	s := ""
	if o.spatials > 1 {
		s = fmt.Sprintf("-s%d", o.Spatial)
	}
	if o.thinned {
		s += fmt.Sprintf("-t%d", o.Temporal)
	}
	return s
}

// Thinned reports whether it has fewer pictures than its spatial layer.
func (o Output) Thinned() bool { return o.thinned }

// maxOutputs bounds what is made of one stream: what a lane has layers for.
const maxOutputs = 4

// outputsOf lists what is made of a stream: each spatial layer with all of its
// temporal layers, and, with thin, the lowest with fewer of them.
func outputsOf(spatials, temporals uint8, thin bool) []Output {
	var all []Output
	top := max(temporals, 1) - 1
	for s := int(max(spatials, 1)) - 1; s >= 0; s-- {
		all = append(all, Output{Spatial: uint8(s), Temporal: top, spatials: spatials})
	}
	for t := int(top) - 1; thin && t >= 0 && len(all) < maxOutputs; t-- {
		all = append(all, Output{Temporal: uint8(t), spatials: spatials, thinned: true})
	}
	return all
}

// LayerFrame opens a frame of one layer.
type LayerFrame struct {
	Layer
	PTS     int64
	Arrival time.Time
}

// Made is what an output has after a frame has ended.
type Made struct {
	// Frame is one frame of the output as a decoder wants it; nil: none. It is valid
	// until the next Begin.
	Frame   []byte
	Key     bool
	PTS     int64
	Arrival time.Time
	// Chained: it holds the lower layers in every picture, as far as is known.
	Chained bool
	// Broken: what comes refers to frames that are not in the output. It goes on with
	// the next key frame.
	Broken bool
}

// Split makes the outputs of a layered stream. A layer's frame refers to the layers
// below in its own picture, always or in key pictures only, or never; an output
// holds the lower frames where its own refer to them and nowhere else. That is found
// out from the frames, so that it holds for all modes (W3C Scalable Video Coding,
// Section 9). It belongs to one goroutine.
type Split struct {
	codec               Codec
	spatials, temporals uint8
	outputs             []Output
	states              []outputState
	made                []Made

	pts   int64 // of the current picture
	begun bool
	open  bool
	at    uint8 // the layer whose frame is open
	parts [maxSpatial]layerPart
}

type layerPart struct {
	LayerFrame
	there bool // whole, in the current picture
	data  []byte
}

type outputState struct {
	frame   []byte
	waiting bool // for a key frame
	chained bool // lower layers are in every picture
	missed  [maxSpatial]bool
}

// NewSplit returns a Split for streams with so many layers as l says. thin also
// makes outputs with fewer temporal layers.
func NewSplit(c Codec, l Layer, thin bool) *Split {
	s := &Split{codec: c, spatials: min(l.Spatials, maxSpatial), temporals: l.Temporals}
	s.outputs = outputsOf(s.spatials, s.temporals, thin)
	s.states = make([]outputState, len(s.outputs))
	s.made = make([]Made, len(s.outputs))
	for i := range s.states {
		s.states[i].waiting = true
	}
	return s
}

// Outputs returns what is made, the largest first.
func (s *Split) Outputs() []Output { return s.outputs }

// Fits reports whether a frame's stream has as many layers as it was made for.
func (s *Split) Fits(l Layer) bool {
	return min(l.Spatials, maxSpatial) == s.spatials && l.Temporals == s.temporals && l.Spatial < maxSpatial
}

// Open reports whether a frame has begun and not ended.
func (s *Split) Open() bool { return s.open }

// Begin opens a frame of one layer. The frames of a picture come one after the
// other, the lowest first.
func (s *Split) Begin(f LayerFrame) {
	if !s.begun || f.PTS != s.pts {
		s.nextPicture()
		s.begun, s.pts = true, f.PTS
	}
	s.open, s.at = true, f.Spatial
	p := &s.parts[s.at]
	p.LayerFrame, p.there, p.data = f, false, p.data[:0]
}

// nextPicture forgets the frames of the last picture. Where the encoder left out
// layers, the frames below are missing in the outputs that would have held them.
func (s *Split) nextPicture() {
	for i, o := range s.outputs {
		st := &s.states[i]
		for l := range int(o.Spatial) {
			p := &s.parts[l]
			st.missed[l] = st.missed[l] || s.begun && p.there && !s.parts[o.Spatial].there
		}
	}
	for i := range s.parts {
		s.parts[i].there = false
	}
}

// Data adds bytes to the open frame.
func (s *Split) Data(b []byte) { s.parts[s.at].data = append(s.parts[s.at].data, b...) }

// Lose gives up what is open: all outputs wait for a key frame.
func (s *Split) Lose() {
	s.open, s.begun = false, false
	for i := range s.states {
		s.states[i].waiting = true
	}
}

// End closes the open frame and returns what each output has by it.
func (s *Split) End() []Made {
	s.open = false
	p := &s.parts[s.at]
	p.there = true
	for i, o := range s.outputs {
		s.made[i] = Made{}
		if p.Spatial == o.Spatial && p.Temporal <= o.Temporal {
			s.made[i] = s.complete(o, &s.states[i])
		}
	}
	return s.made
}

// complete makes an output's frame, now that its highest layer is there.
func (s *Split) complete(o Output, st *outputState) Made {
	lowest := int(o.Spatial) // of what the frame refers to in this picture
	key := !s.parts[lowest].Before
	for s.parts[lowest].Below {
		if lowest--; lowest < 0 || !s.parts[lowest].there {
			return st.lose()
		}
		key = key && !s.parts[lowest].Before
	}
	switch {
	case key:
		st.waiting, st.chained, st.missed = false, false, [maxSpatial]bool{}
	case st.waiting:
		return Made{}
	}
	for l := lowest; l < int(o.Spatial); l++ {
		if st.missed[l] {
			return st.lose()
		}
		st.chained = st.chained || !key
	}
	if st.chained {
		lowest = 0
	}
	st.frame = st.frame[:0]
	if s.codec == AV1 {
		st.frame = append(st.frame, temporalDelimiter...)
	}
	var sizes [maxSpatial]int
	n := 0
	for l := range int(o.Spatial) + 1 {
		p := &s.parts[l]
		switch {
		case l < lowest && p.there:
			st.missed[l] = true
		case l >= lowest && p.there:
			if key && l == lowest && s.codec == AV1 && o.Spatial+1 < s.spatials {
				st.frame = restrictAV1(st.frame, p.data, o.Spatial)
			} else {
				st.frame = append(st.frame, p.data...)
			}
			sizes[n] = len(p.data)
			n++
		}
	}
	if s.codec == VP9 && n > 1 {
		st.frame = appendSuperframeIndex(st.frame, sizes[:n])
	}
	first := &s.parts[lowest]
	return Made{Frame: st.frame, Key: key, PTS: first.PTS, Arrival: first.Arrival, Chained: st.chained}
}

func (st *outputState) lose() Made {
	if st.waiting {
		return Made{}
	}
	st.waiting = true
	return Made{Broken: true}
}
