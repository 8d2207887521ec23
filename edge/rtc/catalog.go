package rtc

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trellis/edge/framing"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

// maxLatency is how long a group is worth sending once a newer one exists: the
// time in which links repair a loss at any distance.
const maxLatency = time.Second

// audioJitterMs is what players are told to buffer of sound at least: packets come
// from a publisher's network, and one that is lost there is asked for again. With
// less, @moq/watch gives up whole groups of sound whenever a few come at once.
const audioJitterMs = 60

// catalog is the catalog track of an ingested broadcast. It is written anew
// whenever what it says changes, and first when all tracks that were negotiated
// are known or have been waited for. Its methods are safe for concurrent use.
type catalog struct {
	wait time.Duration
	log  *slog.Logger

	mu       sync.Mutex
	expected map[wire.Kind]bool // negotiated and not described yet
	content  hang.Catalog
	timer    *time.Timer // runs from the first description until the first document
	ready    bool        // the document may be shown
	document []byte      // nil before it is
	changed  time.Time   // when it became what it is
	seq      uint64
	track    *relay.Track // who reads it now, nil for nobody
	over     bool
}

func newCatalog(wait time.Duration, audio, video bool, log *slog.Logger) *catalog {
	c := &catalog{wait: wait, log: log, expected: map[wire.Kind]bool{}}
	if audio {
		c.expected[wire.KindAudio] = true
	}
	if video {
		c.expected[wire.KindVideo] = true
	}
	return c
}

// describe says what a track is like, or what it is like now, and how its presentation times
// relate to the publisher's clock.
func (c *catalog) describe(track string, d framing.Description, capture hang.Capture) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.Codec.Audio() {
		if c.content.Audio == nil {
			c.content.Audio = &hang.Audio{Renditions: map[string]hang.AudioConfig{}}
		}
		// RFC 7587, Section 7: always two channels at 48 kHz, whatever was encoded.
		c.content.Audio.Renditions[track] = hang.AudioConfig{
			Codec: d.String(), SampleRate: 48_000, NumberOfChannels: 2, JitterMs: audioJitterMs,
			Capture: capture,
		}
		delete(c.expected, wire.KindAudio)
	} else {
		if c.content.Video == nil {
			c.content.Video = &hang.Video{Renditions: map[string]hang.VideoConfig{}}
		}
		v := c.content.Video.Renditions[track]
		v.Codec, v.CodedWidth, v.CodedHeight = d.String(), float64(d.Width), float64(d.Height)
		v.Framerate, v.OptimizeForLatency, v.Capture = d.FrameRate, true, capture
		c.content.Video.Renditions[track] = v
		delete(c.expected, wire.KindVideo)
	}
	c.changedLocked()
}

// rate says what bitrate a video track has, in bit/s.
func (c *catalog) rate(track string, bps uint64) {
	c.amend(track, func(v *hang.VideoConfig) { v.BitrateBps = float64(bps) })
}

// stall says that a video track delivers nothing just now, or does again.
func (c *catalog) stall(track string, stalled bool) {
	c.amend(track, func(v *hang.VideoConfig) { v.Stalled = stalled })
}

// capture says how a track's presentation times relate to the publisher's clock, if the
// track has been described.
func (c *catalog) capture(track string, is hang.Capture) bool {
	if c.amend(track, func(v *hang.VideoConfig) { v.Capture = is }) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.content.Audio == nil {
		return false
	}
	a, ok := c.content.Audio.Renditions[track]
	if ok {
		a.Capture = is
		c.content.Audio.Renditions[track] = a
		c.changedLocked()
	}
	return ok
}

// amend changes what is said of a video track, if it has been described.
func (c *catalog) amend(track string, change func(*hang.VideoConfig)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.content.Video == nil {
		return false
	}
	v, ok := c.content.Video.Renditions[track]
	if ok {
		change(&v)
		c.content.Video.Renditions[track] = v
		c.changedLocked()
	}
	return ok
}

// remove takes a track out that has ended or goes on under another name.
func (c *catalog) remove(track string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.content.Audio != nil {
		delete(c.content.Audio.Renditions, track)
	}
	if c.content.Video != nil {
		delete(c.content.Video.Renditions, track)
	}
}

func (c *catalog) changedLocked() {
	switch {
	case c.ready, len(c.expected) == 0:
		c.publishLocked()
	case c.timer == nil && !c.over:
		// A viewer cannot add a track later, so the first document waits for all.
		c.timer = time.AfterFunc(c.wait, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.publishLocked()
		})
	}
}

func (c *catalog) publishLocked() {
	if c.over {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.ready = true
	doc, err := c.content.Marshal()
	if err != nil {
		c.log.Error("catalog of our own making is invalid", slog.Any("err", err))
		return
	}
	if string(doc) == string(c.document) {
		return
	}
	c.document, c.changed = doc, time.Now()
	c.writeLocked()
}

// serve begins to deliver the catalog to a track that somebody opened. It is
// opened again for each run of readers.
func (c *catalog) serve(t *relay.Track) {
	if err := t.SetInfo(mediaInfo(wire.KindCatalog)); err != nil {
		t.Close(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.track = t
	if c.document != nil {
		c.writeLocked()
	}
}

// writeLocked writes the document as a group of its own.
func (c *catalog) writeLocked() {
	if c.track == nil || c.track.Context().Err() != nil {
		return
	}
	at := c.changed.UnixMicro()
	g, err := c.track.Group(c.seq)
	if err == nil {
		err = g.Write(0, relay.ObjectHeader{Time: at, Ingress: at}, c.document)
		g.Close()
	}
	c.seq++
	if err != nil {
		c.log.Debug("write catalog", slog.Any("err", fmt.Errorf("group %d: %w", c.seq-1, err)))
	}
}

// close stops the timer. The tracks end with the broadcast.
func (c *catalog) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
}
