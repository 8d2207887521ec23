package relay

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"trellis/wire"
)

// Upstream delivers the tracks of a broadcast into this node: the session of a
// MoQ publisher, a WHIP ingest, or the mesh for what entered elsewhere.
type Upstream interface {
	// OpenTrack is called when the first reader asks for a track, once, without
	// a lock held, on the reader's goroutine: it must not block. The upstream
	// then calls SetInfo, writes groups, and ends with Close; it stops when the
	// track's Context ends.
	OpenTrack(t *Track)
}

// KeyframeRequester is implemented by upstreams that can ask the publisher for
// a key frame. It must not block.
type KeyframeRequester interface {
	RequestKeyframe(t *Track)
}

// Refresher is implemented by upstreams that can have the publisher begin a new
// group though readers have one to start from. It must not block.
type Refresher interface {
	Refresh(t *Track)
}

// Table holds every broadcast and track that a node knows. All methods are safe
// for concurrent use.
type Table struct {
	cfg     Config
	metrics *metrics
	bytes   atomic.Int64

	mu         sync.Mutex
	broadcasts map[wire.Broadcast]*Broadcast
	watches    map[*AnnounceWatch]struct{}
	lastEpoch  uint64
}

// timeNow is the package's only clock besides the argument of Sweep; a plain
// call, so that testing/synctest controls it.
func timeNow() time.Time { return time.Now() }

// NewTable returns an empty table.
func NewTable(cfg Config) (*Table, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	t := &Table{
		cfg:        cfg,
		broadcasts: map[wire.Broadcast]*Broadcast{},
		watches:    map[*AnnounceWatch]struct{}{},
	}
	count := func(f func(*Track) int) func() float64 {
		return func() float64 {
			n := 0
			for _, tr := range t.tracks() {
				n += f(tr)
			}
			return float64(n)
		}
	}
	t.metrics, err = newMetrics(cfg.Metrics,
		func() float64 { return float64(t.bytes.Load()) },
		func() float64 { t.mu.Lock(); defer t.mu.Unlock(); return float64(len(t.broadcasts)) },
		count(func(*Track) int { return 1 }),
		count(func(tr *Track) int { tr.mu.Lock(); defer tr.mu.Unlock(); return len(tr.subList) }))
	if err != nil {
		return nil, fmt.Errorf("relay metrics: %w", err)
	}
	return t, nil
}

// Announce makes a broadcast known. Of several publishers of one name the one
// with the highest epoch holds it; the one before is ended with ErrReplaced. A
// lower epoch is refused with ErrStale. An epoch of zero means "now": larger
// than any the table has seen.
func (t *Table) Announce(a Announcement, up Upstream) (*Broadcast, error) {
	if _, err := wire.ParseBroadcast(string(a.Name)); err != nil {
		return nil, fmt.Errorf("announce: %w", err)
	}
	if a.PublisherID == 0 || a.PublisherID >= 1<<53 {
		return nil, fmt.Errorf("announce %s: publisher id %d is not in 1..2^53-1", a.Name, a.PublisherID)
	}
	t.mu.Lock()
	old := t.broadcasts[a.Name]
	if a.Epoch == 0 {
		a.Epoch = max(uint64(timeNow().UnixMicro()), t.lastEpoch+1)
		if old != nil {
			a.Epoch = max(a.Epoch, old.ann.Epoch+1)
		}
	}
	switch {
	case old != nil && !a.newerThan(old.ann):
		t.mu.Unlock()
		return nil, fmt.Errorf("announce %s: %w", a.Name, ErrStale)
	case old == nil && len(t.broadcasts) >= t.cfg.MaxBroadcasts:
		t.mu.Unlock()
		return nil, fmt.Errorf("announce %s: %d broadcasts: %w", a.Name, t.cfg.MaxBroadcasts, ErrLimit)
	}
	t.lastEpoch = max(t.lastEpoch, a.Epoch)
	b := &Broadcast{table: t, name: a.Name, upstream: up, ann: a, tracks: map[string]*Track{}}
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	t.broadcasts[a.Name] = b
	t.notifyLocked(AnnounceEvent{Announcement: a, Active: true})
	t.mu.Unlock()
	if old != nil {
		old.finish(ErrReplaced)
	}
	return b, nil
}

// Lookup returns the announcement that holds a name.
func (t *Table) Lookup(name wire.Broadcast) (Announcement, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.broadcasts[name]
	if b == nil {
		return Announcement{}, false
	}
	return b.ann, true
}

// Subscribe joins a track. If the node does not carry it yet, the broadcast's
// upstream is asked to open it, once for all who ask meanwhile; Info and
// NextGroup then wait. ErrNotFound: no such broadcast is announced.
func (t *Table) Subscribe(name wire.TrackName, opt SubscribeOptions) (*Subscription, error) {
	if err := wire.CheckTrack(name.Track); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	for {
		t.mu.Lock()
		b := t.broadcasts[name.Broadcast]
		if b == nil {
			t.mu.Unlock()
			return nil, fmt.Errorf("subscribe %s: %w", name, ErrNotFound)
		}
		tr, opened, err := b.trackLocked(name.Track)
		t.mu.Unlock()
		if err != nil {
			return nil, fmt.Errorf("subscribe %s: %w", name, err)
		}
		s, ok := tr.attach(opt)
		if opened {
			b.upstream.OpenTrack(tr)
		}
		if ok {
			return s, nil
		}
		// The track ended between the two locks. It leaves the map on its own
		// goroutine; help it, so that this loop cannot spin.
		b.forget(tr)
	}
}

// Sweep does what depends on time. The node calls it about once a second.
func (t *Table) Sweep(now time.Time) {
	for _, tr := range t.tracks() {
		tr.sweep(now)
	}
}

func (t *Table) tracks() []*Track {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*Track
	for _, b := range t.broadcasts {
		for _, tr := range b.tracks {
			all = append(all, tr)
		}
	}
	return all
}
