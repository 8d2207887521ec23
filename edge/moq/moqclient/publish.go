package moqclient

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// ErrEnded is returned when writing to what has ended.
var ErrEnded = errors.New("ended")

// publications are the broadcasts of a session by name, and a version number
// that goes up with every change, for those who announce them.
type publications struct {
	mu      sync.Mutex // guards what follows
	byName  map[string]*Broadcast
	changed chan struct{} // closed at the next change
}

func (p *publications) init() {
	p.byName = map[string]*Broadcast{}
	p.changed = make(chan struct{})
}

// names returns the live broadcasts and a channel that is closed when they change.
func (p *publications) names() (map[string]*Broadcast, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	live := make(map[string]*Broadcast, len(p.byName))
	maps.Copy(live, p.byName)
	return live, p.changed
}

func (p *publications) lookup(broadcast, track string) *TrackWriter {
	p.mu.Lock()
	b := p.byName[broadcast]
	p.mu.Unlock()
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tracks[track]
}

// set adds b under its name, or takes it away if it still holds the name.
func (p *publications) set(b *Broadcast, live bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := p.byName[b.name]
	switch {
	case live && held != nil, !live && held != b:
		return false
	case live:
		p.byName[b.name] = b
	default:
		delete(p.byName, b.name)
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return true
}

// Broadcast is a broadcast that this session publishes. All methods are safe for
// concurrent use.
type Broadcast struct {
	session *Session
	name    string

	mu     sync.Mutex // guards what follows
	tracks map[string]*TrackWriter
	ended  bool
}

// Publish announces a broadcast. Its tracks may be added before or after; a node
// may ask for one as soon as the broadcast is announced, so catalogs come first.
func (s *Session) Publish(name string) (*Broadcast, error) {
	if _, err := wire.ParseBroadcast(name); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	b := &Broadcast{session: s, name: name, tracks: map[string]*TrackWriter{}}
	if !s.publications.set(b, true) {
		return nil, fmt.Errorf("publish %s: the session publishes it already", name)
	}
	return b, nil
}

// Name returns the name that the broadcast was published under.
func (b *Broadcast) Name() string { return b.name }

// AddTrack adds a track. A zero timescale means microseconds.
func (b *Broadcast) AddTrack(name string, info moqlite.TrackInfo) (*TrackWriter, error) {
	if err := wire.CheckTrack(name); err != nil {
		return nil, fmt.Errorf("track of %s: %w", b.name, err)
	}
	if info.Timescale == 0 {
		info.Timescale = wire.MicrosecondTimescale
	}
	t := newTrackWriter(b, name, info)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended:
		return nil, fmt.Errorf("track %s of %s: %w", name, b.name, ErrEnded)
	case b.tracks[name] != nil:
		return nil, fmt.Errorf("track %s of %s: exists already", name, b.name)
	}
	b.tracks[name] = t
	return t, nil
}

// Close withdraws the broadcast and ends its tracks.
func (b *Broadcast) Close() {
	b.mu.Lock()
	b.ended = true
	tracks := b.tracks
	b.tracks = map[string]*TrackWriter{}
	b.mu.Unlock()
	b.session.publications.set(b, false)
	for _, t := range tracks {
		t.Close()
	}
}
