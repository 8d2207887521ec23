package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"trellis/edge/framing"
	"trellis/edge/moq/moqclient"
	"trellis/edge/whip/whipclient"
	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

// Watch is a viewer of a publication.
type Watch struct {
	Record
	// Joined is when the viewer began to connect.
	Joined time.Time

	pub     *Publication
	cancel  context.CancelCauseFunc
	running sync.WaitGroup
	closeFn func() error

	pauseMu sync.Mutex
	paused  chan struct{} // nil, or closed by Resume
}

var errWatchOver = errors.New("the viewer has seen enough")

// watch starts a viewer; run reads until its context ends.
func (c *Client) watch(ctx context.Context, p *Publication) (*Watch, context.Context) {
	w := &Watch{pub: p, Joined: time.Now()}
	ctx, w.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return w, ctx
}

// Stop ends the viewer and returns when all of it has ended.
func (w *Watch) Stop() error {
	w.cancel(errWatchOver)
	err := w.closeFn()
	w.running.Wait()
	return err
}

// Pause lets the viewer read nothing until Resume: a tab in the background, a
// process that hangs. Its QUIC stack or RTP stack goes on.
func (w *Watch) Pause() {
	w.pauseMu.Lock()
	defer w.pauseMu.Unlock()
	if w.paused == nil {
		w.paused = make(chan struct{})
	}
}

// Resume lets the viewer read on.
func (w *Watch) Resume() {
	w.pauseMu.Lock()
	defer w.pauseMu.Unlock()
	if w.paused != nil {
		close(w.paused)
		w.paused = nil
	}
}

// awake waits while the viewer is paused.
func (w *Watch) awake(ctx context.Context) {
	w.pauseMu.Lock()
	paused := w.paused
	w.pauseMu.Unlock()
	if paused == nil {
		return
	}
	select {
	case <-paused:
	case <-ctx.Done():
	}
}

// took records a frame.
func (w *Watch) took(m Media, b []byte, at time.Time) {
	i, err := w.pub.Clip.identify(m, b)
	if err != nil {
		w.problem(err)
		return
	}
	w.add(Arrival{Media: m, Frame: i, Due: w.pub.Due(m, i), At: at})
}

// over records why something ended, unless the viewer wanted it to.
func (w *Watch) over(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		w.problem(fmt.Errorf("%s: %w", what, err))
	}
}

// WatchMoQ watches over MoQ as @moq/watch does: the catalog first, then the
// tracks that it names, groups side by side. It returns when the session stands.
func (c *Client) WatchMoQ(ctx context.Context, p *Publication) (*Watch, error) {
	w, life := c.watch(ctx, p)
	session, err := c.moq(ctx)
	if err != nil {
		return nil, err
	}
	w.closeFn = session.Close
	w.running.Go(func() {
		if err := w.followMoQ(life, session); err != nil {
			w.over(life, "watch", err)
		}
	})
	return w, nil
}

func (w *Watch) followMoQ(ctx context.Context, session *moqclient.Session) error {
	announced, err := session.Announcements(ctx, "")
	if err != nil {
		return err
	}
	if _, err := announced.Wait(ctx, w.pub.Broadcast); err != nil {
		return err
	}
	catalog, err := w.catalog(ctx, session)
	if err != nil {
		return err
	}
	for _, t := range catalog.VideoTracks() {
		w.subscribe(ctx, session, Video, t.Track, moqlite.Delivery{Priority: 60, MaxLatency: time.Second})
	}
	for _, t := range catalog.AudioTracks() {
		w.subscribe(ctx, session, Audio, t.Track, moqlite.Delivery{Priority: 80, MaxLatency: time.Second})
	}
	return nil
}

// catalog subscribes to the catalog for as long as the viewer watches, and
// returns the first. The clips here never change theirs.
func (w *Watch) catalog(ctx context.Context, session *moqclient.Session) (hang.Catalog, error) {
	sub, err := session.Subscribe(ctx, w.pub.Broadcast, hang.CatalogTrack, moqlite.Delivery{Priority: 100, Ordered: true})
	if err != nil {
		return hang.Catalog{}, err
	}
	object, err := sub.Next(ctx)
	if err != nil {
		return hang.Catalog{}, err
	}
	return hang.ParseCatalog(object.Payload)
}

func (w *Watch) subscribe(ctx context.Context, session *moqclient.Session, m Media, track string, want moqlite.Delivery) {
	w.running.Go(func() {
		sub, err := session.Subscribe(ctx, w.pub.Broadcast, track, want)
		if err != nil {
			w.over(ctx, "subscribe "+track, err)
			return
		}
		defer sub.Close()
		for {
			w.awake(ctx)
			g, err := sub.NextGroup(ctx)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					w.over(ctx, "next group of "+track, err)
				}
				return
			}
			w.running.Go(func() { w.readGroup(ctx, m, g) })
		}
	})
}

func (w *Watch) readGroup(ctx context.Context, m Media, g *moqclient.Group) {
	defer g.Close()
	for {
		w.awake(ctx)
		object, err := g.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				w.group(m, errors.Is(err, io.EOF))
			}
			return
		}
		frame, err := hang.ParseLegacy(object.Payload)
		if err != nil {
			w.problem(err)
			return
		}
		w.took(m, frame.Payload, object.Arrived)
	}
}

// WatchWHEP watches over WebRTC. It returns when media can flow.
func (c *Client) WatchWHEP(ctx context.Context, p *Publication) (*Watch, error) {
	w, life := c.watch(ctx, p)
	player, err := whipclient.Play(ctx, whipclient.PlayConfig{
		Config: c.webRTC("whep", p.Broadcast),
		Queue:  64, // read at once, unless paused
	})
	if err != nil {
		return nil, err
	}
	w.closeFn = func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return player.Close(closing)
	}
	w.running.Go(func() {
		for {
			w.awake(life)
			f, err := player.Next(life)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					w.over(life, "play", err)
				}
				return
			}
			m := Video
			if f.Codec == framing.Opus {
				m = Audio
			}
			w.took(m, f.Data, f.Arrival)
		}
	})
	return w, nil
}
