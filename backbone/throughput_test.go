package backbone_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
)

// throughputCase is a long link that loses packets which no queue has dropped.
type throughputCase struct {
	loss    float64
	lanes   int // at most, for video
	cameras int // of 2.5 Mbit/s
	length  time.Duration
}

// throughput is what a link carried in the second half of a run.
type throughput struct {
	mbps  float64 // of pictures that arrived, whole or in part
	lanes int     // for video, at the end
}

// TestLaneThroughput shows what a link over 150 ms of round trip carries with one
// lane for video, and with as many as it chooses. The figures are simulated. With
// TRELLIS_LANES=full in the environment all cases run for two minutes each.
func TestLaneThroughput(t *testing.T) {
	cases := []throughputCase{{0.01, 1, 4, 30 * time.Second}, {0.01, 7, 4, 50 * time.Second}}
	if os.Getenv("TRELLIS_LANES") == "full" {
		cases = nil
		for _, loss := range []float64{0, 0.001, 0.01} {
			for _, lanes := range []int{1, 7} {
				cases = append(cases, throughputCase{loss, lanes, 16, 2 * time.Minute})
			}
		}
	}
	one := map[float64]throughput{}
	for _, tc := range cases {
		var got throughput
		t.Run(fmt.Sprintf("loss=%v/lanes=%d", tc.loss, tc.lanes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { got = measureThroughput(t, tc) })
		})
		offered := 2.5 * float64(tc.cameras)
		t.Logf("simulated: 150 ms round trip, %.1f %% loss, %.0f Mbit/s offered: %.1f Mbit/s over %d of at most %d lanes for video",
			100*tc.loss, offered, got.mbps, got.lanes, tc.lanes)
		if tc.lanes == 1 {
			one[tc.loss] = got
			continue
		}
		if base := one[tc.loss].mbps; base < 0.8*offered && got.mbps < min(1.5*base, 0.9*offered) {
			t.Errorf("%.1f Mbit/s over %d lanes, %.1f over one", got.mbps, got.lanes, base)
		}
	}
}

func measureThroughput(t *testing.T, tc throughputCase) throughput {
	t.Helper()
	c := newCluster(t)
	defer c.close()
	path := pathSpec{delay: 75 * time.Millisecond, rateBps: 200e6, loss: tc.loss}
	nodes := c.chain(2, path, func(_ int, s *nodeSpec) { s.maxLanes, s.warmUpBytes = tc.lanes+1, 768<<10 })
	b, first := nodes[0].publish("room/alice", "video-0", wire.KindVideo)
	tracks := []*relay.Track{first}
	for i := 1; i < tc.cameras; i++ {
		tr, err := b.PushTrack(fmt.Sprintf("video-%d", i), wire.TrackInfo{Kind: wire.KindVideo, Priority: wire.PriorityVideo, Timescale: 1_000_000})
		if err != nil {
			t.Fatal(err)
		}
		tracks = append(tracks, tr)
	}
	c.start()
	nodes[1].waitFor("room/alice")
	time.Sleep(2 * time.Second)
	stop := make(chan struct{})
	done := make(chan uint64)
	var views []*viewer
	for i, tr := range tracks {
		views = append(views, nodes[1].view("room/alice", fmt.Sprintf("video-%d", i)))
		go func() {
			time.Sleep(time.Duration(i) * 61 * time.Millisecond) // key frames do not come all at once
			done <- nodes[0].stream(tr, 30, 10_400, 33*time.Millisecond, stop)
		}()
	}
	time.Sleep(tc.length / 2)
	before := nodes[1].status().Links[0].In["video"].Bytes
	time.Sleep(tc.length / 2)
	bytes := nodes[1].status().Links[0].In["video"].Bytes - before
	lanes := nodes[0].status().Links[0].Lanes - 1
	if t.Failed() || os.Getenv("TRELLIS_LANES") != "" {
		t.Log(grep(nodes[0].log.String(), "lane"))
	}
	close(stop)
	for range tracks {
		<-done
	}
	for _, v := range views {
		v.stop()
	}
	return throughput{mbps: float64(bytes) * 8 / (tc.length / 2).Seconds() / 1e6, lanes: lanes}
}

// grep returns the lines that contain a word.
func grep(text, word string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}
