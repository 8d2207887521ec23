package quality

import (
	"slices"
	"time"
)

// Score is what a viewer saw of one profile.
type Score struct {
	FPS    float64 `json:"fps"`
	Height float64 `json:"mean_height"` // of what was shown, over time; a picture that is frozen counts as zero
	// Freezes are those of webrtc-stats: two frames further apart than thrice the
	// mean, and by 150 ms more than it.
	Freezes       int     `json:"freezes"`
	LongestFreeze float64 `json:"longest_freeze_s"`
	Frozen        float64 `json:"frozen_s"`
	// Used is what the viewer was sent of what can be used in the steady part: the
	// path's rate, or what the best layer that fits it takes with the sound.
	Used float64 `json:"used_share"`
	// UsedOfLink is the same of the path's rate.
	UsedOfLink float64 `json:"used_of_link"`
	// React is from the path's fall until pictures flow again for good; Recover from
	// its rise until the picture has the height from before. Negative: never, or the
	// profile has none.
	React       float64 `json:"react_s"`
	DropFreeze  float64 `json:"freeze_at_drop_s"`
	Recover     float64 `json:"recover_s"`
	Concealed   float64 `json:"concealed_share"` // of the sound
	Twice       float64 `json:"sound_twice"`     // packets that held the one before, too
	NACKs       float64 `json:"nacks"`
	PLIs        float64 `json:"plis"`
	PathDropped uint64  `json:"path_dropped"`
	// Buffer is how long the player kept pictures back, in the mean.
	Buffer    float64 `json:"buffer_s"`
	Repairs   float64 `json:"fec_packets"`
	Discarded float64 `json:"fec_packets_discarded"`
	Repeated  float64 `json:"packets_sent_again"`
	// Spans are the freezes, from when to when in seconds.
	Spans [][2]float64 `json:"freeze_spans_s"`
	// Series for the plots, one value each tick.
	Received []float64 `json:"received_bps"`
	Heights  []float64 `json:"heights"`
	Rates    []float64 `json:"link_bps"`
	Frames   []float64 `json:"frames_per_s"`
}

// tick is the time between values of a series.
const tick = 250 * time.Millisecond

// score works out what came of a profile.
func (r *recording) score(p *Profile) Score {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Score{React: -1, Recover: -1}
	frames := r.shown(p)
	s.rate(frames, p)
	s.freeze(frames, p)
	s.plot(frames, r.carried, p)
	s.use(r.carried, r.sent(p.Steady, p.until(p.Steady)), p)
	s.react(frames, p)
	if !s.hear(r.seen) && len(r.problems) < maxProblems {
		r.problems = append(r.problems, "no sound was played")
	}
	if n := len(r.carried); n > 0 {
		s.PathDropped = r.carried[n-1].dropped - r.carried[0].dropped
	}
	return s
}

// shownFrame is a frame with its time in the profile.
type shownFrame struct {
	at     time.Duration
	height int
}

func (r *recording) shown(p *Profile) []shownFrame {
	var all []shownFrame
	began := float64(r.began.UnixMicro()) / 1e3
	for _, f := range r.frames {
		at := time.Duration((f.At - began) * float64(time.Millisecond))
		if at >= 0 && at < p.Length {
			all = append(all, shownFrame{at, f.Height})
		}
	}
	slices.SortFunc(all, func(a, b shownFrame) int { return int(a.at - b.at) })
	return all
}

func (s *Score) rate(frames []shownFrame, p *Profile) {
	s.FPS = float64(len(frames)) / p.Length.Seconds()
	for i, f := range frames {
		until := p.Length
		if i+1 < len(frames) {
			until = frames[i+1].at
		}
		s.Height += float64(f.height) * min(until-f.at, freezeLimit).Seconds()
	}
	s.Height /= p.Length.Seconds()
}

// gaps calls yield with each gap between frames, and those at both ends.
func gaps(frames []shownFrame, p *Profile, yield func(from, to time.Duration)) {
	last := time.Duration(0)
	for _, f := range frames {
		yield(last, f.at)
		last = f.at
	}
	yield(last, p.Length)
}

// freezeLimit is how far apart frames must be for a freeze: by webrtc-stats, for the
// camera's mean distance.
const freezeLimit = max(3*time.Second/cameraRate, time.Second/cameraRate+150*time.Millisecond)

func (s *Score) freeze(frames []shownFrame, p *Profile) {
	gaps(frames, p, func(from, to time.Duration) {
		if d := to - from; d > freezeLimit {
			s.Freezes++
			s.Frozen += d.Seconds()
			s.LongestFreeze = max(s.LongestFreeze, d.Seconds())
			s.Spans = append(s.Spans, [2]float64{from.Seconds(), to.Seconds()})
		}
	})
}

func (s *Score) plot(frames []shownFrame, path []carried, p *Profile) {
	n := int(p.Length / tick)
	s.Received, s.Heights = make([]float64, n), make([]float64, n)
	s.Rates, s.Frames = make([]float64, n), make([]float64, n)
	for i := range n {
		from := time.Duration(i) * tick
		s.Rates[i] = p.rate(from)
		s.Received[i] = float64(bytesBetween(path, from, from+tick)) * 8 / tick.Seconds()
	}
	height := 0.0
	next := 0
	for i := range n {
		for ; next < len(frames) && frames[next].at < time.Duration(i+1)*tick; next++ {
			height = float64(frames[next].height)
			s.Frames[i] += 1 / tick.Seconds()
		}
		s.Heights[i] = height
	}
}

// bytesBetween is what the path has carried between two times.
func bytesBetween(path []carried, from, to time.Duration) uint64 {
	at := func(t time.Duration) uint64 {
		i, _ := slices.BinarySearchFunc(path, t, func(c carried, t time.Duration) int { return int(c.at - t) })
		if i == len(path) {
			i--
		}
		if i < 0 {
			return 0
		}
		return path[i].bytes
	}
	return at(to) - at(from)
}

func (s *Score) use(path []carried, sent []float64, p *Profile) {
	from, to := p.Steady, p.until(p.Steady)
	rate := p.rate(from)
	got := float64(bytesBetween(path, from, to)) * 8 / (to - from).Seconds()
	s.Used, s.UsedOfLink = got/fits(rate, p.loss(from), sent), got/rate
}

// flowing is for how long pictures must come without a freeze to count as
// flowing again.
const flowing = time.Second

func (s *Score) react(frames []shownFrame, p *Profile) {
	if p.Drop == 0 {
		return
	}
	before := 0
	settled := p.Drop
	gaps(frames, p, func(from, to time.Duration) {
		if to <= p.Drop || from >= p.Drop+10*time.Second {
			return
		}
		if d := to - from; d > freezeLimit {
			s.DropFreeze = max(s.DropFreeze, d.Seconds())
			if from < p.Drop+5*time.Second && from < settled+flowing {
				settled = to
			}
		}
	})
	s.React = (settled - p.Drop).Seconds()
	for _, f := range frames {
		if f.at < p.Drop && f.at > p.Drop-2*time.Second {
			before = max(before, f.height)
		}
	}
	for _, f := range frames {
		if f.at >= p.Rise && f.height >= before && before > 0 {
			s.Recover = (f.at - p.Rise).Seconds()
			break
		}
	}
}

// hear reports whether there was sound.
func (s *Score) hear(all []seen) bool {
	var first, last *audioStats
	for i := range all {
		if a := all[i].Audio; a != nil {
			if first == nil {
				first = a
			}
			last = a
		}
		if v := all[i].Video; v != nil {
			s.NACKs, s.PLIs = v.NACKs, v.PLIs
			s.Repairs, s.Discarded, s.Repeated = v.Repairs, v.Discarded, v.Repeated
			if v.Emitted > 0 {
				s.Buffer = v.Delayed / v.Emitted
			}
		}
	}
	if first == nil || last.Samples <= first.Samples {
		return false
	}
	s.Concealed = (last.Concealed - last.Silent - first.Concealed + first.Silent) / (last.Samples - first.Samples)
	s.Twice = last.Twice - first.Twice
	return true
}
