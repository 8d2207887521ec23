package routing

import (
	"errors"
	"fmt"
)

// ErrDemand is wrapped by every error about a track.
var ErrDemand = errors.New("invalid demand")

// Terminal is a node that has viewers of a track.
type Terminal struct {
	Node    int
	Viewers int64
	// BoundMs is the delay the viewers may have, one way; 0 means the track's.
	BoundMs float64
}

// Track is one flow to be carried from where it enters to where it is watched.
type Track struct {
	ID        string
	Source    int
	RateMbps  float64
	BoundMs   float64
	MaxDepth  int // arcs from source to the farthest node; 0 is no limit
	Terminals []Terminal
}

// bound returns the bound that holds for terminal t.
func (k *Track) bound(t Terminal) float64 {
	if t.BoundMs > 0 {
		return t.BoundMs
	}
	return k.BoundMs
}

// Demand is everything a plan is made for.
type Demand struct {
	Name   string
	Graph  *Graph
	Tracks []Track
}

// maxViewers keeps sums of viewers exact in an int64 and in a float64.
const maxViewers = 1 << 50

// Validate reports the first thing that makes the demand malformed.
func (d *Demand) Validate() error {
	if d.Graph == nil {
		return fmt.Errorf("%w: no graph", ErrDemand)
	}
	ids := make(map[string]bool, len(d.Tracks))
	seen := make([]int, d.Graph.Len()) // the track, counted from 1, that last named the node
	total := int64(0)
	for i := range d.Tracks {
		k := &d.Tracks[i]
		switch {
		case k.ID == "":
			return fmt.Errorf("%w: track %d has no id", ErrDemand, i)
		case ids[k.ID]:
			return fmt.Errorf("%w: track %s occurs twice", ErrDemand, k.ID)
		case k.Source < 0 || k.Source >= d.Graph.Len():
			return fmt.Errorf("%w: track %s has no such source", ErrDemand, k.ID)
		case !isLimit(k.RateMbps) || !isLimit(k.BoundMs) || k.MaxDepth < 0:
			return fmt.Errorf("%w: track %s has a negative or infinite number", ErrDemand, k.ID)
		}
		ids[k.ID] = true
		for _, t := range k.Terminals {
			if t.Node < 0 || t.Node >= d.Graph.Len() {
				return fmt.Errorf("%w: track %s has no such terminal", ErrDemand, k.ID)
			}
			id := d.Graph.nodes[t.Node].ID
			if seen[t.Node] == i+1 {
				return fmt.Errorf("%w: terminal %s of track %s occurs twice", ErrDemand, id, k.ID)
			}
			seen[t.Node] = i + 1
			if t.Viewers < 0 || t.Viewers > maxViewers-total || !isLimit(t.BoundMs) {
				return fmt.Errorf("%w: terminal %s of track %s has a number out of range", ErrDemand, id, k.ID)
			}
			total += t.Viewers
		}
	}
	return nil
}
