package rtc

import (
	"sync"
	"time"

	"trellis/wire"
)

// reaches are what the viewers of this node could take of layers that enter at it. By them
// a publisher is told to spend no more on its largest layer than the widest of its
// viewers can be sent: one that fits is the better picture than a smaller one beside
// one that does not. Its methods are safe for concurrent use. The zero reaches is empty.
type reaches struct {
	mu     sync.Mutex
	tracks map[wire.TrackName]*reachedTrack // those that enter here
}

type reachedTrack struct {
	owner   *ingestLayer
	viewers map[*viewerTrack]reach
	held    bool // its publisher is told to spend less on it than it would
}

// reach is what one viewer could be sent of a layer.
type reach struct {
	most uint64 // bit/s
	on   bool   // it is sent that layer
	at   time.Time
}

// reachKept is how long a reach counts that is not repeated.
const reachKept = 2 * time.Second

// enter says that a layer enters at this node, until leave.
func (r *reaches) enter(track wire.TrackName, owner *ingestLayer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tracks == nil {
		r.tracks = map[wire.TrackName]*reachedTrack{}
	}
	r.tracks[track] = &reachedTrack{owner: owner, viewers: map[*viewerTrack]reach{}}
}

// leave takes a layer out, unless another publisher has taken its name meanwhile.
func (r *reaches) leave(track wire.TrackName, owner *ingestLayer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tracks[track]; t != nil && t.owner == owner {
		delete(r.tracks, track)
	}
}

// tell notes what a viewer could take of a layer, in place of what it could before. It
// reports whether the layer is held down to what viewers can take.
func (r *reaches) tell(who *viewerTrack, track wire.TrackName, x reach) (held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tracks[track]
	if t == nil {
		return false
	}
	t.viewers[who] = x
	return t.held
}

// forget takes a viewer's reach back.
func (r *reaches) forget(who *viewerTrack, track wire.TrackName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tracks[track]; t != nil {
		delete(t.viewers, who)
	}
}

// of returns the most that any viewer could take of a layer, zero if there is none, and
// how many of them are sent it. held is what tell reports from now on.
func (r *reaches) of(track wire.TrackName, held bool, now time.Time) (most uint64, on int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tracks[track]
	if t == nil {
		return 0, 0
	}
	t.held = held
	for who, x := range t.viewers {
		if now.Sub(x.at) > reachKept {
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
