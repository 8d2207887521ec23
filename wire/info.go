package wire

import (
	"fmt"
	"time"
)

// Kind says what a track carries, which decides what goes first on a link and
// what is given up first.
type Kind uint8

// Kinds of track. Their values are on the wire (docs/wire.md).
const (
	KindData Kind = iota
	KindAudio
	KindVideo
	KindCatalog
	numKinds
)

// String returns the word used in logs, metrics and the API.
func (k Kind) String() string {
	switch k {
	case KindData:
		return "data"
	case KindAudio:
		return "audio"
	case KindVideo:
		return "video"
	case KindCatalog:
		return "catalog"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}

// Valid reports whether k is one of the known kinds.
func (k Kind) Valid() bool { return k < numKinds }

// Priorities that our edges give to the tracks they make, higher is more
// important. They are those of the hang clients (catalog 100, audio 80, video 60).
const (
	PriorityCatalog uint8 = 100
	PriorityAudio   uint8 = 80
	PriorityVideo   uint8 = 60
	PriorityData    uint8 = 40
)

// DefaultPriority returns the priority that our edges give to tracks of kind k.
func (k Kind) DefaultPriority() uint8 {
	switch k {
	case KindCatalog:
		return PriorityCatalog
	case KindAudio:
		return PriorityAudio
	case KindVideo:
		return PriorityVideo
	case KindData:
		return PriorityData
	default:
		return PriorityData
	}
}

// TrackInfo is what a publisher says of a track once, for its whole life.
type TrackInfo struct {
	Kind Kind
	// Priority orders tracks against each other; higher is more important.
	Priority uint8
	// Ordered asks for oldest group first where a link must choose; otherwise
	// the newest group goes first.
	Ordered bool
	// MaxLatency bounds how long a group is of use once a newer one exists.
	// Zero: only the newest is.
	MaxLatency time.Duration
	// Timescale is the number of object time units in a second, never zero.
	Timescale uint64
}

// MicrosecondTimescale is the timescale of tracks that our own edges produce.
const MicrosecondTimescale = 1_000_000
