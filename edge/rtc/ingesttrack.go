package rtc

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

const (
	// keyframeSpacing bounds how often a publisher is asked for a key frame. The
	// answer takes a round trip and the encoder's time.
	keyframeSpacing = 500 * time.Millisecond
	// headBytes is how much of a key frame is kept to read its description from:
	// parameter sets and sequence headers come first.
	headBytes = 2048
)

// ingestTrack writes the frames of one received track into the relay as they
// arrive. It is the stream.Sink of its Inbound and belongs to that goroutine.
type ingestTrack struct {
	// Fixed before Run.
	ingest    *ingest
	broadcast *relay.Broadcast
	inbound   *stream.Inbound
	rid       string

	track     *relay.Track // these three are written under mu, for status and isTrack
	name      string
	codec     framing.Codec
	switches  int
	described framing.Description

	group   *relay.Group // nil: the next frame must begin one
	seq     uint64       // of the next group
	object  uint64       // index of the next object in group
	writing bool         // an object is being written
	key     bool         // it is a key frame
	prefix  []byte       // container header, not written yet
	head    []byte       // beginning of a key frame

	began int64 // PTS of the group's first frame
	meter rateMeter
	frame int    // bytes of the frame that is being received
	rated uint64 // bit/s that the catalog says
	at    time.Time

	heard   atomic.Int64 // when its newest frame began, unix ms
	stalled atomic.Bool  // and that this was too long ago

	mu    sync.Mutex
	asked time.Time // the last key frame request
	count [numKeyframeReasons]uint64
}

var _ stream.Sink = (*ingestTrack)(nil)

// open makes the relay track for a codec.
func (t *ingestTrack) open(c framing.Codec) error {
	kind, name := wire.KindVideo, "video/hd"
	switch {
	case c.Audio():
		kind, name = wire.KindAudio, "audio/data"
	case t.rid != "":
		name = "video/" + t.rid
	}
	// A codec switch is a new track: readers have set up their decoders.
	if t.switches > 0 {
		name = fmt.Sprintf("%s-%d", name, t.switches+1)
	}
	track, err := t.broadcast.PushTrack(name, mediaInfo(kind))
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.track, t.name, t.codec = track, name, c
	t.mu.Unlock()
	t.described, t.rated, t.at, t.meter = framing.Description{}, 0, time.Time{}, rateMeter{}
	return nil
}

func (t *ingestTrack) isTrack(track *relay.Track) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.track == track
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

const (
	// The catalog's bitrate follows what is received when that is rateChange beyond
	// it, at most every rateEvery: each change is sent to every viewer.
	rateChange = 1.3
	rateEvery  = 5 * time.Second
)

// rate keeps the bitrate in the catalog true, by which viewers choose a layer
// that their edge does not carry yet.
func (t *ingestTrack) rate(now time.Time) {
	bytes := t.frame
	t.frame = 0
	if !t.meter.add(now, bytes) || t.codec.Audio() || now.Sub(t.at) < rateEvery {
		return
	}
	if is, was := float64(t.meter.bps), float64(t.rated); is <= was*rateChange && was <= is*rateChange {
		return
	}
	t.rated, t.at = roundBps(t.meter.bps), now
	t.ingest.catalog.rate(t.name, t.rated)
}

// roundBps rounds to two digits: more would say more than is known.
func roundBps(bps uint64) uint64 {
	unit := uint64(1)
	for bps/unit >= 100 {
		unit *= 10
	}
	return (bps + unit/2) / unit * unit
}

// Begin implements stream.Sink.
func (t *ingestTrack) Begin(f stream.FrameInfo) {
	t.rate(f.Arrival)
	t.ingest.listen(t, f.Arrival)
	t.key = f.Key
	if t.beginsGroup(f.Key) && !t.nextGroup() {
		return
	}
	if t.group == nil {
		t.skip(skipWaitKey)
		if t.seq == 0 {
			t.askKeyframe(keyframeStart)
		} else {
			t.askKeyframe(keyframeLoss)
		}
		return
	}
	t.limitGroup(f)
	err := t.group.Begin(t.object, relay.ObjectHeader{Time: f.PTS, Ingress: f.Arrival.UnixMicro()}, -1)
	if err != nil {
		t.refused(err)
		return
	}
	t.writing, t.head = true, t.head[:0]
	t.prefix = hang.AppendLegacyHeader(t.prefix[:0], uint64(f.PTS))
}

// limitGroup asks for a key frame when the group has lasted long enough, and
// after that again each time it has grown by as much.
func (t *ingestTrack) limitGroup(f stream.FrameInfo) {
	if f.Key {
		t.began = f.PTS
		return
	}
	if limit := t.ingest.edge.cfg.MaxGroup.Microseconds(); f.PTS-t.began >= limit {
		t.began += limit
		t.askKeyframe(keyframeLength)
	}
}

// beginsGroup reports whether the next frame begins a group: video groups begin
// at key frames; sound is cut into runs of equal length, each of which can be
// dropped without touching the others.
func (t *ingestTrack) beginsGroup(key bool) bool {
	if t.codec.Audio() {
		return t.group == nil || t.object >= uint64(t.ingest.edge.cfg.AudioGroup)
	}
	return key
}

func (t *ingestTrack) nextGroup() bool {
	if t.group != nil {
		t.group.Close()
	}
	g, err := t.track.Group(t.seq)
	t.seq++
	t.object = 0
	if err != nil {
		t.group = nil
		t.refused(err)
		return false
	}
	t.group = g
	return true
}

// Data implements stream.Sink.
func (t *ingestTrack) Data(b []byte, last bool) {
	t.frame += len(b)
	if !t.writing {
		return
	}
	if t.key && len(t.head) < headBytes {
		t.head = append(t.head, b[:min(len(b), headBytes-len(t.head))]...)
	}
	piece := t.track.Alloc(len(t.prefix) + len(b))
	copy(piece[copy(piece, t.prefix):], b)
	t.prefix = t.prefix[:0]
	write := t.group.Append
	if last {
		write = t.group.AppendLast
	}
	if err := write(piece); err != nil {
		t.refused(err)
		return
	}
	if last {
		t.writing = false
		t.object++
		if t.key {
			t.describe()
		}
	}
}

// describe keeps the catalog true. Nearly every key frame says the same as the
// one before.
func (t *ingestTrack) describe() {
	d, err := framing.Describe(t.codec, t.head)
	if err != nil {
		t.ingest.log.Debug("describe key frame", slog.String("track", t.name), slog.Any("err", err))
		return
	}
	d.Channels = 0 // may change with every Opus packet, and says nothing new
	if d != t.described {
		t.described = d
		t.ingest.catalog.describe(t.name, d)
	}
}

// Broken implements stream.Sink.
func (t *ingestTrack) Broken() {
	t.writing = false
	t.giveUp()
}

// Lost implements stream.Sink.
func (t *ingestTrack) Lost() { t.giveUp() }

// giveUp ends the current group after a loss. Video goes on with the next key
// frame; what was complete stays good.
func (t *ingestTrack) giveUp() {
	switch {
	case t.codec.Audio() && t.group != nil:
		t.group.Close()
	case t.group != nil:
		t.group.Abort(relay.DropIncomplete)
	}
	t.group = nil
	if !t.codec.Audio() {
		t.askKeyframe(keyframeLoss)
	}
}

// refused handles an error of the relay: a limit, or the end of the track.
func (t *ingestTrack) refused(err error) {
	t.skip(skipGroupRefuse)
	t.ingest.log.Debug("relay refused", slog.String("track", t.name), slog.Any("err", err))
	if t.group != nil {
		reason := relay.DropIncomplete
		if errors.Is(err, relay.ErrTooLarge) {
			reason = relay.DropObjectTooLarge
		}
		t.group.Abort(reason)
	}
	t.group, t.writing = nil, false
}

func (t *ingestTrack) skip(s skip) { t.ingest.edge.metrics.skipped[s].Inc() }

// Switched implements stream.Sink.
func (t *ingestTrack) Switched(c framing.Codec) {
	old := t.name
	t.close()
	t.switches++
	if err := t.open(c); err != nil {
		t.ingest.session.end(fmt.Errorf("switch %s to %s: %w", old, c, err))
		return
	}
	t.ingest.catalog.remove(old)
	t.ingest.log.Info("codec switched", slog.String("track", t.name), slog.String("codec", c.String()))
}

// close ends the track in order.
func (t *ingestTrack) close() {
	switch {
	case t.group != nil && t.writing:
		t.group.Abort(relay.DropIncomplete)
	case t.group != nil:
		t.group.Close()
	}
	t.group, t.writing = nil, false
	t.track.Close(nil)
}
