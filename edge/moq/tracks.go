package moq

import (
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
}

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
	for _, v := range c.VideoTracks() {
		known[v.Track] = trackFacts{wire.KindVideo, v.Container.IsLegacy()}
	}
	for _, a := range c.AudioTracks() {
		known[a.Track] = trackFacts{wire.KindAudio, a.Container.IsLegacy()}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = known
}

// guess goes by the names that hang publishers use: catalog.json, catalog.json.z,
// video/hd, audio/data. Their media is in the legacy container.
func guess(name string) trackFacts {
	switch first, _, _ := strings.Cut(name, "/"); {
	case strings.HasPrefix(name, hang.CatalogTrack):
		return trackFacts{kind: wire.KindCatalog}
	case first == "video":
		return trackFacts{wire.KindVideo, true}
	case first == "audio":
		return trackFacts{wire.KindAudio, true}
	}
	return trackFacts{kind: wire.KindData}
}
