package client

import (
	"context"
	"fmt"
	"time"

	"trellis/edge/framing"
	"trellis/edge/whip/whipclient"
	"trellis/internal/media"
)

// whipSink publishes by WHIP.
type whipSink struct{ *whipclient.Publisher }

func dialWHIP(ctx context.Context, c Connection, tracks []*playTrack) (sink, error) {
	cfg := whipclient.PublishConfig{Config: c.whip()}
	for _, t := range tracks {
		s := whipclient.Source{Codec: t.info.Codec}
		if s.Codec == framing.H264 {
			s.H264Profile = fmt.Sprintf("%02x%02x%02x", t.desc.Profile, t.desc.Constraints, t.desc.Level)
		}
		cfg.Tracks = append(cfg.Tracks, s)
	}
	p, err := whipclient.Publish(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return whipSink{p}, nil
}

// Begin implements sink: a WHIP session announces itself.
func (whipSink) Begin(time.Time) error { return nil }

func (s whipSink) Write(i int, f media.Frame) error {
	return s.Publisher.Write(i, whipclient.Frame{PTS: f.PTS, Key: f.Key, Data: f.Data})
}
