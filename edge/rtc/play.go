package rtc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/bwe"
	"trellis/edge/rtc/stream"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

const (
	// catalogTimeout is how long a viewer's request waits for the catalog of a
	// broadcast that is announced. It may have to come from the other end of the
	// world, or from a publisher that is just connecting.
	catalogTimeout = 4 * time.Second
	// catalogGrace is how old a catalog must be to be believed when it does not name
	// a kind of track that the viewer wants: publishers may add one track at a time.
	catalogGrace = time.Second
)

// Play makes a session that views req.Broadcast: the best rendition of each kind
// that the viewer offered to receive and can decode.
func (e *Edge) Play(ctx context.Context, req Request) (*Session, error) {
	s, err := e.play(ctx, req)
	if err != nil {
		e.metrics.refuse(err)
		return nil, fmt.Errorf("play %s: %w", req.Broadcast, err)
	}
	return s, nil
}

// choice is what a viewer will receive in one section.
type choice struct {
	media *offeredMedia
	codec offeredCodec
	key   laneKey     // without a broadcast where that has none of the kind
	rungs []rendition // the layers that there are now
}

func (e *Edge) play(ctx context.Context, req Request) (*Session, error) {
	o, err := parseOffer(req.Offer)
	if err != nil {
		return nil, err
	}
	var audio, video bool
	for _, m := range o.media {
		switch d := o.direction(m); d {
		case "sendrecv", "recvonly":
			audio, video = audio || m.audio, video || !m.audio
		default:
			return nil, fmt.Errorf("%w: the %s section is %s; a viewer receives", ErrBadOffer, m.desc.MediaName.Media, d)
		}
	}
	s := e.newSession(RoleViewer, req)
	if err := e.admit(s); err != nil { // who waits for a catalog takes a place, too
		return nil, err
	}
	choices, err := s.choices(ctx, o, audio, video)
	if err != nil {
		e.leave(s)
		return nil, err
	}
	v := &viewing{edge: e, session: s}
	err = s.connect(req.Expires, func() (connection, string, error) {
		sections, err := v.prepare(choices) //nolint:contextcheck // a lane outlives the viewer that it was opened for
		if err != nil {
			return nil, "", err
		}
		return s.newViewerConn(ctx, o, sections, v.steering, v.begin)
	}, v.finish)
	if err != nil {
		return nil, err
	}
	s.steering.Store(v.steering)
	return s, nil
}

// choices picks what a session's viewer will receive, once that is known.
func (s *Session) choices(ctx context.Context, o *offer, audio, video bool) ([]choice, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.ctx, func() { cancel(s.cause()) }) //nolint:contextcheck // whichever ends first
	defer stop()
	c, err := s.edge.readCatalog(ctx, s.broadcast, audio, video)
	if err != nil {
		return nil, err
	}
	return choose(o, c, s.broadcast)
}

// choose picks a rendition for each section.
func choose(o *offer, c hang.Catalog, b wire.Broadcast) ([]choice, error) {
	var choices []choice
	tracks := 0
	for _, m := range o.media {
		if !m.has(c) && len(m.codecs) > 0 {
			// The section stays, with any format: rejected, it would take the
			// candidates of its bundle with it.
			choices = append(choices, choice{media: m, codec: m.codecs[0]})
			continue
		}
		ch, ok := m.choose(c, b)
		if !ok {
			return nil, &CodecError{Offered: m.names, Wanted: codecsOf(c, m.audio)}
		}
		choices = append(choices, ch)
		tracks++
	}
	if tracks == 0 {
		return nil, fmt.Errorf("%w: it has no track of a kind that was offered", ErrNotLive)
	}
	return choices, nil
}

// has reports whether the catalog has a track for the section.
func (m *offeredMedia) has(c hang.Catalog) bool {
	if m.audio {
		return len(c.AudioTracks()) > 0
	}
	return len(c.VideoTracks()) > 0
}

// choose picks the codec of the best rendition that the viewer can decode, and
// with it all renditions in that codec: the layers.
func (m *offeredMedia) choose(c hang.Catalog, b wire.Broadcast) (choice, bool) {
	var picked offeredCodec
	limits := hang.Limits{Codec: func(codec string) bool {
		for _, oc := range m.codecs {
			if oc.decodes(codec) {
				picked = oc
				return true
			}
		}
		return false
	}}
	var (
		track, description string
		container          hang.Container
		ok                 bool
	)
	if m.audio {
		var t hang.AudioTrack
		t, ok = c.PickAudio(limits)
		track, description, container = t.Track, t.Description, t.Container
	} else {
		var t hang.VideoTrack
		t, ok = c.PickVideo(limits)
		track, description, container = t.Track, t.Description, t.Container
	}
	// Out-of-band parameters and fragmented MP4 would have to be unwrapped here.
	if !ok || description != "" || container.Kind == hang.ContainerCMAF {
		return choice{}, false
	}
	key := laneKey{broadcast: b, codec: picked.codec, container: container}
	if m.audio {
		key.track = track
	}
	return choice{media: m, codec: picked, key: key, rungs: renditionsOf(c, key)}, true
}

// codecsOf lists the codecs of a kind that a catalog has and we carry.
func codecsOf(c hang.Catalog, audio bool) []framing.Codec {
	var all []framing.Codec
	add := func(codec string) {
		if p, err := framing.ParseParams(codec); err == nil {
			all = append(all, p.Codec)
		}
	}
	if audio {
		for _, t := range c.AudioTracks() {
			add(t.Codec)
		}
		return all
	}
	for _, t := range c.VideoTracks() {
		add(t.Codec)
	}
	return all
}

// readCatalog waits for a catalog that has what the viewer wants, or for as long
// as it is worth waiting.
func (e *Edge) readCatalog(ctx context.Context, b wire.Broadcast, audio, video bool) (hang.Catalog, error) {
	sub, err := e.cfg.Table.Subscribe(wire.TrackName{Broadcast: b, Track: hang.CatalogTrack}, relay.SubscribeOptions{})
	switch {
	case errors.Is(err, relay.ErrNotFound):
		return hang.Catalog{}, fmt.Errorf("%w: %w", ErrNotLive, err)
	case err != nil:
		return hang.Catalog{}, err
	}
	defer sub.Close()
	deadline := time.Now().Add(catalogTimeout)
	var doc hang.Document
	var last hang.Catalog
	known := false
	for {
		waitCtx, cancel := context.WithDeadline(ctx, deadline)
		c, at, err := nextCatalog(waitCtx, sub, &doc)
		cancel()
		switch {
		case err != nil && known:
			return last, nil
		case err != nil:
			return c, fmt.Errorf("%w: no catalog: %w", ErrNotLive, err)
		}
		hasAudio, hasVideo := len(c.AudioTracks()) > 0, len(c.VideoTracks()) > 0
		if (hasAudio || !audio) && (hasVideo || !video) {
			return c, nil
		}
		if !known && (hasAudio || hasVideo) {
			known = true
			wait := min(catalogGrace-time.Since(at), catalogGrace)
			if wait <= 0 {
				return c, nil
			}
			deadline = time.Now().Add(wait)
		}
		last = c
	}
}

// nextCatalog waits for the next version of the catalog, and returns it with the
// time when it entered the backbone. A group that breaks off on its way, or comes after a newer
// one, is passed over.
func nextCatalog(
	ctx context.Context, sub *relay.Subscription, doc *hang.Document,
) (hang.Catalog, time.Time, error) {
	for {
		g, err := sub.NextGroup(ctx)
		if err != nil {
			return hang.Catalog{}, time.Time{}, err
		}
		seq := g.Seq()
		if doc.Stale(seq) {
			g.Close()
			continue
		}
		b, c, err := wholeObject(ctx, g)
		g.Close()
		switch {
		case errors.Is(err, hang.ErrCatalog), err != nil && ctx.Err() != nil:
			return hang.Catalog{}, time.Time{}, err
		case err != nil:
			continue
		}
		catalog, err := doc.Apply(seq, c.Object, b)
		return catalog, time.UnixMicro(c.Ingress), err
	}
}

// wholeObject reads the next object of a catalog's group, and returns it with its last chunk.
func wholeObject(ctx context.Context, g *relay.GroupReader) (b []byte, c relay.Chunk, err error) {
	for !c.Last {
		if c, err = g.Next(ctx); err != nil {
			return nil, c, err
		}
		if b = append(b, c.Payload...); len(b) > hang.MaxCatalogBytes {
			return nil, c, hang.ErrCatalog
		}
	}
	return b, c, nil
}

// viewing is what a viewer's session does.
type viewing struct {
	edge     *Edge
	session  *Session
	steering *steering
	left     atomic.Int32 // tracks that have not ended
	stays    bool         // also when they have

	mu     sync.Mutex // guards what follows, and stop and dropped of all tracks
	tracks []*viewerTrack
	over   bool
}

// prepare takes hold of the lanes, and makes a track for each.
func (v *viewing) prepare(choices []choice) ([]answered, error) {
	sections := make([]answered, len(choices))
	sent := transportLog(choices)
	v.steering = newSteering(v.session, sent)
	for i, ch := range choices {
		sections[i] = answered{media: ch.media, codec: ch.codec}
		if ch.key.broadcast == "" {
			continue
		}
		h, err := v.edge.egress.hold(ch.key, ch.rungs)
		if errors.Is(err, relay.ErrNotFound) {
			return nil, fmt.Errorf("%w: %w", ErrNotLive, err)
		}
		if err != nil {
			return nil, err
		}
		t := newViewerTrack(ch.media, ch.codec, sent)
		t.swap(h)
		v.tracks = append(v.tracks, t)
		v.steering.steer(t)
		sections[i].track = t
	}
	return sections, nil
}

// transportLog returns where to remember what is sent to a viewer: nil unless it
// reports the arrival of all of it (draft-holmer-rmcat-transport-wide-cc-extensions-01).
func transportLog(choices []choice) *bwe.Log {
	for _, ch := range choices {
		if ch.key.broadcast != "" && !ch.transportCC() {
			return nil
		}
	}
	return bwe.NewLog(time.Now())
}

func (ch choice) transportCC() bool {
	return ch.media.extension(stream.TransportCCURI) != 0 && slices.Contains(ch.codec.feedback, "transport-cc")
}

// begin joins the lanes: media can flow.
func (v *viewing) begin() {
	v.session.isUp()
	v.left.Store(int32(len(v.all()))) //nolint:gosec // a handful
	for _, t := range v.all() {
		v.follow(t)
	}
	context.AfterFunc(v.session.ctx, v.leave)
}

// all returns the tracks that there are now.
func (v *viewing) all() []*viewerTrack {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.tracks)
}

// leave takes the viewer off its lanes.
func (v *viewing) leave() {
	v.mu.Lock()
	for _, t := range v.tracks {
		if t.stop != nil {
			t.stop()
		}
	}
	v.mu.Unlock()
	for _, t := range v.all() {
		if t.viewer != nil {
			t.hold().leave(t.viewer)
		}
	}
}

// follow puts a viewer on the lane that its track holds, until that ends.
func (v *viewing) follow(t *viewerTrack) {
	h := t.hold()
	t.viewer.aim = v.steering.rejoin(t, time.Now())
	t.joined.Store(true)
	h.join(t.viewer)
	stop := context.AfterFunc(h.life, func() { v.session.tasks.run(func() { v.goOn(t, h) }) })
	v.mu.Lock()
	t.stop = stop
	dropped := t.dropped
	v.mu.Unlock()
	if dropped { // meanwhile
		stop()
		h.leave(t.viewer)
	}
}

// goOn moves a viewer to the lane where its track goes on. When the track breaks
// off, because another publisher took the name or this one was lost, the viewer
// waits for it. Once all tracks have ended the session does.
func (v *viewing) goOn(t *viewerTrack, h *laneHold) {
	if errors.Is(h.err, io.EOF) { // the publisher ended it
		v.ended()
		return
	}
	next, err := v.edge.resume(v.session.ctx, h.key, v.session.log)
	if err != nil {
		v.session.log.Debug("track does not go on", slog.String("codec", h.key.codec.String()), slog.Any("err", err))
		v.ended()
		return
	}
	t.joined.Store(false)
	t.viewer.move() // it is ours again: the lane has ended
	v.mu.Lock()
	if t.dropped {
		v.mu.Unlock()
		v.edge.egress.release(next)
		return
	}
	before := t.swap(next)
	v.mu.Unlock()
	v.edge.egress.release(before)
	v.follow(t)
}

// ended counts the tracks that have ended.
func (v *viewing) ended() {
	if v.left.Add(-1) == 0 && !v.stays {
		v.session.end(ErrNothingLeft)
	}
}

// resume waits for a track to go on, with the same codec: nothing else could be
// sent to a viewer that has negotiated.
func (e *Edge) resume(ctx context.Context, key laneKey, log *slog.Logger) (*laneHold, error) {
	ctx, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	watch := e.cfg.Table.WatchAnnounced(wire.Prefix(key.broadcast))
	defer watch.Close()
	for {
		event, err := watch.Next(ctx)
		switch {
		case err != nil:
			return nil, err
		case !event.Active || event.Name != key.broadcast:
			continue
		}
		audio := key.codec.Audio()
		c, err := e.readCatalog(ctx, key.broadcast, audio, !audio)
		all := renditionsOf(c, key)
		if err == nil && len(all) == 0 {
			err = errNoLayer(key)
		}
		if err == nil {
			return e.egress.hold(key, all) //nolint:contextcheck // a lane outlives the viewer that it was opened for
		}
		log.Debug("resume", slog.Any("err", err))
	}
}

// resumeTimeout is how long viewers of a broadcast that broke off wait for it to
// go on, before they are told that it is over.
const resumeTimeout = 10 * time.Second

// finish lets go of the lanes.
func (v *viewing) finish(error) {
	v.mu.Lock()
	v.over = true
	v.mu.Unlock()
	v.leave() // whoever was moved meanwhile
	for _, t := range v.all() {
		v.steering.forget(t)
		v.edge.egress.release(t.hold())
	}
}
