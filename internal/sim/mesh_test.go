package sim

import (
	"testing"
	"time"

	"trellis/internal/impair"
	"trellis/internal/node"
)

// triangle is three regions of which two are nearer to each other by way of the
// third, and one way between the others.
var triangle = map[[2]string]time.Duration{
	{"eu-west", "us-east"}:        35 * ms,
	{"ap-southeast", "eu-west"}:   80 * ms,
	{"ap-southeast", "us-east"}:   150 * ms,
	{"camera", "us-east"}:         ms / 4,
	{"ap-southeast", "viewer"}:    ms / 4,
	{"ap-southeast", "viewer 2"}:  ms / 4,
	{"us-east", "somewhere else"}: 5 * ms,
}

func triangular(from, to string) impair.Config {
	if from > to {
		from, to = to, from
	}
	return impair.Config{Delay: triangle[[2]string{from, to}]}
}

// TestMesh: three nodes whose clocks disagree by seconds. Media takes the faster
// way round, every node knows how old it is although no two clocks agree, and when
// a link on the way is cut, viewers go on by the other.
func TestMesh(t *testing.T) {
	nodes := []NodeSpec{
		{ID: "us-east"},
		{ID: "eu-west", ClockOffset: 3 * time.Second},
		{ID: "ap-southeast", ClockOffset: -2 * time.Second},
	}
	onNetwork(t, 10, triangular, nodes, func(tb *testBackbone) {
		const around = 115 * ms
		p := tb.publishMoQ("camera", "us-east", "room/camera", Clip{})
		tb.sleep(10 * time.Second) // until the links have been measured
		w := tb.watchMoQ("viewer", "ap-southeast", p)
		tb.sleep(2 * time.Second)
		from := time.Now()
		tb.sleep(15 * time.Second)
		to := time.Now()
		tb.sleep(500 * ms)
		for _, m := range []Media{Video, Audio} {
			got := tb.wantComplete("viewer", p, w, m, from, to)
			if p50 := Quantile(got, 0.5); p50 < around || p50 > around+3*ms {
				tb.Errorf("%v: the median age is %v, want %v and little more", m, p50, around)
			}
		}
		track := tb.track("ap-southeast", VideoTrack)
		if track.Parent != "eu-west" {
			tb.Errorf("ap-southeast takes the video from %q, want eu-west", track.Parent)
		}
		// What the node says of ages is right, although its clock and that of the
		// origin are 2 s apart: to what the probes of two links are out by.
		if age := track.Age; age.Count == 0 || age.Unsynchronised > 0 || age.P50Ms < 110 || age.P50Ms > 125 {
			tb.Errorf("ap-southeast says that the video's age is %+v, want about 115 ms", age)
		}

		cut := time.Now()
		tb.must(tb.SetDown("ap-southeast", "eu-west", true))
		tb.sleep(5 * time.Second)
		// The subscription goes on where it was: nothing is missing.
		resumed := time.Now().Add(-time.Second)
		for _, m := range []Media{Video, Audio} {
			got := tb.wantComplete("viewer", p, w, m, to, resumed)
			silence := longestSilence(got)
			if silence > time.Second {
				tb.Errorf("%v: nothing came for %v when the link was cut", m, silence)
			}
			tb.Logf("%v, simulated: longest silence %v; age p50 %v, p99 %v in the last second", m, silence,
				Quantile(Between(got, cut.Add(3*time.Second), resumed), 0.5), Quantile(Between(got, cut.Add(3*time.Second), resumed), 0.99))
		}
		tb.must(w.Stop())
		tb.must(p.Stop())
	})
}

// track returns what a node says of a track of the one broadcast.
func (tb *testBackbone) track(id, name string) node.TrackStatus {
	tb.Helper()
	status, err := tb.Node(id).Status(tb.Context())
	tb.must(err)
	for _, b := range status.Broadcasts {
		for _, track := range b.Tracks {
			if track.Name == name {
				return track
			}
		}
	}
	tb.Fatalf("node %s does not carry %s", id, name)
	return node.TrackStatus{}
}

// longestSilence is the longest time between arrivals.
func longestSilence(arrivals []Arrival) time.Duration {
	var longest time.Duration
	for i := 1; i < len(arrivals); i++ {
		longest = max(longest, arrivals[i].At.Sub(arrivals[i-1].At))
	}
	return longest
}
