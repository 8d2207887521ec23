package fanout

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is the outcome of a comparison.
type Report struct {
	Began        time.Time     `json:"began"`
	Config       Config        `json:"config"`
	Machine      string        `json:"machine"`
	LoadAverage  string        `json:"load_average"`
	Measurements []Measurement `json:"measurements"`
	Medians      []Measurement `json:"medians"`
	Goals        []Goal        `json:"goals"`
}

// Goal is a figure with what it should be.
type Goal struct {
	Name  string  `json:"name"`
	Got   float64 `json:"got"`
	Want  float64 `json:"want"`
	Least bool    `json:"at_least"` // else at most
	Met   bool    `json:"met"`
}

func newReport(cfg Config) *Report {
	load, _ := os.ReadFile("/proc/loadavg") // nowhere but on Linux
	return &Report{
		Began: time.Now().UTC().Truncate(time.Second), Config: cfg, LoadAverage: strings.TrimSpace(string(load)),
		Machine: fmt.Sprintf("%d processors, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
	}
}

// median of the valid rounds; ok is false if there is none.
func (r *Report) median(peer string, viewers int) (m Measurement, ok bool) {
	var valid []Measurement
	for _, x := range r.Measurements {
		if x.Peer == peer && x.Viewers == viewers && x.Invalid == "" {
			valid = append(valid, x)
		}
	}
	if len(valid) == 0 {
		return m, false
	}
	of := func(f func(*Measurement) float64) float64 {
		all := make([]float64, len(valid))
		for i := range valid {
			all[i] = f(&valid[i])
		}
		slices.Sort(all)
		return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	}
	all := &Histogram{}
	for i := range valid {
		if valid[i].Latency != nil { // files of earlier versions have none
			all.Merge(valid[i].Latency)
		}
	}
	return Measurement{
		Latency: all,
		Peer:    peer, Viewers: viewers, Round: len(valid),
		NsPerPacket: of(func(x *Measurement) float64 { return x.NsPerPacket }),
		Cores:       of(func(x *Measurement) float64 { return x.Cores }),
		RSSKB:       of(func(x *Measurement) float64 { return x.RSSKB }),
		JoinMs:      of(func(x *Measurement) float64 { return x.JoinMs }),
		P50Ms:       of(func(x *Measurement) float64 { return x.P50Ms }),
		P99Ms:       of(func(x *Measurement) float64 { return x.P99Ms }),
		LostPercent: of(func(x *Measurement) float64 { return x.LostPercent }),
		LoadCores:   of(func(x *Measurement) float64 { return x.LoadCores }),
		Packets:     uint64(of(func(x *Measurement) float64 { return float64(x.Packets) })),
	}, true
}

// conclude works out medians and goals.
func (r *Report) conclude() {
	r.Medians, r.Goals = nil, nil
	goal := func(name string, got, want float64, least bool) {
		r.Goals = append(r.Goals, Goal{name, got, want, least, least && got >= want || !least && got <= want})
	}
	for _, n := range r.Config.Viewers {
		for _, server := range r.servers() {
			if m, ok := r.median(server, n); ok {
				r.Medians = append(r.Medians, m)
			}
		}
		us, ok := r.median(Ours, n)
		if !ok {
			continue
		}
		for _, peer := range r.Config.Peers {
			them, ok := r.median(peer, n)
			if !ok {
				continue
			}
			if r.Config.Kind == MoQ {
				goal(fmt.Sprintf("ours / %s, CPU per 1200 B, %d viewers", peer, n), us.NsPerPacket/them.NsPerPacket, 2, false)
				continue
			}
			goal(fmt.Sprintf("%s / ours, CPU per packet, %d viewers", peer, n), them.NsPerPacket/us.NsPerPacket, r.Config.cheaper(peer), true)
			if peer == LiveKit {
				goal(fmt.Sprintf("ours / %s, p99, %d viewers", peer, n), us.P99Ms/them.P99Ms, r.Config.sooner(), false)
			}
		}
		if r.Config.Kind == MoQ || r.Config.Kind == Mixed {
			continue // the other goals are for viewers over WebRTC
		}
		goal(fmt.Sprintf("memory per viewer, kB, %d viewers", n), us.RSSKB, 200, false)
		goal(fmt.Sprintf("CPU of a join, ms, %d viewers", n), us.JoinMs, 4, false)
		if n >= 500 {
			goal(fmt.Sprintf("cores, %d viewers", n), us.Cores, 0.5*float64(n)/500, false)
			goal(fmt.Sprintf("p99, ms, %d viewers", n), us.P99Ms, 50, false)
		}
	}
}

// cheaper is how many times as much a packet should cost a peer at least. Viewers
// with GRO take over much of the kernel's part, which is the same for all servers.
func (c *Config) cheaper(peer string) float64 {
	switch {
	case peer == LiveKit && c.GRO:
		return 5
	case peer == LiveKit:
		return 4
	case c.GRO:
		return 3.5
	}
	return 2.5
}

// sooner is which share of livekit-server's p99 ours should have at most. Packets
// that come one by one leave nothing to gain by sending many at once.
func (c *Config) sooner() float64 {
	if c.Paced {
		return 1
	}
	return 1.0 / 3
}

// maxRegression is how much of a ratio to a peer may be lost before that is called
// a regression: these machines are shared, and rounds differ by a tenth.
const maxRegression = 0.2

// Regressions compares the CPU per packet, as a ratio to a peer of the same run,
// with an earlier report. Figures of different machines compare as ratios only.
func (r *Report) Regressions(earlier *Report) (worse []string) {
	for _, n := range r.Config.Viewers {
		for _, peer := range r.Config.Peers {
			now, ok := r.ratio(peer, n)
			was, had := earlier.ratio(peer, n)
			switch {
			case !had:
			case !ok:
				worse = append(worse, fmt.Sprintf("%s / ours, %d viewers: no valid rounds, was %.2f", peer, n, was))
			case now < was*(1-maxRegression):
				worse = append(worse, fmt.Sprintf("%s / ours, %d viewers: %.2f, was %.2f", peer, n, now, was))
			}
		}
	}
	return worse
}

// ratio is how many times as much a packet costs a peer as us.
func (r *Report) ratio(peer string, viewers int) (float64, bool) {
	us, ok := r.median(Ours, viewers)
	them, there := r.median(peer, viewers)
	return them.NsPerPacket / us.NsPerPacket, ok && there
}

// Text is for terminals and for benchstat.
func (r *Report) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	shape := "bursts of 30 frames a second"
	if r.Config.Paced {
		shape = "evenly paced packets"
	}
	line("MEASURED: %s; load before: %s; %s viewers, %.1f Mbit/s in %s; %d rounds of %v, in turns; medians",
		r.Machine, r.LoadAverage, r.Config.Kind, float64(r.Config.Bitrate)/1e6, shape, r.Config.Rounds, r.Config.Slice)
	unit := "ns/packet"
	if r.Config.Kind == MoQ {
		unit = "ns/1200 B"
	}
	line("%-12s %7s %6s %12s %7s %10s %9s %8s %8s %7s %6s", "server", "viewers", "rounds", unit, "cores", "kB/viewer", "join ms", "p50 ms", "p99 ms", "lost %", "load")
	for _, m := range r.Medians {
		line("%-12s %7d %6d %12.0f %7.3f %10.0f %9.2f %8.2f %8.2f %7.3f %6.2f",
			m.Peer, m.Viewers, m.Round, m.NsPerPacket, m.Cores, m.RSSKB, m.JoinMs, m.P50Ms, m.P99Ms, m.LostPercent, m.LoadCores)
	}
	for _, g := range r.Goals {
		line("%s %s: %.2f, want %s %.2f", verdict(g.Met), g.Name, g.Got, bound(g.Least), g.Want)
	}
	for _, m := range r.Measurements {
		if m.Invalid != "" {
			line("INVALID %s, %d viewers, round %d: %s", m.Peer, m.Viewers, m.Round+1, m.Invalid)
		}
	}
	for _, n := range r.Config.Viewers {
		for _, peer := range r.servers() {
			if _, ok := r.median(peer, n); !ok {
				line("NO FIGURE for %s, %d viewers: no round is valid", peer, n)
			}
		}
	}
	line("")
	b.WriteString(r.Benchmarks())
	return b.String()
}

// servers are ours and the peers.
func (r *Report) servers() []string { return append([]string{Ours}, r.Config.Peers...) }

// Benchmarks has a line for each valid round in the format of Go's benchmarks, for
// benchstat.
func (r *Report) Benchmarks() string {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\n", runtime.GOOS, runtime.GOARCH)
	for i := range r.Measurements {
		if m := &r.Measurements[i]; m.Invalid == "" {
			fmt.Fprintf(&b, "BenchmarkFanout/server=%s/viewers=%d 1 %.0f ns/packet %.4f cores %.0f rss-kB/viewer %.3f join-ms %.2f p50-ms %.2f p99-ms\n",
				m.Peer, m.Viewers, m.NsPerPacket, m.Cores, m.RSSKB, m.JoinMs, m.P50Ms, m.P99Ms)
		}
	}
	return b.String()
}

func verdict(met bool) string {
	if met {
		return "met  "
	}
	return "SHORT"
}

func bound(least bool) string {
	if least {
		return "at least"
	}
	return "at most"
}
