package fanout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trellis/edge/moq/moqclient"
	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

// packetBytes is what counts as a packet where bytes travel on streams.
const packetBytes = 1200

// broadcast is the name of what is published.
const broadcast = "fanout/clip"

// moqViewer is a WebTransport viewer: a real client.
type moqViewer struct {
	session *moqclient.Session
	end     context.CancelFunc
	tasks   sync.WaitGroup
	all     *counters
	of      string
	seen    func(track string, o *moqclient.Object) // may be nil
}

// joinMoQ opens a session for a broadcast and returns when the picture comes. seen is
// told of each object, if it is not nil.
func joinMoQ(ctx context.Context, cfg Load, all *counters, of string, seen func(string, *moqclient.Object)) (*moqViewer, error) {
	session, err := moqclient.Dial(ctx, moqclient.Config{URL: cfg.MoQ, Insecure: true}) // both ends are ours
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	v := &moqViewer{session: session, end: end, all: all, of: of, seen: seen}
	if err := v.subscribe(ctx, life, !cfg.Silent); err != nil {
		return nil, errors.Join(err, v.close())
	}
	return v, nil
}

func (v *moqViewer) subscribe(ctx, life context.Context, sound bool) error {
	catalog, err := v.catalog(ctx)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	video, ok := catalog.PickVideo(hang.Limits{})
	audio, heard := catalog.PickAudio(hang.Limits{})
	if !ok || sound && !heard {
		return errors.New("the catalog lacks a track")
	}
	begun := make(chan struct{})
	if err := v.watch(ctx, life, video.Track, 60, video.Container, begun); err != nil {
		return err
	}
	if sound {
		if err := v.watch(ctx, life, audio.Track, 80, audio.Container, nil); err != nil {
			return err
		}
	}
	select {
	case <-begun:
		return nil
	case <-ctx.Done():
		return errors.New("subscribed, but nothing came")
	}
}

// catalog waits for one with both tracks.
func (v *moqViewer) catalog(ctx context.Context) (hang.Catalog, error) {
	var sub *moqclient.Subscription
	for {
		var err error
		if sub, err = v.session.Subscribe(ctx, v.of, hang.CatalogTrack, moqlite.Delivery{Priority: 100}); err == nil {
			break
		}
		if settle(ctx, 100*time.Millisecond) != nil { // it is not on air yet
			return hang.Catalog{}, err
		}
	}
	defer sub.Close()
	var doc hang.Document
	for {
		o, err := sub.Next(ctx)
		if err != nil {
			return hang.Catalog{}, err
		}
		c, err := doc.Apply(o.Group, o.Index, o.Payload)
		if err != nil || len(c.VideoTracks()) > 0 && len(c.AudioTracks()) > 0 {
			return c, err
		}
	}
}

// watch counts what a track brings, until life ends. begun is closed with the first
// object, and only pictures have it.
func (v *moqViewer) watch(
	ctx, life context.Context, track string, priority uint8, container hang.Container, begun chan struct{},
) error {
	sub, err := v.session.Subscribe(ctx, v.of, track, moqlite.Delivery{Priority: priority, MaxLatency: time.Second})
	if err != nil {
		return err
	}
	v.tasks.Go(func() {
		defer sub.Close()
		for n := 0; ; n++ {
			o, err := sub.Next(life)
			if err != nil {
				return
			}
			v.all.streamed.Add(uint64(len(o.Payload)))
			if v.seen != nil {
				v.seen(track, &o)
			}
			if begun == nil {
				continue
			}
			if n == 0 {
				close(begun)
				continue // it comes from the cache
			}
			v.all.frames.Add(1)
			if _, frame, err := container.ParseFrame(o.Payload); err == nil && n%openEvery == 0 {
				v.all.opened.Add(1)
				if due, ok := dueOf(frame); ok {
					v.all.mu.Lock()
					v.all.late.Add(o.Arrived.Sub(due))
					v.all.mu.Unlock()
				}
			}
		}
	})
	return nil
}

// report implements member: acknowledgements are QUIC's.
func (v *moqViewer) report() error { return nil }

func (v *moqViewer) feedback() error { return nil }

func (v *moqViewer) close() error {
	v.end()
	err := v.session.Close()
	v.tasks.Wait()
	return err
}
