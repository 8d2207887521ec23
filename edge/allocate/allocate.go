// Package allocate divides what a viewer's path can carry among the pictures that
// the viewer watches: which layer of each, or none.
//
// Sound is not its business: it is sent before anything is divided. It decides
// with an estimate, what each layer takes, and what was tried before:
//
//   - Down at once, to the best that fits. What is measured of a layer varies, so a
//     choice is kept until it is Tolerance beyond the estimate.
//   - Up as far as fits with Headroom left, the more important picture first, for
//     what encoders send varies. Going up too early is what makes pictures flap: who
//     has to come down soon after stays for twice as long as the last time.
//   - A picture whose smallest layer does not fit is paused, the least important
//     first, rather than all of them starved; not before it has not fitted for a
//     while, for estimates dip.
package allocate

import (
	"cmp"
	"slices"
	"time"
)

// The shares of an estimate that count: see the package documentation.
const (
	Tolerance = 1.05
	Headroom  = 0.86
	// PauseBelow is the share of the smallest layer below which the picture is
	// paused, after PauseAfter. Some loss is better than no picture.
	PauseBelow = 0.75
	PauseAfter = 1500 * time.Millisecond
	// A picture that comes down within soon of going up waits for minHold, and
	// doubles that each time up to maxHold.
	soon    = 8 * time.Second
	minHold = 4 * time.Second
	maxHold = 32 * time.Second
	// Who has come down for any reason stays for that long: what is measured then is
	// the queue that is left.
	afterDown = 2 * time.Second
)

// Reason says why a picture is sent as it is.
type Reason uint8

// The reasons.
const (
	Stay     Reason = iota // nothing changes
	Start                  // the first choice
	Room                   // up: the path can carry more
	Estimate               // down: the path cannot carry it
	Starved                // paused: not even the smallest layer fits
	Resume                 // no longer paused
	Ladder                 // the layer is gone, or may not be used any more
	Loss                   // down: of a smaller one less is lost
	Asked                  // down, or not sent: the viewer wants no more
	NumReasons
)

// String returns the word used in metrics and events.
func (r Reason) String() string {
	switch r {
	case Stay:
		return "stay"
	case Start:
		return "start"
	case Room:
		return "room"
	case Estimate:
		return "estimate"
	case Starved:
		return "starved"
	case Resume:
		return "resume"
	case Ladder:
		return "ladder"
	case Loss:
		return "loss"
	case Asked:
		return "asked"
	case NumReasons:
	}
	return "unknown"
}

// Paused is the layer of a picture that is not sent.
const Paused = -1

// Unknown is the layer of a picture that has none yet, or whose layer is gone.
const Unknown = -2

// Picture is one picture that a viewer watches.
type Picture struct {
	// Layers are what each layer takes in bit/s, the smallest first. Empty: there is
	// nothing to choose from.
	Layers []uint64
	// Current is the index of the layer that is sent, Paused or Unknown.
	Current int
	// Most is how many of the layers may be used where the path's losses make larger
	// ones worse than smaller ones; zero for all.
	Most int
	// Asked is how many of the layers the viewer wants; zero for all. Off: it wants none of them.
	Asked int
	Off   bool
	// Priority orders pictures: the highest gets its share first.
	Priority int
	// Kept is for a picture that is never paused: half of it is better than nothing.
	Kept bool
	// Memory is kept by the caller between decisions about the same picture.
	Memory *Memory
}

// usable is how many of the layers may be used.
func (p *Picture) usable() int {
	n := len(p.Layers)
	for _, most := range []int{p.Most, p.Asked} {
		if most > 0 {
			n = min(n, most)
		}
	}
	return n
}

// unasked reports whether the picture is sent at more than the viewer wants.
func (p *Picture) unasked() bool {
	return p.Current >= 0 && (p.Off || p.Asked > 0 && p.Current >= p.Asked)
}

// Memory is what was tried with a picture.
type Memory struct {
	started bool
	raised  time.Time     // when it last went up
	hold    time.Duration // for how long it stays down after coming down too soon
	until   time.Time     // and when that is over
	starved time.Time     // since when the smallest layer does not fit
}

// Forgive lets a picture go up again at once that has come down for a reason that is
// gone: its path was cut off and is back.
func (m *Memory) Forgive() { m.raised, m.hold, m.until = time.Time{}, 0, time.Time{} }

// Choice is what to send of one picture.
type Choice struct {
	// Layer is an index into Layers, or Paused.
	Layer  int
	Reason Reason
}

// Decide chooses a layer for each picture, in their order, appended to dst. bps is
// what pictures may take together: what the path carries less sound and
// retransmissions. wanted is what would be needed for the next step up of the
// most important picture that can make one, or, where none can or may yet, for what
// is sent to have its headroom; zero if it has: what is worth probing for.
func Decide(dst []Choice, now time.Time, bps uint64, pictures []Picture) (choices []Choice, wanted uint64) {
	n := len(dst)
	for range pictures {
		dst = append(dst, Choice{Layer: Paused})
	}
	choices = dst[n:]
	order := make([]int, len(pictures))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(pictures[b].Priority, pictures[a].Priority) })

	keep(choices, bps, pictures, order)
	used := sum(choices, pictures)
	wanted = raise(choices, now, bps, used, pictures, order)
	if used = sum(choices, pictures); wanted == 0 && float64(used) > Headroom*float64(bps) {
		wanted = withHeadroom(used) // to stay
	}
	for i := range pictures {
		remember(&choices[i], now, &pictures[i])
	}
	return dst, wanted
}

// keep leaves every picture as it is where all fit, else gives each the best that
// is left for it, none more than it has: first the smallest layer of all of them
// by importance, then the rest.
func keep(choices []Choice, bps uint64, pictures []Picture, order []int) {
	total, before := uint64(0), uint64(0)
	for i := range pictures {
		if p := &pictures[i]; p.Current >= 0 && p.Current < len(p.Layers) && !p.Off {
			choices[i].Layer = min(p.Current, p.usable()-1)
			total += p.Layers[choices[i].Layer]
			before += p.Layers[p.Current]
		}
	}
	for i := range pictures {
		p := &pictures[i]
		if p.unasked() {
			choices[i].Reason = Asked
		} else if p.Current >= p.usable() && float64(before) <= Tolerance*float64(bps) {
			choices[i].Reason = Loss // for all would fit
		}
	}
	if float64(total) <= Tolerance*float64(bps) {
		return
	}
	left := float64(bps)
	for _, i := range order {
		p, c := &pictures[i], &choices[i]
		if c.Layer == Paused {
			continue
		}
		c.Layer = 0
		if smallest := float64(p.Layers[0]); left >= PauseBelow*smallest {
			left -= smallest
		} else {
			c.Layer = Paused
		}
	}
	for _, i := range order {
		p, c := &pictures[i], &choices[i]
		for c.Layer >= 0 && c.Layer < min(p.Current, p.usable()-1) {
			step := float64(p.Layers[c.Layer+1]) - float64(p.Layers[c.Layer])
			if step > left {
				break
			}
			left -= step
			c.Layer++
		}
	}
}

// raise gives pictures more where there is room, and returns what the next step
// that is out of reach would need.
func raise(choices []Choice, now time.Time, bps, used uint64, pictures []Picture, order []int) (wanted uint64) {
	room := Headroom * float64(bps)
	for _, i := range order {
		p, c := &pictures[i], &choices[i]
		if p.Off {
			continue
		}
		first := p.Current == Unknown
		for c.Layer+1 < p.usable() {
			if c.Layer < p.Current {
				break // it has just come down
			}
			var before uint64
			if c.Layer >= 0 {
				before = p.Layers[c.Layer]
			}
			after := used - before + p.Layers[c.Layer+1]
			if now.Before(p.Memory.until) && !first {
				break
			}
			if float64(after) > room && (!first || c.Layer != Paused) {
				if wanted == 0 {
					wanted = withHeadroom(after)
				}
				break
			}
			used = after
			c.Layer++
		}
	}
	return wanted
}

// withHeadroom is what pictures need that take so much.
func withHeadroom(bps uint64) uint64 { return uint64(float64(bps) / Headroom * 1.02) }

func sum(choices []Choice, pictures []Picture) (total uint64) {
	for i, c := range choices {
		if c.Layer >= 0 {
			total += pictures[i].Layers[c.Layer]
		}
	}
	return total
}

// remember gives the reason and keeps what was tried.
func remember(c *Choice, now time.Time, p *Picture) {
	m := p.Memory
	if c.Layer == Paused && p.Current >= 0 && len(p.Layers) > 0 && !p.Off {
		if m.starved.IsZero() {
			m.starved = now
		}
		if p.Kept || now.Sub(m.starved) < PauseAfter {
			c.Layer = 0 // not yet
		}
	} else {
		m.starved = time.Time{}
	}
	switch {
	case c.Layer == p.Current:
		c.Reason = Stay
		if !m.raised.IsZero() && now.Sub(m.raised) > soon {
			m.raised, m.hold = time.Time{}, 0
		}
		return
	case p.Off, c.Reason == Asked && c.Layer == p.usable()-1:
		c.Reason, m.raised = Asked, time.Time{}
	case p.Current == Unknown && !m.started:
		c.Reason, m.started = Start, true
	case p.Current == Unknown:
		c.Reason = Ladder
	case c.Layer == Paused:
		c.Reason = Starved
	case p.Current == Paused:
		c.Reason = Resume
	case c.Layer > p.Current:
		c.Reason, m.raised = Room, now
	default:
		if c.Reason != Loss {
			c.Reason = Estimate
		}
		m.until = now.Add(afterDown)
		if !m.raised.IsZero() && now.Sub(m.raised) < soon {
			m.hold = min(max(2*m.hold, minHold), maxHold)
			m.until = now.Add(m.hold)
		}
		m.raised = time.Time{}
	}
}
