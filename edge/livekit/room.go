package livekit

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

// catalogRetry is when a catalog is asked for again that could not be had.
const catalogRetry = time.Second

// room is what is published below a prefix, as all sessions of the node that are
// there see it. It lives as long as there is one.
type room struct {
	// Fixed at construction.
	name    string
	prefix  wire.Prefix
	h       *Handler
	log     *slog.Logger
	created time.Time
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	// Owned by follow. Both are bounded by what the relay knows.
	followed map[wire.Broadcast]*followed
	hidden   map[wire.Broadcast]relay.Announcement // beyond the room's number

	mu       sync.Mutex          // guards what follows
	sessions map[string]*session // by identity
	shown    map[wire.Broadcast]shown
}

// followed is a broadcast whose catalog is being read.
type followed struct {
	publisher uint64
	cancel    context.CancelFunc
}

// follow keeps the room up to date until ctx ends.
func (r *room) follow(ctx context.Context) {
	watch := r.h.cfg.Table.WatchAnnounced(r.prefix)
	defer watch.Close()
	for {
		e, err := watch.Next(ctx)
		if err != nil {
			return
		}
		r.announced(ctx, e)
	}
}

// announced takes note of a broadcast, or of its end.
func (r *room) announced(ctx context.Context, e relay.AnnounceEvent) {
	known := r.followed[e.Name]
	if known != nil && e.Active && known.publisher == e.PublisherID {
		return // it comes another way
	}
	if known != nil {
		known.cancel()
		delete(r.followed, e.Name)
		r.put(e.Name, shown{}, false)
	}
	delete(r.hidden, e.Name)
	if e.Active {
		r.admit(ctx, e.Announcement)
	}
	for _, a := range r.hidden { // there may be room for one
		if len(r.followed) >= r.h.cfg.MaxParticipants {
			return
		}
		delete(r.hidden, a.Name)
		r.admit(ctx, a)
	}
}

// admit begins to read a broadcast's catalog, if there is room for it.
func (r *room) admit(ctx context.Context, a relay.Announcement) {
	if len(r.followed) >= r.h.cfg.MaxParticipants {
		r.hidden[a.Name] = a
		r.h.metrics.hidden.Inc()
		r.log.Warn("broadcast is not shown: the room has its number", slog.String("broadcast", string(a.Name)))
		return
	}
	f := &followed{publisher: a.PublisherID}
	var catalogs context.Context
	catalogs, f.cancel = context.WithCancel(ctx)
	r.followed[a.Name] = f
	since := time.Now()
	r.wg.Go(func() { r.read(catalogs, a, since) })
}

// read shows what a broadcast's catalog says until ctx ends.
func (r *room) read(ctx context.Context, a relay.Announcement, since time.Time) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := r.h.cfg.Edge.WatchCatalog(ctx, a.Name, func(c hang.Catalog) {
			s, ok := show(r.prefix, a, since, c)
			r.mu.Lock()
			defer r.mu.Unlock()
			if ctx.Err() == nil { // else the broadcast is over
				r.putLocked(a.Name, s, ok)
			}
		})
		if ctx.Err() == nil {
			r.log.Debug("catalog", slog.String("broadcast", string(a.Name)), slog.Any("err", err))
		}
		timer.Reset(catalogRetry)
	}
}

func (r *room) put(b wire.Broadcast, s shown, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.putLocked(b, s, ok)
}

// putLocked shows a broadcast as s, or not any more, and tells the sessions.
func (r *room) putLocked(b wire.Broadcast, s shown, ok bool) {
	before, known := r.shown[b]
	if !ok && !known {
		return
	}
	if !ok {
		delete(r.shown, b)
	} else {
		s.info.Version = before.info.Version
		same := reflect.DeepEqual(s.info, before.info)
		if !same {
			s.info.Version++
		}
		r.shown[b] = s
		if same {
			return // only what is sent of it may be another layer
		}
	}
	for _, s := range r.sessions {
		s.ring()
	}
}

// list returns what is shown, in order of identities.
func (r *room) list() []shown {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]shown, 0, len(r.shown))
	for _, s := range r.shown {
		all = append(all, s)
	}
	slices.SortFunc(all, byIdentity)
	return all
}
