package whip_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/edge/whip/whipclient"
	"trellis/internal/impair"
	"trellis/internal/relay"
	"trellis/wire"
)

// heightOf is the height that a frame has, or the one before if it is no key frame.
func heightOf(f whipclient.Received, before int) int {
	if !f.Key || len(f.Data) < 10 {
		return before
	}
	return int(f.Data[8]) | int(f.Data[9])<<8 // RFC 6386, Section 9.1
}

// shownHeights has a publisher with three layers and a viewer on a path that changes,
// and returns the height of what the viewer gets, second by second.
func shownHeights(t *testing.T, d time.Duration, path ...pathChange) (heights []int, encodes string) {
	t.Helper()
	return shownBeside(t, d, 0, path...)
}

// shownBeside is that with as many others who are sent the largest layer, anywhere.
func shownBeside(t *testing.T, d time.Duration, others int, path ...pathChange) (heights []int, encodes string) {
	t.Helper()
	var line *narrow
	inWorld(t, func(c *rtc.Config, _ *whip.Config) {
		link, err := impair.NewLink(impair.Config{}, rand.New(rand.NewPCG(3, 4)))
		if err != nil {
			t.Fatal(err)
		}
		line = &narrow{PacketConn: c.UDP, link: link}
		c.UDP = line
	}, func(w *world) {
		t := w.t
		b := newBrowser(w, nil)
		ctx, cancel := context.WithCancel(t.Context())
		b.wg.Go(func() { b.run(ctx) })
		time.Sleep(10 * time.Second)
		if others > 0 {
			sub, err := w.table.Subscribe(wire.TrackName{Broadcast: "room/alice", Track: "video/f"}, relay.SubscribeOptions{Viewers: others})
			w.must(err)
			defer sub.Close()
		}
		w.patience = time.Second
		line.set(path[0].Config)
		player := w.play(framing.VP8)
		began := time.Now()
		for _, p := range path[1:] {
			time.AfterFunc(p.after, func() { line.set(p.Config) })
		}
		var got []whipclient.Received
		var viewers sync.WaitGroup
		collect(player, &got, &viewers)
		time.Sleep(d)
		encodes = b.encodes()
		if others > 0 && b.limited() < 1_800_000 {
			w.t.Errorf("the publisher is limited to %v", b.limited())
		}
		w.must(player.Close(context.WithoutCancel(ctx)))
		viewers.Wait()
		cancel()
		w.must(b.pc.GracefulClose())
		b.wg.Wait()
		heights = make([]int, d/time.Second)
		height := 0
		for _, f := range got {
			height = heightOf(f, height)
			if s := int(f.Arrival.Sub(began) / time.Second); s >= 0 && s < len(heights) {
				heights[s] = height
			}
		}
	})
	return heights, encodes
}

// TestPublisherFitsItsViewer: a viewer whose path does not carry the largest layer as it is gets
// one that takes less, with losses, too, and all of it once the path is wide.
func TestPublisherFitsItsViewer(t *testing.T) {
	for _, loss := range []float64{0, 0.02} {
		heights, encodes := shownHeights(t, 60*time.Second,
			pathChange{0, impair.Config{RateBps: mbit, Loss: impair.Independent(loss)}}, pathChange{40 * time.Second, impair.Config{RateBps: 5 * mbit}})
		for i, h := range heights {
			if i > 12 && h != 720 {
				t.Errorf("at %g loss, after %d s the picture has %d lines: %v", loss, i, h, heights)
				break
			}
		}
		if encodes != "qhf" {
			t.Errorf("%q is encoded", encodes)
		}
	}
}

// TestPublisherFitsTheWidest: what another viewer is sent, who may be anywhere, is not
// made less for one whose path is narrow.
func TestPublisherFitsTheWidest(t *testing.T) {
	heights, encodes := shownBeside(t, 30*time.Second, 1, pathChange{0, impair.Config{RateBps: mbit}})
	if encodes != "qhf" || slices.Contains(heights[5:], 720) {
		t.Errorf("%q is encoded; the picture has %v lines", encodes, heights)
	}
}

// limited returns what the publisher was limited to last.
func (b *browser) limited() float32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit
}
