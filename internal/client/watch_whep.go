package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"trellis/edge/whip/whipclient"
)

// whepFeed receives by WHEP.
type whepFeed struct{ player *whipclient.Player }

// dialWHEP connects. A node that takes nobody may name another one, which is then
// asked, once. With wait, it waits for a broadcast that is not live yet.
func dialWHEP(ctx context.Context, c Connection, only kinds, wait bool) (feed, error) {
	cfg := whipclient.PlayConfig{Config: c.whip(), NoAudio: only.noAudio, NoVideo: only.noVideo}
	for {
		p, err := whipclient.Play(ctx, cfg)
		var status *whipclient.StatusError
		if errors.As(err, &status) && status.Alternate != "" {
			other := cfg
			other.URL = status.Alternate
			p, err = whipclient.Play(ctx, other)
		}
		if err == nil {
			return whepFeed{p}, nil
		}
		pause, again := retryAfter(err)
		if !again || !wait {
			return nil, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

// retryAfter says whether a refusal means that the broadcast is not there yet, and
// how long to wait before asking again.
func retryAfter(err error) (time.Duration, bool) {
	const usual = 500 * time.Millisecond
	var status *whipclient.StatusError
	if !errors.As(err, &status) {
		return 0, false
	}
	switch status.Status {
	case http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable:
		return max(min(status.RetryAfter, time.Second), usual), true
	}
	return 0, false
}

func (w whepFeed) Next(ctx context.Context) (received, error) {
	f, err := w.player.Next(ctx)
	switch {
	case errors.Is(err, io.EOF):
		return received{}, errWHEPOver
	case err != nil:
		return received{}, err
	}
	r := received{codec: f.Codec, pts: f.PTS.Microseconds(), key: f.Key, data: f.Data, arrived: f.Arrival}
	switch {
	case f.Aged:
		r.made, r.madeFrom = f.Arrival.Add(-f.Age), AgeFromCaptureTime
	case !f.Captured.IsZero():
		r.made, r.madeFrom = f.Captured, AgeFromIngressTime
	default:
		r.madeFrom = Unsynchronised
	}
	return r, nil
}

func (w whepFeed) Losses(audio bool) transportLosses {
	stats := w.player.VideoStats()
	if audio {
		stats = w.player.AudioStats()
	}
	return transportLosses{packets: stats.Lost}
}

func (w whepFeed) Close(ctx context.Context) error { return w.player.Close(ctx) }
