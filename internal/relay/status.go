package relay

import (
	"cmp"
	"slices"
)

// BroadcastStatus is a broadcast as GET /v1/status shows it.
type BroadcastStatus struct {
	Name        string        `json:"name"`
	Origin      string        `json:"origin"`
	Local       bool          `json:"local"`
	Epoch       uint64        `json:"epoch"`
	PublisherID uint64        `json:"publisher_id"`
	Path        []string      `json:"path"`
	Tracks      []TrackStatus `json:"tracks"`
}

// TrackStatus is a track as GET /v1/status shows it. Counters run from the
// moment this node began to carry the track.
type TrackStatus struct {
	Name          string            `json:"name"`
	Kind          string            `json:"kind"`
	Viewers       int               `json:"viewers"`
	Subscriptions map[string]int    `json:"subscriptions"`
	NewestGroup   *uint64           `json:"newest_group"`
	CachedGroups  int               `json:"cached_groups"`
	CachedBytes   int               `json:"cached_bytes"`
	Groups        uint64            `json:"groups"`
	Objects       uint64            `json:"objects"`
	Bytes         uint64            `json:"bytes"`
	Duplicates    uint64            `json:"duplicates"`
	Dropped       map[string]uint64 `json:"dropped"`
	Age           AgeStatus         `json:"age"`
}

// BytesIn returns how many bytes have been written into the track, all told.
func (t *Track) BytesIn() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytesIn
}

// Status returns all broadcasts and their tracks, sorted by name.
func (t *Table) Status() []BroadcastStatus {
	t.mu.Lock()
	type entry struct {
		ann    Announcement
		tracks []*Track
	}
	entries := make([]entry, 0, len(t.broadcasts))
	for _, b := range t.broadcasts {
		e := entry{ann: b.ann}
		for _, tr := range b.tracks {
			e.tracks = append(e.tracks, tr)
		}
		entries = append(entries, e)
	}
	t.mu.Unlock()

	all := make([]BroadcastStatus, 0, len(entries))
	for _, e := range entries {
		s := BroadcastStatus{
			Name: string(e.ann.Name), Origin: e.ann.Origin, Local: e.ann.Local, Epoch: e.ann.Epoch,
			PublisherID: e.ann.PublisherID, Path: append([]string{}, e.ann.Path...),
			Tracks: make([]TrackStatus, 0, len(e.tracks)),
		}
		for _, tr := range e.tracks {
			s.Tracks = append(s.Tracks, tr.Status())
		}
		slices.SortFunc(s.Tracks, func(a, b TrackStatus) int { return cmp.Compare(a.Name, b.Name) })
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b BroadcastStatus) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Status returns the track's counters.
func (t *Track) Status() TrackStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := TrackStatus{
		Name: t.name.Track, Subscriptions: map[string]int{}, Dropped: map[string]uint64{},
		CachedGroups: t.live, CachedBytes: t.bytes, Groups: t.groupsIn, Objects: t.objects,
		Bytes: t.bytesIn, Duplicates: t.duplicates, Age: t.ages.status(),
	}
	if t.infoKnown {
		s.Kind = t.info.Kind.String()
	}
	for k := range numReaderKinds {
		if n := t.subs[k]; n > 0 {
			s.Subscriptions[k.String()] = n
		}
	}
	for sub := range t.subList {
		s.Viewers += int(sub.viewers.Load())
	}
	for _, r := range DropReasons() {
		if n := t.dropped[r]; n > 0 {
			s.Dropped[r.String()] = n
		}
	}
	if t.newest != nil {
		seq := t.newest.seq
		s.NewestGroup = &seq
	}
	return s
}
