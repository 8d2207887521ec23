package client

import (
	"time"

	"trellis/internal/media"
)

// publishStats counts what was published.
type publishStats struct {
	target Target
	setup  time.Duration
	first  time.Time
	last   time.Time
	tracks []publishTrackStats

	reconnects int
	skipped    int64 // frames, while there was no connection
}

type publishTrackStats struct {
	kind, codec, source string

	objects, keys, bytes int64
	firstPTS, lastPTS    time.Duration
	late                 durations
}

func newPublishStats(target Target, tracks []*playTrack) *publishStats {
	s := &publishStats{target: target}
	for _, t := range tracks {
		s.tracks = append(s.tracks, publishTrackStats{
			kind: kindOf(t.info.Codec.Audio()), codec: t.desc.String(), source: t.source.Name, late: newDurations(),
		})
	}
	return s
}

func kindOf(audio bool) string {
	if audio {
		return "audio"
	}
	return "video"
}

func (s *publishStats) connected(d time.Duration) { s.setup = d }

func (s *publishStats) wrote(i int, f media.Frame, late time.Duration, now time.Time) {
	if s.first.IsZero() {
		s.first = now
	}
	s.last = now
	t := &s.tracks[i]
	if t.objects == 0 {
		t.firstPTS = f.PTS
	}
	t.lastPTS = f.PTS
	t.objects++
	t.bytes += int64(len(f.Data))
	if f.Key {
		t.keys++
	}
	t.late.add(late)
}

func (s *publishStats) report() PublishReport {
	r := PublishReport{
		Protocol: s.target.Protocol, URL: s.target.Endpoint, Broadcast: string(s.target.Broadcast),
		ConnectMs: toMs(s.setup), Reconnects: s.reconnects, Skipped: s.skipped, DurationS: s.last.Sub(s.first).Seconds(), Tracks: []PublishedTrack{},
	}
	for _, t := range s.tracks {
		r.Tracks = append(r.Tracks, PublishedTrack{
			Kind: t.kind, Codec: t.codec, Source: t.source, Objects: t.objects, KeyFrames: t.keys, Bytes: t.bytes,
			FrameRate: rate(t.objects-1, t.lastPTS-t.firstPTS), LatenessMs: t.late.percentiles(),
		})
	}
	return r
}
