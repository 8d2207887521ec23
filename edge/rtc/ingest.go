package rtc

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"

	"github.com/pion/rtcp"

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
	onDemand func([]LayerDemand) // nil: the publisher is told by RTCP
	streams  int                 // of video, as offered
	from     *reception          // set in begin

	mu        sync.Mutex
	broadcast *relay.Broadcast // nil before the first packet
	stop      func() bool      // of the watch on the broadcast's end
	tracks    []*ingestTrack

	meter ingestDemand
}

var (
	_ relay.Upstream          = (*ingest)(nil)
	_ relay.KeyframeRequester = (*ingest)(nil)
	_ relay.Refresher         = (*ingest)(nil)
)

func newIngest(e *Edge, s *Session, audio, video bool, streams int, onDemand func([]LayerDemand)) *ingest {
	return &ingest{
		edge: e, session: s, streams: streams, onDemand: onDemand, log: s.log, timeline: stream.NewTimeline(),
		catalog: newCatalog(e.cfg.CatalogWait, audio, video, s.log),
		meter:   ingestDemand{poke: make(chan struct{}, 1)},
	}
}

// begin takes what a publisher sends, from the time when it may.
func (in *ingest) begin(r *reception) {
	in.from = r
	in.session.tasks.run(in.meet)
}

// add makes the track of a stream that has begun.
func (in *ingest) add(inbound *stream.Inbound, rid string) (*ingestTrack, error) {
	b, err := in.announce()
	if err != nil {
		return nil, err
	}
	tr := &ingestTrack{ingest: in, broadcast: b, inbound: inbound, rid: rid, codec: inbound.Codec()}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.tracks = append(in.tracks, tr)
	return tr, nil
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

func (in *ingest) askKeyframe(track *relay.Track, reason keyframeReason) {
	t, l := in.find(track)
	if l == nil {
		return
	}
	if l.mute.Load() {
		in.want(l) // it is not sent just now; when it is, it begins with a key frame
		return
	}
	t.askKeyframe(reason)
}

// find returns who writes a relay track.
func (in *ingest) find(track *relay.Track) (*ingestTrack, *ingestLayer) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, t := range in.tracks {
		if l := t.find(track); l != nil {
			return t, l
		}
	}
	return nil, nil
}

// sendPLI asks the publisher for a key frame: RFC 4585, Section 6.3.1.
func (in *ingest) sendPLI(ssrc uint32) {
	if err := in.from.writeRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{SenderSSRC: in.from.ssrc, MediaSSRC: ssrc}}); err != nil {
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
