package fanout

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the processes of a comparison.
func TestMain(m *testing.M) {
	if len(os.Args) < 4 {
		os.Exit(m.Run())
	}
	var err error
	switch ctx := context.Background(); os.Args[1] {
	case ServerCommand:
		var l Load
		if l, err = ParseLoad(os.Args[4]); err == nil {
			err = RunServer(ctx, os.Args[2], os.Args[3], l, os.Stdin, os.Stdout)
		}
	case LoadCommand:
		var l Load
		if l, err = ParseLoad(os.Args[4]); err == nil {
			err = RunLoad(ctx, l, os.Args[2], os.Args[3], os.Stdin, os.Stdout)
		}
	case SoakLoadCommand:
		var l SoakLoad
		if err = json.Unmarshal([]byte(os.Args[3]), &l); err == nil {
			err = RunSoakLoad(ctx, l, os.Args[2], os.Stdin, os.Stdout)
		}
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestComparison: real viewers of both servers get everything, in time that can be
// told, and the report has it. Figures are not judged here.
func TestComparison(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Config{
		Load: Load{Kind: WebRTC, Bitrate: 1_000_000, Arrivals: true, Light: true, GRO: runtime.GOOS == "linux"}, Viewers: []int{3}, Peers: []string{"plain-pion"}, Rounds: 1, Slice: 500 * time.Millisecond,
		Self: []string{self},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Measurements) != 2 || r.Measurements[0].Peer != Ours || r.Measurements[1].Peer != "plain-pion" {
		t.Fatalf("measured %+v", r.Measurements)
	}
	for i := range r.Measurements {
		m := &r.Measurements[i]
		if m.Packets < 100 || m.P99Ms <= 0 || m.LostPercent > 0 {
			t.Errorf("%s: %d packets, p99 %.2f ms, %.2f %% lost", m.Peer, m.Packets, m.P99Ms, m.LostPercent)
		}
		m.Invalid = "" // the machine may be as slow as it likes
	}
	r.conclude()
	for _, want := range []string{"MEASURED", "plain-pion / ours, CPU per packet, 3 viewers", "BenchmarkFanout/server=ours/viewers=3 1 "} {
		if !strings.Contains(r.Text(), want) {
			t.Errorf("the text lacks %q:\n%s", want, r.Text())
		}
	}
	if page := string(r.HTML()); strings.Count(page, "<svg") != 5 || strings.Contains(page, "http") {
		t.Error("the page lacks its plots, or wants something from elsewhere")
	}
}

// TestStreams: viewers over WebTransport, and those of quic-go alone, get everything.
func TestStreams(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for kind, peers := range map[Kind][]string{MoQ: {QUICBulk, QUICFrames}, Mixed: nil} {
		r, err := Run(t.Context(), Config{
			Load: Load{Kind: kind, Bitrate: 1_000_000}, Viewers: []int{4}, Peers: peers, Rounds: 1, Slice: 500 * time.Millisecond,
			Self: []string{self},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Measurements) != 1+len(peers) {
			t.Fatalf("measured %+v", r.Measurements)
		}
		for i := range r.Measurements {
			m := &r.Measurements[i]
			if m.Packets < 100 || m.LostPercent > 0 || m.Peer == Ours && m.P99Ms <= 0 {
				t.Errorf("%s, %s: %d packets, p99 %.2f ms, %.2f %% lost", kind, m.Peer, m.Packets, m.P99Ms, m.LostPercent)
			}
			m.Invalid = ""
		}
		r.conclude()
		if text := r.Text(); kind == MoQ && !strings.Contains(text, "ours / quic-bulk, CPU per 1200 B, 4 viewers") {
			t.Errorf("the text lacks the goal:\n%s", text)
		}
	}
}

// TestWrongPeer: what there is not is said before anything is started.
func TestWrongPeer(t *testing.T) {
	_, err := Run(t.Context(), Config{Load: Load{Kind: WebRTC}, Peers: []string{"nobody"}})
	if err == nil || !strings.Contains(err.Error(), "plain-pion") {
		t.Errorf("got %v", err)
	}
}

// TestMedians: invalid rounds do not count, and goals are judged in their direction.
func TestMedians(t *testing.T) {
	r := &Report{Config: Config{Viewers: []int{500}, Peers: []string{"plain-pion"}}}
	for i, ns := range []float64{5000, 1000, 3000, 9000} {
		m := Measurement{Peer: Ours, Viewers: 500, NsPerPacket: ns, Cores: 0.4, P99Ms: 60, RSSKB: 100, JoinMs: 2}
		if i == 3 {
			m.Invalid = "late"
		}
		r.Measurements = append(r.Measurements, m, Measurement{Peer: "plain-pion", Viewers: 500, NsPerPacket: 9000})
	}
	r.conclude()
	got := map[string]bool{}
	for _, g := range r.Goals {
		got[g.Name] = g.Met
	}
	want := map[string]bool{
		"plain-pion / ours, CPU per packet, 500 viewers": true, "memory per viewer, kB, 500 viewers": true,
		"CPU of a join, ms, 500 viewers": true, "cores, 500 viewers": true, "p99, ms, 500 viewers": false,
	}
	if len(r.Medians) != 2 || r.Medians[0].NsPerPacket != 3000 || r.Medians[0].Round != 3 {
		t.Errorf("medians %+v", r.Medians)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("goals %v, want %v", got, want)
	}
}

// TestInvalid: what does not count is said, in the text and in the plots, and that
// nothing is left.
func TestInvalid(t *testing.T) {
	r := &Report{Config: Config{Viewers: []int{100}, Peers: []string{LiveKit}}}
	h := &Histogram{}
	h.Add(3 * time.Millisecond)
	r.Measurements = []Measurement{
		{Peer: Ours, Viewers: 100, NsPerPacket: 2000, P99Ms: 4, Latency: h},
		{Peer: LiveKit, Viewers: 100, NsPerPacket: 16000, P99Ms: 20, Invalid: "the publisher was 12.0 ms late (p99)"},
	}
	r.conclude()
	for _, want := range []string{
		"INVALID livekit, 100 viewers, round 1: the publisher was 12.0 ms late (p99)\n",
		"NO FIGURE for livekit, 100 viewers: no round is valid\n",
	} {
		if !strings.Contains(r.Text(), want) {
			t.Errorf("the text lacks %q:\n%s", want, r.Text())
		}
	}
	if len(r.Medians) != 1 || strings.Contains(r.Text(), "livekit / ours") || strings.Contains(r.Benchmarks(), "livekit") {
		t.Error("an invalid round counts")
	}
	if page := string(r.HTML()); !strings.Contains(page, `stroke="#c22"`) {
		t.Error("the page does not mark the invalid round")
	}
}

// TestGoals: livekit-server is to be further behind than plain pion, less so when
// viewers take over the kernel's part or nothing can be sent together.
func TestGoals(t *testing.T) {
	for _, c := range []struct {
		load Load
		want string
	}{
		{Load{}, "livekit 4.0 plain 2.5 p99 0.33"},
		{Load{GRO: true}, "livekit 5.0 plain 3.5 p99 0.33"},
		{Load{Paced: true}, "livekit 4.0 plain 2.5 p99 1.00"},
	} {
		cfg := Config{Load: c.load}
		if got := fmt.Sprintf("livekit %.1f plain %.1f p99 %.2f", cfg.cheaper(LiveKit), cfg.cheaper(PlainPion), cfg.sooner()); got != c.want {
			t.Errorf("%+v: %s, want %s", c.load, got, c.want)
		}
	}
}

// TestRegressions: only a ratio that is clearly smaller counts, whatever the
// machine's speed.
func TestRegressions(t *testing.T) {
	report := func(ours, plain float64) *Report {
		r := &Report{Config: Config{Viewers: []int{100}, Peers: []string{"plain-pion"}}}
		r.Measurements = []Measurement{{Peer: Ours, Viewers: 100, NsPerPacket: ours}, {Peer: "plain-pion", Viewers: 100, NsPerPacket: plain}}
		r.conclude()
		return r
	}
	recorded := report(2000, 8000)
	for _, c := range []struct {
		ours, plain float64
		worse       int
	}{{4000, 16000, 0}, {2000, 6600, 0}, {2000, 6000, 1}, {1000, 9000, 0}} {
		if got := report(c.ours, c.plain).Regressions(recorded); len(got) != c.worse {
			t.Errorf("%v against %v: %q", c.ours, c.plain, got)
		}
	}
	invalid := report(2000, 8000)
	invalid.Measurements[0].Invalid = "late"
	if got := invalid.Regressions(recorded); len(got) != 1 {
		t.Errorf("nothing valid to compare: %q", got)
	}
}
