package relay

import (
	"context"
	"io"

	"trellis/wire"
)

// AnnounceEvent says that a broadcast is there, or that it is there no longer.
// An active event for a broadcast that is already known replaces what was known:
// another publisher if the PublisherID differs, else another path.
type AnnounceEvent struct {
	Announcement
	Active bool
}

// AnnounceWatch follows the broadcasts below a prefix. A watcher that is slow
// sees only the latest state of each, so it holds at most one event per name.
type AnnounceWatch struct {
	table  *Table
	prefix wire.Prefix
	bell   chan struct{}

	// Guarded by table.mu.
	pending map[wire.Broadcast]AnnounceEvent
	order   []wire.Broadcast
	closed  bool
}

// WatchAnnounced returns a watch that first yields every broadcast below prefix
// and then every change. Close it when done.
func (t *Table) WatchAnnounced(prefix wire.Prefix) *AnnounceWatch {
	w := &AnnounceWatch{table: t, prefix: prefix, bell: make(chan struct{}, 1), pending: map[wire.Broadcast]AnnounceEvent{}}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.broadcasts {
		w.addLocked(AnnounceEvent{Announcement: b.ann, Active: true})
	}
	t.watches[w] = struct{}{}
	return w
}

func (t *Table) notifyLocked(e AnnounceEvent) {
	for w := range t.watches {
		w.addLocked(e)
	}
}

func (w *AnnounceWatch) addLocked(e AnnounceEvent) {
	if !e.Name.HasPrefix(w.prefix) {
		return
	}
	if _, queued := w.pending[e.Name]; !queued {
		w.order = append(w.order, e.Name)
	}
	w.pending[e.Name] = e
	select {
	case w.bell <- struct{}{}:
	default: // it will look anyway
	}
}

// Next waits for the next event. It returns io.EOF after Close, else the cause
// of ctx.
func (w *AnnounceWatch) Next(ctx context.Context) (AnnounceEvent, error) {
	for {
		e, ok, err := w.TryNext()
		if ok || err != nil {
			return e, err
		}
		select {
		case <-w.bell:
		case <-ctx.Done():
			return AnnounceEvent{}, context.Cause(ctx)
		}
	}
}

// TryNext is Next without waiting. False without an error: nothing new; the
// initial set has been seen once that was returned for the first time.
func (w *AnnounceWatch) TryNext() (AnnounceEvent, bool, error) {
	w.table.mu.Lock()
	defer w.table.mu.Unlock()
	if w.closed {
		return AnnounceEvent{}, false, io.EOF
	}
	if len(w.order) == 0 {
		return AnnounceEvent{}, false, nil
	}
	name := w.order[0]
	w.order = w.order[1:]
	e := w.pending[name]
	delete(w.pending, name)
	return e, true, nil
}

// Close ends the watch.
func (w *AnnounceWatch) Close() {
	w.table.mu.Lock()
	defer w.table.mu.Unlock()
	w.closed = true
	delete(w.table.watches, w)
	select {
	case w.bell <- struct{}{}:
	default:
	}
}
