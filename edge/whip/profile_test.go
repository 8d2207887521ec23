package whip_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"trellis/edge/framing"
	"trellis/edge/whip/whipclient"
)

// TestWithoutGCM: who has none but the profile that all must have publishes, as
// encoders do that are no browsers.
func TestWithoutGCM(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		b := offerBrowser(w, nil, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
		b.connect()
		ctx, cancel := context.WithCancel(w.t.Context())
		b.wg.Go(func() { b.run(ctx) })
		time.Sleep(time.Second) // until it is on air
		player := w.play(framing.VP8)
		var got []whipclient.Received
		var viewers sync.WaitGroup
		collect(player, &got, &viewers)
		time.Sleep(3 * time.Second)
		w.must(player.Close(context.WithoutCancel(ctx)))
		viewers.Wait()
		cancel()
		w.must(b.pc.GracefulClose())
		b.wg.Wait()
		if len(got) < 2*layerRate {
			t.Errorf("the viewer got %d pictures in three seconds", len(got))
		}
	})
}
