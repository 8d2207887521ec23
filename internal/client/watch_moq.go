package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/edge/framing"
	"trellis/edge/moq/moqclient"
	"trellis/wire"
	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

// moqFeed receives over MoQ: it follows the catalog and subscribes to the best
// video and audio track in it.
type moqFeed struct {
	session   *moqclient.Session
	broadcast string
	only      kinds
	log       *slog.Logger

	frames chan received
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned
	err    error         // why it did; set before done is closed

	reset [2]atomic.Uint64 // groups of video and audio that came to a bad end
}

// dialMoQFeed connects, and waits for the broadcast to be announced. If the node
// takes nobody and names another one, that one is asked, once.
func dialMoQFeed(ctx context.Context, c Connection, only kinds) (feed, error) {
	f, session, err := openMoQFeed(ctx, c, only)
	if err == nil || session == nil || session.Elsewhere() == "" {
		return f, err
	}
	endpoint, merr := moved(c.Target.Endpoint, session.Elsewhere())
	if merr != nil {
		return nil, errors.Join(err, merr)
	}
	c.Target.Endpoint = endpoint
	f, _, err = openMoQFeed(ctx, c, only)
	return f, err
}

// openMoQFeed returns a nil feed with an error; the session then is closed, but
// may say where to go.
func openMoQFeed(ctx context.Context, c Connection, only kinds) (_ feed, _ *moqclient.Session, err error) {
	session, err := moqclient.Dial(ctx, c.moq())
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, session.Close())
		}
	}()
	name := string(c.Target.Broadcast)
	waiting, stop := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop(nil)
	watch.Go(func() { // a node that sends us away answers nothing
		select {
		case <-session.Draining():
			stop(errSentAway)
		case <-waiting.Done():
		}
	})
	announced, err := session.Announcements(waiting, name)
	if err != nil {
		return nil, session, fmt.Errorf("ask for announcements: %w", err)
	}
	if _, err := announced.Wait(waiting, name); err != nil {
		return nil, session, fmt.Errorf("wait for the broadcast: %w", err)
	}
	announced.Close()
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &moqFeed{
		session: session, broadcast: name, only: only, log: c.Log,
		frames: make(chan received), cancel: cancel, done: make(chan struct{}),
	}
	go func() {
		defer close(f.done)
		f.err = f.run(run)
	}()
	return f, session, nil
}

// errSentAway says that a node wants us elsewhere.
var errSentAway = errors.New("the node asks us to leave")

func (f *moqFeed) Next(ctx context.Context) (received, error) {
	select {
	case r := <-f.frames:
		return r, nil
	case <-f.done:
		return received{}, f.err
	case <-ctx.Done():
		return received{}, context.Cause(ctx)
	}
}

func (f *moqFeed) Leaving() <-chan struct{} { return f.session.Draining() }
func (f *moqFeed) Elsewhere() string        { return f.session.Elsewhere() }

func (f *moqFeed) Losses(audio bool) transportLosses {
	return transportLosses{groups: f.reset[index(audio)].Load()}
}

func index(audio bool) int {
	if audio {
		return 1
	}
	return 0
}

func (f *moqFeed) Close(context.Context) error {
	f.cancel()
	<-f.done
	return f.session.Close()
}

// run follows the catalog until the broadcast ends, which is io.EOF.
func (f *moqFeed) run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	catalogs := make(chan hang.Catalog)
	tasks.Go(func() error { return f.followCatalog(ctx, catalogs) })
	tasks.Go(func() error { return f.followTracks(ctx, catalogs) })
	err := tasks.Wait()
	if cause := context.Cause(f.session.Context()); cause != nil { //nolint:contextcheck // the session's end is what we ask about
		err = cause
	}
	// The node says in a number why it ended a stream or the session.
	if code, ok := moqclient.CodeOf(err); ok {
		return fmt.Errorf("ended by the node (%s): %w", code, err)
	}
	return err
}

func (f *moqFeed) followCatalog(ctx context.Context, out chan<- hang.Catalog) error {
	sub, err := f.session.Subscribe(ctx, f.broadcast, hang.CatalogTrack, moqlite.Delivery{Priority: wire.PriorityCatalog})
	if err != nil {
		return fmt.Errorf("subscribe to the catalog: %w", err)
	}
	defer sub.Close()
	var doc hang.Document
	for {
		o, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		c, err := doc.Apply(o.Group, o.Index, o.Payload)
		if err != nil {
			f.log.Warn("catalog is left out", slog.Any("err", err))
			continue
		}
		select {
		case out <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wanted is a track to receive.
type wanted struct {
	name      string
	codec     framing.Codec
	codecs    string
	container hang.Container
}

// choose picks the tracks of a catalog that can be received, video first.
func (f *moqFeed) choose(c hang.Catalog) [2]wanted {
	limits := hang.Limits{Codec: func(s string) bool {
		_, err := framing.ParseParams(s)
		return err == nil
	}}
	var w [2]wanted
	if v, ok := c.PickVideo(limits); ok && !f.only.noVideo {
		w[0] = wanted{name: v.Track, codecs: v.Codec, container: v.Container}
	}
	if a, ok := c.PickAudio(limits); ok && !f.only.noAudio {
		w[1] = wanted{name: a.Track, codecs: a.Codec, container: a.Container}
	}
	for i := range w {
		if p, err := framing.ParseParams(w[i].codecs); err == nil {
			w[i].codec = p.Codec
		}
	}
	return w
}

// followTracks keeps one subscription per kind, to the track of the newest catalog.
func (f *moqFeed) followTracks(ctx context.Context, catalogs <-chan hang.Catalog) error {
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error {
		var now [2]wanted
		var stop [2]context.CancelFunc
		for {
			var c hang.Catalog
			select {
			case c = <-catalogs:
			case <-ctx.Done():
				return ctx.Err()
			}
			for i, w := range f.choose(c) {
				if w == now[i] {
					continue
				}
				if stop[i] != nil {
					stop[i]()
					stop[i] = nil
				}
				if now[i] = w; w.name == "" {
					continue
				}
				track, cancel := context.WithCancel(ctx)
				stop[i] = cancel
				tasks.Go(func() error {
					defer cancel()
					return f.followTrack(track, w)
				})
			}
		}
	})
	return tasks.Wait()
}

// maxLatency is for how long we still want a group when a newer one has begun: what
// a player's buffer would still show.
const maxLatency = time.Second

// followTrack receives one track until it ends or ctx does.
func (f *moqFeed) followTrack(ctx context.Context, w wanted) error {
	kind := wire.KindVideo
	if w.codec.Audio() {
		kind = wire.KindAudio
	}
	sub, err := f.session.Subscribe(ctx, f.broadcast, w.name, moqlite.Delivery{
		Priority: kind.DefaultPriority(), MaxLatency: maxLatency,
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil // the catalog has moved on
		}
		return fmt.Errorf("subscribe to %s: %w", w.name, err)
	}
	defer sub.Close()
	arrived := arrivals{}
	for {
		g, err := sub.NextGroup(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, io.EOF):
			// The track ended, or is no longer wanted; the catalog says what comes instead.
			return nil
		case err != nil:
			return fmt.Errorf("receive %s: %w", w.name, err)
		}
		// Adding a negative number of groups subtracts them.
		f.reset[index(w.codec.Audio())].Add(uint64(arrived.add(g.Sequence())))
		if err := f.followGroup(ctx, w, g); err != nil {
			return err
		}
	}
}

// arrivals finds out which groups have not come. Groups may overtake one another.
type arrivals struct {
	last    uint64
	begun   bool
	missing map[uint64]struct{}
}

// maxMissing bounds the groups that are still waited for.
const maxMissing = 1024

// add notes a group, and returns by how many there are more missing ones now: less
// than none when it is one of them.
func (a *arrivals) add(seq uint64) int64 {
	switch {
	case !a.begun:
		a.last, a.begun, a.missing = seq, true, map[uint64]struct{}{}
		return 0
	case seq <= a.last:
		if _, ok := a.missing[seq]; !ok {
			return 0
		}
		delete(a.missing, seq)
		return -1
	}
	skipped := seq - a.last - 1
	for s := a.last + 1; s < seq && len(a.missing) < maxMissing; s++ {
		a.missing[s] = struct{}{}
	}
	a.last = seq
	return int64(min(skipped, math.MaxInt64))
}

// followGroup receives the objects of a group. That a group is given up is counted
// and nothing worse.
func (f *moqFeed) followGroup(ctx context.Context, w wanted, g *moqclient.Group) error {
	defer g.Close()
	for {
		o, err := g.Next(ctx)
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			f.reset[index(w.codec.Audio())].Add(1)
			return nil
		}
		pts, payload, err := w.container.ParseFrame(o.Payload)
		if err != nil {
			return fmt.Errorf("receive %s: group %d, object %d: %w", w.name, o.Group, o.Index, err)
		}
		if len(payload) == 0 {
			continue // a marker
		}
		r := received{
			group: o.Group, object: o.Index, placed: true, track: w.name, codec: w.codec, codecs: w.codecs, pts: int64(pts),
			key: o.Index == 0 || w.codec.Audio(), data: payload, arrived: o.Arrived,
		}
		r.made, r.madeFrom = madeAt(r.pts, r.arrived)
		select {
		case f.frames <- r:
		case <-ctx.Done():
			return nil
		}
	}
}
