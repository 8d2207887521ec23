//go:build e2e

package fanout

import (
	"os"
	"testing"
	"time"

	"trellis/internal/livekit"
)

// TestLiveKit: our viewers get everything from a real livekit-server.
func TestLiveKit(t *testing.T) {
	dir := os.Getenv("TRELLIS_LIVEKIT")
	if _, err := livekit.Find(dir); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const viewers, slice = 10, 2 * time.Second
	r, err := Run(t.Context(), Config{
		Load: Load{Bitrate: 1_000_000}, Viewers: []int{viewers}, Peers: []string{LiveKit}, Rounds: 1, Slice: slice, LiveKit: dir, Self: []string{self},
	})
	if err != nil {
		t.Fatal(err)
	}
	// 50 packets of sound, and 30 frames of four packets at least, a second.
	const least = viewers * (50 + 30*4) * 2 * 9 / 10
	for i := range r.Measurements {
		m := &r.Measurements[i]
		t.Logf("%s: %d packets, p50 %.2f ms, p99 %.2f ms, %.0f ns/packet, %.0f kB/viewer", m.Peer, m.Packets, m.P50Ms, m.P99Ms, m.NsPerPacket, m.RSSKB)
		if m.Packets < least || m.LostPercent > 0 || m.Latency.total == 0 || m.NsPerPacket <= 0 || m.RSSKB <= 0 {
			t.Errorf("%s: want %d packets or more, none lost: %+v", m.Peer, least, m)
		}
	}
}
