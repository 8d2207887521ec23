package moq

import (
	"slices"
	"strings"
	"sync"

	"trellis/wire"
	"trellis/wire/hang"
)

// tracks is what is known of a broadcast's tracks: from the catalog, once
// somebody has asked for it, and until then from their names. The zero value is
// ready.
type tracks struct {
	mu    sync.Mutex // guards what follows
	known map[string]trackFacts
}

type trackFacts struct {
	kind   wire.Kind
	legacy bool // objects begin with their presentation time
	layer  int  // how many renditions of the same picture are worse
}

// priority is that of the kind, and for a picture less the better it is: where a
// link cannot carry all, the best rendition goes first, and the worst last.
func (f trackFacts) priority() uint8 {
	return f.kind.DefaultPriority() - layerStep*uint8(min(f.layer, maxLayers))
}

// All layers of a picture stay above data.
const (
	layerStep = 5
	maxLayers = 3
)

// of returns what is known of a track.
func (t *tracks) of(name string) trackFacts {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f, ok := t.known[name]; ok {
		return f
	}
	return guess(name)
}

// learn takes the catalog as it is now.
func (t *tracks) learn(c hang.Catalog) {
	known := map[string]trackFacts{}
	videos := c.VideoTracks()
	layer := 0
	var worse hang.VideoTrack
	for i, v := range slices.Backward(videos) { // worst first
		if i < len(videos)-1 && better(v.VideoConfig, worse.VideoConfig) {
			layer++
		}
		worse = v
		known[v.Track] = trackFacts{wire.KindVideo, v.Container.IsLegacy(), layer}
	}
	for _, a := range c.AudioTracks() {
		known[a.Track] = trackFacts{kind: wire.KindAudio, legacy: a.Container.IsLegacy()}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = known
}

// better reports whether a picture has more pixels than another, or else more bits.
func better(a, b hang.VideoConfig) bool {
	more := a.CodedWidth*a.CodedHeight - b.CodedWidth*b.CodedHeight
	return more > 0 || more == 0 && a.BitrateBps > b.BitrateBps
}

// guess goes by the names that hang publishers use: catalog.json, catalog.json.z,
// video/hd, audio/data. Their media is in the legacy container.
func guess(name string) trackFacts {
	switch first, _, _ := strings.Cut(name, "/"); {
	case strings.HasPrefix(name, hang.CatalogTrack):
		return trackFacts{kind: wire.KindCatalog}
	case first == "video":
		return trackFacts{kind: wire.KindVideo, legacy: true}
	case first == "audio":
		return trackFacts{kind: wire.KindAudio, legacy: true}
	}
	return trackFacts{kind: wire.KindData}
}
