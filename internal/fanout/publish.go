package fanout

import (
	"context"
	"fmt"
	"time"

	"trellis/edge/whip/whipclient"
)

// picture is a layer of what is published: how tall it is, and the bytes of a frame.
type picture struct{ height, size int }

// publish writes each frame when it is due, in turn by whichever is due first: that of
// all layers of the picture, which are the publisher's first tracks, or the sound's,
// which is the next. on is told when a frame of the picture was due, before it is
// written.
func publish(ctx context.Context, p *whipclient.Publisher, every time.Duration, layers []picture, on func(due time.Time)) error {
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var buf []byte
	var pictures, sounds int
	lastKey := -gop
	for {
		pts, sound := time.Duration(pictures)*every, false
		if at := time.Duration(sounds) * audioEvery; at < pts {
			pts, sound = at, true
		}
		due := start.Add(pts)
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return nil
		case <-p.Done():
			return fmt.Errorf("the publisher's session ended: %w", p.Err())
		case <-timer.C:
		}
		if sound {
			sounds++
			buf = audioFrame(buf, due)
			if err := p.Write(len(layers), whipclient.Frame{PTS: pts, Key: true, Data: buf}); err != nil {
				return err
			}
			continue
		}
		pictures++
		key := pts-lastKey >= gop
		select {
		case <-p.KeyframeRequests(): // as encoders do
			key = true
		default:
		}
		if key {
			lastKey = pts
		}
		on(due)
		for i, l := range layers {
			buf = videoFrame(buf, key, l.height, due, l.size)
			if err := p.Write(i, whipclient.Frame{PTS: pts, Key: key, Data: buf}); err != nil {
				return err
			}
		}
	}
}
