package demo

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"trellis/edge/framing"
	"trellis/internal/client"
	"trellis/internal/clip"
)

// filmRetry is how long the film rests when its session ended.
const filmRetry = time.Second

// runFilm publishes the film at a site until ctx ends, again and again if the
// session ends: by its token's expiry, if nothing else.
func runFilm(ctx context.Context, cfg Config, at *site, t tokens) error {
	log := cfg.Log.With(slog.String("broadcast", broadcast))
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		if err := publishFilm(ctx, cfg, at, t); err != nil && ctx.Err() == nil {
			log.Warn("the film's session ended, it will begin again", slog.Any("err", err))
		}
		timer.Reset(filmRetry)
	}
}

func publishFilm(ctx context.Context, cfg Config, at *site, t tokens) error {
	token, err := t.forFilm(time.Now())
	if err != nil {
		return err
	}
	raw := at.url("/whip/" + broadcast)
	if cfg.Via == client.MoQ {
		raw = at.url("/" + broadcast)
	}
	target, err := client.ParseTarget(raw, cfg.Via)
	if err != nil {
		return err
	}
	sources := make([]client.Source, 0, 2)
	for _, codec := range []framing.Codec{framing.H264, framing.Opus} {
		loop, err := clip.Load(codec)
		if err != nil {
			return fmt.Errorf("load the film: %w", err)
		}
		sources = append(sources, client.EndlessSource("clip", loop))
	}
	_, err = client.Publish(ctx, client.PublishConfig{
		Connection: client.Connection{Target: target, Token: token, Log: cfg.Log},
		Sources:    sources,
	})
	return err
}
