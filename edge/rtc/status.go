package rtc

import (
	"cmp"
	"slices"
	"time"

	"trellis/edge/rtc/stream"
)

// Status is the edge as GET /v1/status shows it.
type Status struct {
	Publishers []PublisherStatus `json:"publishers"`
	Viewers    int               `json:"viewers"`
	Lanes      []LaneStatus      `json:"lanes"`
}

// PublisherStatus is a session that publishes.
type PublisherStatus struct {
	Broadcast string         `json:"broadcast"`
	Identity  string         `json:"identity"`
	Connected bool           `json:"connected"`
	Since     time.Time      `json:"since"`
	Tracks    []IngestStatus `json:"tracks"`
}

// IngestStatus is a track that is received from a publisher.
type IngestStatus struct {
	// Track is the name of the stream's track, or the beginning of its layers' names.
	Track  string          `json:"track"`
	Codec  string          `json:"codec"`
	Layers []IngestedLayer `json:"layers,omitempty"`
	// KeyframeRequests counts what the publisher was asked for, by reason.
	KeyframeRequests map[string]uint64 `json:"keyframe_requests"`
	stream.InboundStats
}

// IngestedLayer is a track that is made of a stream: the whole of it, or a layer.
type IngestedLayer struct {
	Track      string `json:"track"`
	BitrateBps uint64 `json:"bitrate_bps"`
	// Stalled: the publisher does not send it though it may. Held: it was told not to,
	// because nobody wants it.
	Stalled bool `json:"stalled"`
	Held    bool `json:"held"`
}

// LaneStatus is a track that is sent to viewers, or could be: a layer.
type LaneStatus struct {
	Broadcast string `json:"broadcast"`
	Track     string `json:"track"`
	Codec     string `json:"codec"`
	Viewers   uint64 `json:"viewers"`
	Objects   uint64 `json:"objects"`
	Packets   uint64 `json:"packets"`
	Bytes     uint64 `json:"bytes"`
	// BitrateBps is what the layer takes of a viewer's path.
	BitrateBps uint64 `json:"bitrate_bps"`
	// Resent counts packets that viewers asked for again, Restarts viewers that
	// were sent the cached group again, KeyframeRequests what went upstream.
	Resent           uint64 `json:"resent"`
	Restarts         uint64 `json:"restarts"`
	KeyframeRequests uint64 `json:"keyframe_requests"`
	// Capture says what viewers are told as the time of capture: "publisher" for that, on the
	// publisher's clock, "ingress" for the time when a frame entered the backbone, "unknown"
	// for nothing.
	Capture string `json:"capture"`
	// FirstMileMs is the time from capture until ingress, where that is known, and
	// FirstMileErrorMs bounds its error, zero if nothing does.
	FirstMileMs      float64 `json:"first_mile_ms,omitempty"`
	FirstMileErrorMs float64 `json:"first_mile_error_ms,omitempty"`
}

// Status returns the sessions and lanes, sorted by name.
func (e *Edge) Status() Status {
	s := Status{Publishers: []PublisherStatus{}, Lanes: e.egress.status()}
	e.mu.Lock()
	sessions := make([]*Session, 0, len(e.sessions))
	for _, sess := range e.sessions {
		sessions = append(sessions, sess)
	}
	e.mu.Unlock()
	for _, sess := range sessions {
		if sess.role == RoleViewer {
			s.Viewers++
			continue
		}
		s.Publishers = append(s.Publishers, PublisherStatus{
			Broadcast: string(sess.broadcast), Identity: sess.identity, Connected: sess.isConnected(),
			Since: sess.created, Tracks: sess.ingest.status(),
		})
	}
	slices.SortFunc(s.Publishers, func(a, b PublisherStatus) int {
		return cmp.Or(cmp.Compare(a.Broadcast, b.Broadcast), a.Since.Compare(b.Since))
	})
	return s
}

func (t *ingestTrack) status() IngestStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := IngestStatus{
		Track: t.base(), Codec: t.codec.String(), KeyframeRequests: map[string]uint64{}, InboundStats: t.inbound.Stats(),
	}
	for _, l := range t.layers {
		s.Layers = append(s.Layers, IngestedLayer{
			Track: l.name, BitrateBps: l.bps.Load(), Stalled: l.stalled.Load(), Held: l.mute.Load(),
		})
	}
	for r, n := range t.count {
		if n > 0 {
			s.KeyframeRequests[keyframeReason(r).String()] = n
		}
	}
	return s
}

func (e *egress) status() []LaneStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]LaneStatus, 0, len(e.lanes))
	for k, h := range e.lanes {
		for _, la := range *h.rungs.Load() {
			c := &la.stats
			s := LaneStatus{
				Broadcast: string(k.broadcast), Track: la.name, Codec: k.codec.String(), BitrateBps: la.bps.Load(),
				Viewers: c.viewers.Load(), Objects: c.objects.Load(), Packets: c.packets.Load(), Bytes: c.bytes.Load(),
				Resent: c.resent.Load(), Restarts: c.restarts.Load(), KeyframeRequests: c.keyframes.Load(),
			}
			la.captured.status(&s)
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b LaneStatus) int {
		return cmp.Or(cmp.Compare(a.Broadcast, b.Broadcast), cmp.Compare(a.Track, b.Track))
	})
	return all
}
