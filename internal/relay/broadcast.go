package relay

import (
	"context"
	"fmt"

	"trellis/wire"
)

// Announcement is what a node knows of a broadcast.
type Announcement struct {
	Name wire.Broadcast
	// Epoch orders publishers of the same name: the highest holds it.
	Epoch uint64
	// PublisherID is the first hop id that MoQ clients see. It stays the same
	// through the mesh and changes when the content starts anew.
	PublisherID uint64
	// Origin is the id of the node where the broadcast entered.
	Origin string
	// Path holds the ids of the nodes from the origin to this node's parent;
	// empty where the broadcast entered here.
	Path []string
	// Local says that it entered at this node.
	Local bool
}

func (a Announcement) newerThan(b Announcement) bool {
	if a.Epoch != b.Epoch {
		return a.Epoch > b.Epoch
	}
	// Two publishers in the same microsecond: all nodes choose alike.
	return a.PublisherID > b.PublisherID
}

// Broadcast is a publisher's hold on a name.
type Broadcast struct {
	table    *Table
	name     wire.Broadcast
	upstream Upstream
	ctx      context.Context
	cancel   context.CancelCauseFunc

	// Guarded by table.mu.
	ann    Announcement
	tracks map[string]*Track
	over   bool
}

// Context ends when the broadcast is withdrawn (cause ErrEnded or what End was
// given) or replaced (cause ErrReplaced).
func (b *Broadcast) Context() context.Context { return b.ctx }

// Announcement returns the current announcement.
func (b *Broadcast) Announcement() Announcement {
	b.table.mu.Lock()
	defer b.table.mu.Unlock()
	return b.ann
}

// SetPath tells watchers that the broadcast now comes along another path.
func (b *Broadcast) SetPath(path []string) {
	t := b.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.over {
		return
	}
	b.ann.Path = path
	t.notifyLocked(AnnounceEvent{Announcement: b.ann, Active: true})
}

// End withdraws the broadcast and ends its tracks with err, nil for an orderly
// end. Calls after the first, or after the broadcast was replaced, do nothing.
func (b *Broadcast) End(err error) {
	if err == nil {
		err = ErrEnded
	}
	t := b.table
	t.mu.Lock()
	if t.broadcasts[b.name] == b {
		delete(t.broadcasts, b.name)
		t.notifyLocked(AnnounceEvent{Announcement: b.ann, Active: false})
	}
	t.mu.Unlock()
	b.finish(err)
}

// finish ends what hangs on the broadcast once it no longer holds its name.
func (b *Broadcast) finish(err error) {
	b.table.mu.Lock()
	b.over = true
	tracks := b.tracks
	b.tracks = nil
	b.table.mu.Unlock()
	for _, tr := range tracks {
		tr.end(err)
		tr.release()
	}
	b.cancel(err)
}

// PushTrack adds a track that is written whether or not anyone subscribes, as
// WebRTC ingests do. It replaces an earlier track of the same name.
func (b *Broadcast) PushTrack(name string, info wire.TrackInfo) (*Track, error) {
	if err := wire.CheckTrack(name); err != nil {
		return nil, fmt.Errorf("track of %s: %w", b.name, err)
	}
	tr := newTrack(b, name, true)
	if err := tr.SetInfo(info); err != nil {
		tr.cancel(err)
		return nil, err
	}
	b.table.mu.Lock()
	old := b.tracks[name]
	switch {
	case b.over:
		b.table.mu.Unlock()
		tr.cancel(ErrEnded)
		return nil, fmt.Errorf("track %s: %w", tr.name, context.Cause(b.ctx))
	case old == nil && len(b.tracks) >= b.table.cfg.MaxTracks:
		b.table.mu.Unlock()
		tr.cancel(ErrLimit)
		return nil, fmt.Errorf("track %s: %d tracks: %w", tr.name, b.table.cfg.MaxTracks, ErrLimit)
	}
	b.tracks[name] = tr
	b.table.mu.Unlock()
	if old != nil {
		old.end(ErrReplaced)
		old.release()
	}
	return tr, nil
}

// trackLocked returns the track of that name, a new one if there is none.
func (b *Broadcast) trackLocked(name string) (tr *Track, opened bool, err error) {
	if tr := b.tracks[name]; tr != nil {
		return tr, false, nil
	}
	if len(b.tracks) >= b.table.cfg.MaxTracks {
		return nil, false, fmt.Errorf("%d tracks: %w", b.table.cfg.MaxTracks, ErrLimit)
	}
	tr = newTrack(b, name, false)
	b.tracks[name] = tr
	return tr, true, nil
}

// forget removes an ended track, so that the next subscription opens a new one.
func (b *Broadcast) forget(tr *Track) {
	b.table.mu.Lock()
	held := b.tracks[tr.name.Track] == tr
	if held {
		delete(b.tracks, tr.name.Track)
	}
	b.table.mu.Unlock()
	if held {
		tr.release()
	}
}
