package rtc

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
	"trellis/internal/relay"
)

const (
	// keyframeSpacing bounds how often a publisher is asked for a key frame. The
	// answer takes a round trip and the encoder's time.
	keyframeSpacing = 500 * time.Millisecond
	// headBytes is how much of a key frame is kept to read its description from:
	// parameter sets and sequence headers come first.
	headBytes = 2048
)

// ingestTrack takes the frames of one received stream as they arrive, and writes
// them into the relay: into one track, or, where the stream has layers, into one
// for each. It is the stream.Sink of its Inbound, and its reception's lock guards it.
type ingestTrack struct {
	// Fixed at construction.
	ingest    *ingest
	broadcast *relay.Broadcast
	inbound   *stream.Inbound
	rid       string

	codec    framing.Codec // these two are written under mu, for status
	switches int
	capture  captureTimes
	whole    *ingestLayer // what is written as it comes
	split    *framing.Split
	parts    []*ingestLayer // what split makes, by its outputs

	mu     sync.Mutex
	layers []*ingestLayer // all that are open
	asked  time.Time      // the last key frame request
	count  [numKeyframeReasons]uint64
}

var _ stream.Sink = (*ingestTrack)(nil)

// base is the name of the stream's track, or the beginning of its layers' names.
func (t *ingestTrack) base() string {
	name := "video/hd"
	switch {
	case t.codec.Audio():
		name = "audio/data"
	case t.rid != "":
		name = "video/" + t.rid
	}
	// A codec switch is a new track: readers have set up their decoders.
	if t.switches > 0 {
		name = fmt.Sprintf("%s-%d", name, t.switches+1)
	}
	return name
}

// named returns the layer with that name, a new one if there is none: a stream may
// change its layers and come back to those that it had. If it cannot be made, the
// session ends: the publisher's grant or the relay's limits do not allow it.
func (t *ingestTrack) named(name string, thinned bool) *ingestLayer {
	if i := slices.IndexFunc(t.layers, func(l *ingestLayer) bool { return l.name == name }); i >= 0 {
		return t.layers[i]
	}
	l, err := t.newIngestLayer(name, thinned)
	if err != nil {
		t.ingest.session.end(err)
		return nil
	}
	t.mu.Lock()
	t.layers = append(t.layers, l)
	t.mu.Unlock()
	t.ingest.log.Info("track published", slog.String("track", name), slog.String("codec", t.codec.String()))
	return l
}

// find returns the layer that writes a relay track, nil if none does.
func (t *ingestTrack) find(track *relay.Track) *ingestLayer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.layers, func(l *ingestLayer) bool { return l.track == track }); i >= 0 {
		return t.layers[i]
	}
	return nil
}

// all returns the layers that are open.
func (t *ingestTrack) all() []*ingestLayer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.layers)
}

// askKeyframe asks the publisher for a key frame, unless that was just done. It
// may be called from any goroutine.
func (t *ingestTrack) askKeyframe(reason keyframeReason) {
	now := time.Now()
	t.mu.Lock()
	due := now.Sub(t.asked) >= keyframeSpacing
	if due {
		t.asked = now
		t.count[reason]++
	}
	t.mu.Unlock()
	if due {
		t.ingest.edge.metrics.keyRequests[reason].Inc()
		t.ingest.sendPLI(t.inbound.SSRC())
	}
}

// Begin implements stream.Sink.
func (t *ingestTrack) Begin(f stream.FrameInfo) {
	t.capture.frame(&f)
	if f.Layer.Alone() {
		if t.whole == nil {
			if t.whole = t.named(t.base(), false); t.whole == nil {
				return
			}
		}
		t.whole.width, t.whole.height = 0, 0 // its frames say themselves
		t.whole.begin(f)
		return
	}
	t.layer(f)
}

// Data implements stream.Sink.
func (t *ingestTrack) Data(b []byte, last bool) {
	if t.split != nil && t.split.Open() {
		t.layerData(b, last)
		return
	}
	if t.whole != nil {
		t.whole.data(b, last)
	}
}

// Broken implements stream.Sink.
func (t *ingestTrack) Broken() { t.Lost() }

// Lost implements stream.Sink. Nothing tells which of the layers a lost packet
// belonged to.
func (t *ingestTrack) Lost() {
	if t.split != nil {
		t.split.Lose()
	}
	for _, l := range t.layers {
		l.giveUp()
	}
	if !t.codec.Audio() {
		t.askKeyframe(keyframeLoss)
	}
}

// Switched implements stream.Sink.
func (t *ingestTrack) Switched(c framing.Codec) {
	old := t.all()
	t.close()
	t.whole, t.split, t.parts = nil, nil, nil
	t.mu.Lock()
	t.switches++
	t.codec, t.layers = c, nil
	t.mu.Unlock()
	for _, l := range old {
		t.ingest.catalog.remove(l.name)
	}
	t.ingest.log.Info("codec switched", slog.String("track", t.base()), slog.String("codec", c.String()))
}

// close ends the tracks in order.
func (t *ingestTrack) close() {
	for _, l := range t.all() {
		l.close()
	}
}
