package rtc

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"trellis/edge/rtc/stream"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

// ingest turns what one publisher sends into a broadcast. It is the upstream of
// that broadcast: the catalog is served when asked for, media tracks are pushed.
type ingest struct {
	// Fixed at construction.
	edge     *Edge
	session  *Session
	log      *slog.Logger
	timeline *stream.Timeline
	catalog  *catalog
	pc       *webrtc.PeerConnection // set in prepare

	mu        sync.Mutex
	broadcast *relay.Broadcast // nil before the first packet
	stop      func() bool      // of the watch on the broadcast's end
	tracks    []*ingestTrack
}

var (
	_ relay.Upstream          = (*ingest)(nil)
	_ relay.KeyframeRequester = (*ingest)(nil)
	_ relay.Refresher         = (*ingest)(nil)
)

func newIngest(e *Edge, s *Session, audio, video bool) *ingest {
	return &ingest{
		edge: e, session: s, log: s.log, timeline: stream.NewTimeline(),
		catalog: newCatalog(e.cfg.CatalogWait, audio, video, s.log),
	}
}

// prepare sets up the peer connection before it is negotiated.
func (in *ingest) prepare(pc *webrtc.PeerConnection) error {
	in.pc = pc
	pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		in.session.tasks.run(func() { in.receive(t, r) })
	})
	return nil
}

// receive runs one track of the publisher until it ends.
func (in *ingest) receive(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	if err := in.run(t, r); err != nil {
		in.session.end(err)
	}
}

func (in *ingest) run(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) error {
	inbound, err := stream.NewInbound(stream.InboundConfig{
		Track: t, Receiver: r, Timeline: in.timeline, WriteRTCP: in.pc.WriteRTCP, Log: in.log,
	})
	if err != nil {
		return err
	}
	b, err := in.announce()
	if err != nil {
		return err
	}
	tr := &ingestTrack{ingest: in, broadcast: b, inbound: inbound, rid: t.RID()}
	if err := tr.open(inbound.Codec()); err != nil {
		return err
	}
	in.mu.Lock()
	in.tracks = append(in.tracks, tr)
	in.mu.Unlock()
	in.log.Info("track published", slog.String("track", tr.name), slog.String("codec", inbound.Codec().String()))
	inbound.Run(tr)
	tr.close()
	return nil
}

// announce makes the broadcast known, once.
func (in *ingest) announce() (*relay.Broadcast, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.broadcast != nil {
		return in.broadcast, nil
	}
	b, err := in.edge.cfg.Table.Announce(relay.Announcement{
		Name: in.session.broadcast, PublisherID: 1 + rand.Uint64N(1<<53-1), Origin: in.edge.cfg.Origin, Local: true,
	}, in)
	if err != nil {
		return nil, err
	}
	in.broadcast = b
	in.stop = in.session.endWith(b)
	return b, nil
}

// finish withdraws the broadcast once the session is over.
func (in *ingest) finish(cause error) {
	in.catalog.close()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.broadcast == nil {
		return
	}
	in.stop()
	if errors.Is(cause, ErrHungUp) || errors.Is(cause, ErrClosed) || errors.Is(cause, ErrExpired) {
		cause = nil
	}
	in.broadcast.End(cause)
}

// OpenTrack implements relay.Upstream: it serves the catalog. Media tracks exist
// from the moment they are in the catalog; others never do.
func (in *ingest) OpenTrack(t *relay.Track) {
	if t.Name().Track == hang.CatalogTrack {
		in.catalog.serve(t)
		return
	}
	t.Close(fmt.Errorf("track %s: %w", t.Name(), relay.ErrNotFound))
}

// RequestKeyframe implements relay.KeyframeRequester.
func (in *ingest) RequestKeyframe(t *relay.Track) { in.askKeyframe(t, keyframeDemand) }

// Refresh implements relay.Refresher.
func (in *ingest) Refresh(t *relay.Track) { in.askKeyframe(t, keyframeFresh) }

func (in *ingest) askKeyframe(t *relay.Track, reason keyframeReason) {
	in.mu.Lock()
	i := slices.IndexFunc(in.tracks, func(it *ingestTrack) bool { return it.isTrack(t) })
	var it *ingestTrack
	if i >= 0 {
		it = in.tracks[i]
	}
	in.mu.Unlock()
	if it != nil {
		it.askKeyframe(reason)
	}
}

// stallAfter is how long a layer may bring no frame while another does, before
// viewers are told not to choose it: browsers stop sending what their uplink does
// not carry.
const stallAfter = 1500 * time.Millisecond

// listen notes that a video layer brings frames, and which others do not.
func (in *ingest) listen(t *ingestTrack, now time.Time) {
	if t.codec.Audio() {
		return
	}
	ms := now.UnixMilli()
	was := t.heard.Swap(ms)
	if t.stalled.Swap(false) {
		in.catalog.stall(t.name, false)
	}
	if ms/250 == was/250 {
		return // not with every frame
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, o := range in.tracks {
		last := o.heard.Load()
		if o == t || last == 0 || ms-last < stallAfter.Milliseconds() || o.stalled.Swap(true) {
			continue
		}
		o.mu.Lock()
		name := o.name
		o.mu.Unlock()
		in.log.Info("layer stalled", slog.String("track", name))
		in.catalog.stall(name, true)
	}
}

// sendPLI asks the publisher for a key frame: RFC 4585, Section 6.3.1.
func (in *ingest) sendPLI(ssrc uint32) {
	if err := in.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}}); err != nil {
		in.log.Debug("ask for key frame", slog.Any("err", err))
	}
}

// status returns the tracks for the API.
func (in *ingest) status() []IngestStatus {
	in.mu.Lock()
	defer in.mu.Unlock()
	all := make([]IngestStatus, 0, len(in.tracks))
	for _, t := range in.tracks {
		all = append(all, t.status())
	}
	return all
}

// mediaInfo describes a track that we make.
func mediaInfo(k wire.Kind) wire.TrackInfo {
	return wire.TrackInfo{
		Kind: k, Priority: k.DefaultPriority(), MaxLatency: maxLatency, Timescale: wire.MicrosecondTimescale,
	}
}
