package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trellis/edge/framing"
	"trellis/edge/moq/moqclient"
	"trellis/edge/whip/whipclient"
	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

// Publication is a clip that a client publishes.
type Publication struct {
	Broadcast string
	Clip      Clip
	// Start is when the clip began; frame i is due at a fixed time after it.
	Start time.Time

	stop    chan struct{}
	stopped sync.Once
	done    chan error
	rtc     *whipclient.Publisher // nil over MoQ
}

func newPublication(broadcast string, clip Clip) *Publication {
	return &Publication{
		Broadcast: broadcast,
		Clip:      clip.WithDefaults(),
		stop:      make(chan struct{}),
		done:      make(chan error, 1),
	}
}

// Due is when a frame was due to be sent.
func (p *Publication) Due(m Media, frame int) time.Time { return p.Start.Add(p.Clip.At(m, frame)) }

// Stop ends the publication in order and returns what went wrong with it.
func (p *Publication) Stop() error {
	p.stopped.Do(func() { close(p.stop) })
	return <-p.done
}

// KeyframeRequests returns how often the node asked for a key frame (over WHIP).
func (p *Publication) KeyframeRequests() uint64 {
	var n uint64
	if p.rtc != nil {
		for m := range mediaKinds {
			if i, ok := p.rtcTrack(m); ok {
				n += p.rtc.Stats(i).KeyframeRequests
			}
		}
	}
	return n
}

// PublishMoQ publishes the clip as a browser's @moq/publish does: one stream for
// each group. It returns when the session stands, and the clip begins then.
func (c *Client) PublishMoQ(ctx context.Context, broadcast string, clip Clip) (*Publication, error) {
	session, err := c.moq(ctx)
	if err != nil {
		return nil, err
	}
	p := newPublication(broadcast, clip)
	w, err := newMoQWriter(session, p)
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	p.Start = time.Now()
	go func() {
		err := p.Clip.Play(p.Start, p.stop, w.write)
		p.done <- errors.Join(err, session.Close())
	}()
	return p, nil
}

// moqWriter turns a clip's frames into groups.
type moqWriter struct {
	clip   Clip
	tracks [mediaKinds]*moqclient.TrackWriter
	groups [mediaKinds]*moqclient.GroupWriter
}

func newMoQWriter(session *moqclient.Session, p *Publication) (*moqWriter, error) {
	b, err := session.Publish(p.Broadcast)
	if err != nil {
		return nil, err
	}
	w := &moqWriter{clip: p.Clip}
	for m, track := range map[Media]struct {
		name     string
		priority uint8
	}{Video: {VideoTrack, 60}, Audio: {AudioTrack, 80}} {
		if !p.Clip.has(m) {
			continue
		}
		w.tracks[m], err = b.AddTrack(track.name, moqlite.TrackInfo{
			Priority: track.priority, MaxLatency: 2 * time.Second, Timescale: 1_000_000,
		})
		if err != nil {
			return nil, err
		}
	}
	catalog, err := b.AddTrack(hang.CatalogTrack, moqlite.TrackInfo{Priority: 100, Ordered: true, Timescale: 1_000_000})
	if err != nil {
		return nil, err
	}
	document, err := p.Clip.Catalog().Marshal()
	if err != nil {
		return nil, err
	}
	g, err := catalog.NewGroup()
	if err != nil {
		return nil, err
	}
	if err := g.Write(0, document); err != nil {
		return nil, err
	}
	g.Close()
	return w, nil
}

func (w *moqWriter) write(m Media, i int) error {
	if i%w.clip.GroupSize(m) == 0 {
		g, err := w.tracks[m].NewGroup() // closes the one before
		if err != nil {
			return err
		}
		w.groups[m] = g
	}
	pts := w.clip.At(m, i).Microseconds()
	object := hang.Legacy{PTSMicros: uint64(pts), Payload: w.clip.Frame(m, i)}.Append(nil)
	if err := w.groups[m].Write(pts, object); err != nil {
		return err
	}
	if (i+1)%w.clip.GroupSize(m) == 0 {
		w.groups[m].Close() // its end need not wait for the next one's beginning
	}
	return nil
}

// PublishWHIP publishes the clip over WebRTC. It returns when media can flow,
// and the clip begins then.
func (c *Client) PublishWHIP(ctx context.Context, broadcast string, clip Clip) (*Publication, error) {
	p := newPublication(broadcast, clip)
	cfg := whipclient.PublishConfig{Config: c.webRTC("whip", broadcast)}
	if p.Clip.has(Video) {
		cfg.Tracks = append(cfg.Tracks, whipclient.Source{Codec: framing.VP8})
	}
	if p.Clip.has(Audio) {
		cfg.Tracks = append(cfg.Tracks, whipclient.Source{Codec: framing.Opus})
	}
	var err error
	if p.rtc, err = whipclient.Publish(ctx, cfg); err != nil {
		return nil, err
	}
	p.Start = time.Now()
	go func() {
		err := p.Clip.Play(p.Start, p.stop, p.writeRTC)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		p.done <- errors.Join(err, p.rtc.Close(closing))
	}()
	return p, nil
}

// rtcTrack is the index of a kind among the session's tracks.
func (p *Publication) rtcTrack(m Media) (int, bool) {
	if m == Audio && p.Clip.has(Video) {
		return 1, p.Clip.has(m)
	}
	return 0, p.Clip.has(m)
}

func (p *Publication) writeRTC(m Media, i int) error {
	track, ok := p.rtcTrack(m)
	if !ok {
		return fmt.Errorf("the clip has no %v", m)
	}
	return p.rtc.Write(track, whipclient.Frame{
		PTS: p.Clip.At(m, i), Key: p.Clip.IsKey(m, i), Data: p.Clip.Frame(m, i),
	})
}
