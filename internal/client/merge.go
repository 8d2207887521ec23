package client

// merger makes one sequence of frames of those that come twice while a watcher
// moves from one node to another: each object of a track is taken once. Objects of
// a group come in order from each node, so what is taken has no holes that neither
// node would have filled.
type merger struct{ tracks map[string]*mergedTrack }

type mergedTrack struct {
	next   map[uint64]uint64 // the object after the last one that was taken, by group
	newest uint64
}

// maxMerged is how many groups of a track are remembered: of audio, some seconds.
const maxMerged = 64

func newMerger() *merger { return &merger{tracks: map[string]*mergedTrack{}} }

// take reports whether a frame is new. Frames without a place in their track are.
func (m *merger) take(r received) bool {
	if !r.placed {
		return true
	}
	t := m.tracks[r.track]
	// Numbers far below those that we know are those of another publisher.
	if t == nil || r.group+maxMerged < t.newest {
		t = &mergedTrack{next: map[uint64]uint64{}}
		m.tracks[r.track] = t
	}
	if next, known := t.next[r.group]; known && r.object < next {
		return false
	}
	t.next[r.group] = r.object + 1
	if r.group > t.newest {
		t.newest = r.group
		for g := range t.next {
			if g+maxMerged < t.newest {
				delete(t.next, g)
			}
		}
	}
	return true
}

// overlap says whether two nodes deliver the same: begun is the first group of each
// track that came from the new one. It is when the old one has come as far in every
// track.
func (m *merger) overlap(begun map[string]uint64, old map[string]uint64) bool {
	for track, newest := range old {
		if first, ok := begun[track]; !ok || first > newest {
			return false
		}
	}
	return len(begun) > 0
}
