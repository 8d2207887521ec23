package moq

import (
	"sync"
	"testing"
	"time"

	"trellis/internal/impair"
	"trellis/internal/telemetry"
	"trellis/wire/moqlite"
)

// Two pictures, one of which the viewer wants more, on a path that carries one and
// a half: the other is paused, with the reason, and comes back when there is room.
func TestPicturesThatMatterLessArePaused(t *testing.T) {
	const (
		rate  = 25
		bytes = 6000 // in a frame: 1.2 Mbit/s
	)
	decisions := telemetry.NewEvents(100)
	run(t, func(c *Config) { c.Decisions = decisions }, func(e *env) {
		publisher := e.client(5, "/")
		cameras := []*camera{e.camera(publisher, "room/a"), e.camera(publisher, "room/b")}
		addr := e.free[0].LocalAddr()
		e.narrow(addr, impair.Config{RateBps: 1_800_000, QueueBytes: 100_000})
		viewer := e.client(5, "/")
		e.announced(viewer, "", "room/a")
		var mu sync.Mutex
		got := [2]int{}
		var readers sync.WaitGroup
		ctx := e.timeout(2 * time.Minute)
		for i, priority := range []uint8{1, 9} {
			sub := e.subscribe(viewer, []string{"room/a", "room/b"}[i], "video/hd",
				moqlite.Delivery{Priority: priority, MaxLatency: 500 * time.Millisecond})
			readers.Go(func() {
				for {
					if _, err := sub.Next(ctx); err != nil {
						return
					}
					mu.Lock()
					got[i]++
					mu.Unlock()
				}
			})
		}
		film := func(d time.Duration) (less, more float64) {
			mu.Lock()
			got = [2]int{}
			mu.Unlock()
			frames := int(d.Seconds() * rate)
			for n := range frames {
				for _, c := range cameras {
					c.frame(n%rate == 0, bytes)
				}
				e.sleep(time.Second / rate)
			}
			mu.Lock()
			defer mu.Unlock()
			return float64(got[0]) / float64(frames), float64(got[1]) / float64(frames)
		}
		film(8 * time.Second)
		less, more := film(12 * time.Second)
		if more < 0.95 || less > 0.5 {
			t.Errorf("on the narrow path %.0f %% of the picture that matters came, and %.0f %% of the other", 100*more, 100*less)
		}
		if n := e.metric("groups_dropped_total", "paused"); n == 0 {
			t.Error("no group is counted as paused")
		}
		events, _ := decisions.Since(0)
		if len(events) == 0 || events[0].Reason != "starved" || events[0].Track != "room/a:video/hd" {
			t.Errorf("decisions: %+v", events)
		}

		e.narrow(addr, impair.Config{})
		film(30 * time.Second)
		if less, more = film(5 * time.Second); less < 0.95 || more < 0.95 {
			t.Errorf("on the wide path %.0f and %.0f %% of the pictures came", 100*less, 100*more)
			events, _ = decisions.Since(0)
			t.Logf("decisions: %+v", events)
		}
		for _, c := range cameras {
			c.broadcast.Close()
		}
		_ = viewer.Close()
		readers.Wait()
		e.router.late.Wait()
	})
}
