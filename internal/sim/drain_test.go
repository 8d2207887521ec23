package sim

import (
	"os"
	"strconv"
	"testing"
	"time"

	"trellis/internal/impair"
	"trellis/internal/node"
)

// twoRelays is an origin and an edge that are joined by two relays: by way of "left"
// it is 20 ms, by way of "right" 30 ms.
func twoRelays() ([]NodeSpec, func(from, to string) impair.Config) {
	relays := []string{"left", "right"}
	ends := []string{"origin", "edge"}
	nodes := []NodeSpec{{ID: "origin", Peers: relays}, {ID: "left", Peers: ends}, {ID: "right", Peers: ends}, {ID: "edge", Peers: relays}}
	return nodes, func(from, to string) impair.Config {
		switch {
		case from == "left" || to == "left":
			return impair.Config{Delay: 10 * ms, RateBps: 200_000_000}
		case from == "right" || to == "right":
			return impair.Config{Delay: 15 * ms, RateBps: 200_000_000}
		}
		return access
	}
}

// TestDrains drains the relay that carries a broadcast, again and again, under
// load: nothing is lost, nothing comes twice, and no viewer waits for a frame more
// than 50 ms longer than it would anyway. TRELLIS_DRAINS says how often
// (go run ./bench/drain).
func TestDrains(t *testing.T) {
	drains := 4
	if text := os.Getenv("TRELLIS_DRAINS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("TRELLIS_DRAINS is %q, want a number", text)
		}
		drains = n
	}
	nodes, path := twoRelays()
	onNetwork(t, 31, path, nodes, func(tb *testBackbone) {
		const maxAdded = 50 * ms
		moq := tb.publishMoQ("camera", "origin", "room/camera", Clip{})
		whip := tb.publishWHIP("browser", "origin", "room/browser", Clip{})
		tb.sleep(5 * time.Second)
		type viewer struct {
			name string
			w    *Watch
			p    *Publication
		}
		viewers := []viewer{
			{"moq to moq", tb.watchMoQ("viewer 1", "edge", moq), moq},
			{"moq to whep", tb.watchWHEP("viewer 2", "edge", moq), moq},
			{"whip to moq", tb.watchMoQ("viewer 3", "edge", whip), whip},
			{"whip to whep", tb.watchWHEP("viewer 4", "edge", whip), whip},
		}
		tb.sleep(3 * time.Second)
		quiet := time.Now()
		tb.sleep(3 * time.Second)
		from := time.Now()
		moved := 0
		for i := range drains {
			relay := tb.track("edge", VideoTrack).Parent
			if relay != "left" && relay != "right" {
				tb.Fatalf("drain %d: the edge takes the video from %q", i, relay)
			}
			status, err := tb.Node(relay).Drain(tb.Context(), 10*time.Second)
			tb.must(err)
			for range 100 {
				if status.State != node.Draining {
					break
				}
				tb.sleep(50 * ms)
				status, err = tb.Node(relay).DrainStatus(tb.Context())
				tb.must(err)
			}
			if status.State != node.Drained || status.Ended != (node.Remaining{}) {
				tb.Errorf("drain %d of %s: %+v", i, relay, status)
			}
			if now := tb.track("edge", VideoTrack).Parent; now != relay {
				moved++
			}
			tb.sleep(200 * ms)
			_, err = tb.Node(relay).Undrain(tb.Context())
			tb.must(err)
			tb.sleep(time.Second)
		}
		to := time.Now()
		tb.sleep(2 * time.Second)
		if moved != drains {
			tb.Errorf("%d of %d drains moved the video", moved, drains)
		}
		lost, twice, added := 0, 0, time.Duration(0)
		for _, v := range viewers {
			for _, m := range []Media{Video, Audio} {
				usual := longestSilence(Between(v.w.Arrivals(m), quiet, from))
				got := tb.wantComplete(v.name, v.p, v.w, m, from, to)
				lost += len(Missing(got))
				twice += repeated(got)
				more := longestSilence(got) - usual
				if added = max(added, more); more > maxAdded {
					tb.Errorf("%s, %v: %v without a frame, %v longer than without drains", v.name, m, longestSilence(got), more)
				}
			}
			tb.must(v.w.Stop())
		}
		if twice > 0 {
			tb.Errorf("%d frames came twice", twice)
		}
		tb.Logf("simulated: %d drains under load, %d moved the video: %d objects lost, %d twice, added gap at most %v (limit %v)",
			drains, moved, lost, twice, added, maxAdded)
		tb.must(moq.Stop())
		tb.must(whip.Stop())
	})
}

// repeated counts frames that came more than once.
func repeated(arrivals []Arrival) int {
	seen, n := map[int]bool{}, 0
	for _, a := range arrivals {
		if seen[a.Frame] {
			n++
		}
		seen[a.Frame] = true
	}
	return n
}
