package rtc

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

// ingestLayer is one track that is made of what a publisher sends: a stream, or a
// layer of one. It writes frames into the relay, and keeps the catalog true about
// them. But for what is atomic it is guarded like its ingestTrack.
type ingestLayer struct {
	// Fixed at construction.
	from    *ingestTrack
	track   *relay.Track
	name    string
	codec   framing.Codec
	thinned bool // it is a part of another one that has all pictures

	described framing.Description
	captured  hang.Capture // as the catalog has it

	group   *relay.Group // nil: the next frame must begin one
	seq     uint64       // of the next group
	object  uint64       // index of the next object in group
	writing bool         // an object is being written
	key     bool         // it is a key frame
	prefix  []byte       // container header, not written yet
	head    []byte       // beginning of a key frame

	width, height int // as the stream announces it, zero if it does not

	chained atomic.Bool // it holds the next smaller layer of its stream

	began int64 // PTS of the group's first frame
	meter rateMeter
	frame int    // bytes of the frame that is being received
	rated uint64 // bit/s that the catalog says
	at    time.Time
	fits  bool // it was held to what its viewers can be sent when it was last measured

	asked   atomic.Bool   // somebody waits for it though it is held back
	wanted  time.Time     // when somebody last did; in ingest.meter's care
	known   time.Time     // when all who were sent it were viewers of this node; likewise
	unfit   time.Time     // until when it is not held to what viewers can be sent; likewise
	paused  bool          // what was cached of it is given up; likewise
	mute    atomic.Bool   // it is held back, because nobody wants it
	held    atomic.Uint64 // bit/s that its viewers can be sent, to which it is held; zero if it is not
	freed   atomic.Int64  // when it was last let go, unix ms
	heard   atomic.Int64  // when its newest frame began, unix ms
	keyed   atomic.Int64  // when its newest key frame did, unix ms
	bps     atomic.Uint64 // as measured
	lines   atomic.Int64  // its height, zero while unknown
	stalled atomic.Bool   // it brings nothing though somebody wants it
}

// newIngestLayer makes the relay track.
func (t *ingestTrack) newIngestLayer(name string, thinned bool) (*ingestLayer, error) {
	kind := wire.KindVideo
	if t.codec.Audio() {
		kind = wire.KindAudio
	}
	track, err := t.broadcast.PushTrack(name, mediaInfo(kind))
	if err != nil {
		return nil, err
	}
	l := &ingestLayer{from: t, track: track, name: name, codec: t.codec, thinned: thinned}
	t.ingest.edge.reaches.enter(track.Name(), l)
	return l, nil
}

const (
	// The catalog's bitrate follows what is received when that is rateChange beyond
	// it, at most every rateEvery: each change is sent to every viewer.
	rateChange = 1.3
	rateEvery  = 5 * time.Second
	// heldChange is rateChange for a layer that is held to what somebody can be sent, who
	// waits for it to take no more.
	heldChange = 1.05
)

// rate keeps the bitrate in the catalog true, by which viewers choose a layer
// that their edge does not carry yet.
func (l *ingestLayer) rate(now time.Time) {
	bytes := l.frame
	l.frame = 0
	held := l.held.Load()
	if fits := held != 0; fits != l.fits {
		l.fits, l.at = fits, time.Time{}
		if fits { // what it took before is no measure
			l.meter = rateMeter{}
			l.meter.expect(held)
		}
	}
	if !l.meter.add(now, bytes) || l.codec.Audio() {
		return
	}
	l.bps.Store(l.meter.bps)
	if l.mute.Load() || now.Sub(l.at) < rateEvery {
		return // what it is held down to says nothing of what it would take
	}
	change := rateChange
	if l.fits {
		change = heldChange
	}
	if is, was := float64(l.meter.bps), float64(l.rated); is <= was*change && was <= is*change {
		return
	}
	l.rated, l.at = roundBps(l.meter.bps), now
	l.from.ingest.catalog.rate(l.name, l.rated)
}

// roundBps rounds to two digits: more would say more than is known.
func roundBps(bps uint64) uint64 {
	unit := uint64(1)
	for bps/unit >= 100 {
		unit *= 10
	}
	return (bps + unit/2) / unit * unit
}

// begin opens a frame.
func (l *ingestLayer) begin(f stream.FrameInfo) {
	l.rate(f.Arrival)
	if is := l.from.capture.said; is != l.captured && l.from.ingest.catalog.capture(l.name, is) {
		l.captured = is
	}
	l.from.ingest.listen(l, f.Arrival)
	if l.key = f.Key; l.key {
		l.keyed.Store(f.Arrival.UnixMilli())
	}
	if l.beginsGroup(f.Key) && !l.nextGroup() {
		return
	}
	if l.group == nil {
		l.skip(skipWaitKey)
		if l.seq == 0 {
			l.from.askKeyframe(keyframeStart)
		} else {
			l.from.askKeyframe(keyframeLoss)
		}
		return
	}
	l.limitGroup(f)
	ingress := l.from.ingest.edge.cfg.wall(f.Arrival).UnixMicro()
	err := l.group.Begin(l.object, relay.ObjectHeader{Time: f.PTS, Ingress: ingress}, -1)
	if err != nil {
		l.refused(err)
		return
	}
	l.writing, l.head = true, l.head[:0]
	l.prefix = hang.AppendLegacyHeader(l.prefix[:0], uint64(f.PTS))
}

// limitGroup asks for a key frame when the group has lasted long enough, and
// after that again each time it has grown by as much.
func (l *ingestLayer) limitGroup(f stream.FrameInfo) {
	if f.Key {
		l.began = f.PTS
		return
	}
	if limit := l.from.ingest.edge.cfg.MaxGroup.Microseconds(); f.PTS-l.began >= limit {
		l.began += limit
		l.from.askKeyframe(keyframeLength)
	}
}

// beginsGroup reports whether the next frame begins a group: video groups begin
// at key frames; sound is cut into runs of equal length, each of which can be
// dropped without touching the others.
func (l *ingestLayer) beginsGroup(key bool) bool {
	if l.codec.Audio() {
		return l.group == nil || l.object >= uint64(l.from.ingest.edge.cfg.AudioGroup)
	}
	return key
}

func (l *ingestLayer) nextGroup() bool {
	if l.group != nil {
		l.group.Close()
	}
	g, err := l.track.Group(l.seq)
	l.seq++
	l.object = 0
	if err != nil {
		l.group = nil
		l.refused(err)
		return false
	}
	l.group = g
	return true
}

// data adds the next bytes of the open frame; last closes it.
func (l *ingestLayer) data(b []byte, last bool) {
	l.frame += len(b)
	if !l.writing {
		return
	}
	if l.key && len(l.head) < headBytes {
		l.head = append(l.head, b[:min(len(b), headBytes-len(l.head))]...)
	}
	piece := l.track.Alloc(len(l.prefix) + len(b))
	copy(piece[copy(piece, l.prefix):], b)
	l.prefix = l.prefix[:0]
	write := l.group.Append
	if last {
		write = l.group.AppendLast
	}
	if err := write(piece); err != nil {
		l.refused(err)
		return
	}
	if last {
		l.writing = false
		l.object++
		if l.key {
			l.describe()
		}
	}
}

// describe keeps the catalog true. Nearly every key frame says the same as the
// one before.
func (l *ingestLayer) describe() {
	d, err := framing.Describe(l.codec, l.head)
	if err != nil {
		l.from.ingest.log.Debug("describe key frame", slog.String("track", l.name), slog.Any("err", err))
		return
	}
	if l.height != 0 {
		d.Width, d.Height = l.width, l.height
	}
	d.Channels = 0 // may change with every Opus packet, and says nothing new
	if d != l.described {
		l.described = d
		l.lines.Store(int64(d.Height))
		l.captured = l.from.capture.said
		l.from.ingest.catalog.describe(l.name, d, l.captured)
	}
}

// giveUp ends the current group after a loss. Video goes on with the next key
// frame; what was complete stays good.
func (l *ingestLayer) giveUp() {
	l.writing = false
	switch {
	case l.codec.Audio() && l.group != nil:
		l.group.Close()
	case l.group != nil:
		l.group.Abort(relay.DropIncomplete)
	}
	l.group = nil
}

// refused handles an error of the relay: a limit, or the end of the track.
func (l *ingestLayer) refused(err error) {
	l.skip(skipGroupRefuse)
	l.from.ingest.log.Debug("relay refused", slog.String("track", l.name), slog.Any("err", err))
	if l.group != nil {
		reason := relay.DropIncomplete
		if errors.Is(err, relay.ErrTooLarge) {
			reason = relay.DropObjectTooLarge
		}
		l.group.Abort(reason)
	}
	l.group, l.writing = nil, false
}

func (l *ingestLayer) skip(s skip) { l.from.ingest.edge.metrics.skipped[s].Inc() }

// close ends the track in order.
func (l *ingestLayer) close() {
	switch {
	case l.group != nil && l.writing:
		l.group.Abort(relay.DropIncomplete)
	case l.group != nil:
		l.group.Close()
	}
	l.group, l.writing = nil, false
	l.from.ingest.edge.reaches.leave(l.track.Name(), l)
	l.track.Close(nil)
}
