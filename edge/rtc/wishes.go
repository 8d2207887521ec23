package rtc

import (
	"sync"
	"time"

	"trellis/wire"
)

// wishes are what the viewers of this node could take of layers that enter at it. By them
// a publisher is told to spend no more on its largest layer than the widest of its
// viewers can be sent: one that fits is the better picture than a smaller one beside
// one that does not. Its methods are safe for concurrent use.
type wishes struct {
	mu     sync.Mutex
	tracks map[wire.TrackName]*wishedTrack // those that enter here
}

type wishedTrack struct {
	owner   *ingestLayer
	viewers map[*viewerTrack]wish
	held    bool // its publisher is told to spend less on it than it would
}

// wish is what one viewer could be sent of a layer.
type wish struct {
	most uint64 // bit/s
	on   bool   // it is sent that layer
	at   time.Time
}

// wishKept is how long a wish counts that is not repeated.
const wishKept = 2 * time.Second

func newWishes() *wishes { return &wishes{tracks: map[wire.TrackName]*wishedTrack{}} }

// enter says that a layer enters at this node, until leave.
func (w *wishes) enter(track wire.TrackName, owner *ingestLayer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tracks[track] = &wishedTrack{owner: owner, viewers: map[*viewerTrack]wish{}}
}

// leave takes a layer out, unless another publisher has taken its name meanwhile.
func (w *wishes) leave(track wire.TrackName, owner *ingestLayer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tracks[track]; t != nil && t.owner == owner {
		delete(w.tracks, track)
	}
}

// wish notes what a viewer could take of a layer, in place of what it could before. It
// reports whether the layer is held down to what viewers can take.
func (w *wishes) wish(who *viewerTrack, track wire.TrackName, x wish) (held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tracks[track]
	if t == nil {
		return false
	}
	t.viewers[who] = x
	return t.held
}

// forget takes a viewer's wish back.
func (w *wishes) forget(who *viewerTrack, track wire.TrackName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tracks[track]; t != nil {
		delete(t.viewers, who)
	}
}

// of returns the most that any viewer could take of a layer, zero if there is none, and
// how many of them are sent it. held is what wish reports from now on.
func (w *wishes) of(track wire.TrackName, held bool, now time.Time) (most uint64, on int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tracks[track]
	if t == nil {
		return 0, 0
	}
	t.held = held
	for who, x := range t.viewers {
		if now.Sub(x.at) > wishKept {
			delete(t.viewers, who)
			continue
		}
		most = max(most, x.most)
		if x.on {
			on++
		}
	}
	return most, on
}
