package moqlite

import (
	"time"

	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// Track asks what a track is like (05):
//
//	TRACK { broadcast str, track str }
type Track struct {
	Broadcast string
	Name      string
}

// Append writes the body of TRACK.
func (m Track) Append(b []byte, _ Version) []byte {
	return appendString(appendString(b, m.Broadcast), m.Name)
}

// ParseTrack reads the body of TRACK.
func ParseTrack(b []byte, _ Version) (Track, error) {
	c := cursor{b: b}
	m := Track{Broadcast: c.path("track broadcast"), Name: c.string("track name")}
	if err := c.end("track"); err != nil {
		return Track{}, err
	}
	return m, nil
}

// TrackInfo answers TRACK, once for the life of the track (05):
//
//	TRACK_INFO { priority u8, ordered bool, max_latency_ms varint, timescale varint }
type TrackInfo struct {
	Priority   uint8
	Ordered    bool
	MaxLatency time.Duration // in whole milliseconds on the wire
	Timescale  uint64        // units per second, never zero
}

// Append writes the body of TRACK_INFO.
func (m TrackInfo) Append(b []byte, _ Version) []byte {
	b = appendBool(append(b, m.Priority), m.Ordered)
	return quicvarint.Append(appendMillis(b, m.MaxLatency), m.Timescale)
}

// ParseTrackInfo reads the body of TRACK_INFO.
func ParseTrackInfo(b []byte, _ Version) (TrackInfo, error) {
	c := cursor{b: b}
	m := TrackInfo{
		Priority:   c.u8("track info priority"),
		Ordered:    c.bool("track info ordered"),
		MaxLatency: c.millis("track info max_latency"),
		Timescale:  c.varint("track info timescale"),
	}
	if err := c.end("track info"); err != nil {
		return TrackInfo{}, err
	}
	if m.Timescale == 0 {
		return TrackInfo{}, protocolErrorf(wire.CodeProtocol, "track info: timescale zero")
	}
	return m, nil
}
