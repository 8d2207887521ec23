package fanout

import (
	"fmt"
	"html"
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
	return Measurement{
		Peer: peer, Viewers: viewers, Round: len(valid),
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
		us, ok := r.median(Ours, n)
		if !ok {
			continue
		}
		r.Medians = append(r.Medians, us)
		for _, peer := range r.Config.Peers {
			if them, ok := r.median(peer, n); ok {
				r.Medians = append(r.Medians, them)
				goal(fmt.Sprintf("%s / ours, CPU per packet, %d viewers", peer, n), them.NsPerPacket/us.NsPerPacket, 2.5, true)
			}
		}
		goal(fmt.Sprintf("memory per viewer, kB, %d viewers", n), us.RSSKB, 200, false)
		goal(fmt.Sprintf("CPU of a join, ms, %d viewers", n), us.JoinMs, 4, false)
		if n >= 500 {
			goal(fmt.Sprintf("cores, %d viewers", n), us.Cores, 0.5*float64(n)/500, false)
			goal(fmt.Sprintf("p99, ms, %d viewers", n), us.P99Ms, 50, false)
		}
	}
}

// maxRegression is how much of a ratio to a peer may be lost before that is called
// a regression: these machines are shared, and rounds differ by a tenth.
const maxRegression = 0.2

// Regressions compares the CPU per packet, as a ratio to a peer of the same run,
// with an earlier report. Figures of different machines compare as ratios only.
func (r *Report) Regressions(earlier *Report) (worse []string) {
	for i := range r.Medians {
		them := &r.Medians[i]
		now, ok := r.ratio(them.Peer, them.Viewers)
		was, had := earlier.ratio(them.Peer, them.Viewers)
		if them.Peer != Ours && ok && had && now < was*(1-maxRegression) {
			worse = append(worse, fmt.Sprintf("%s / ours, %d viewers: %.2f, was %.2f", them.Peer, them.Viewers, now, was))
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
	line("MEASURED: %s; load before: %s; %.1f Mbit/s in %s; %d rounds of %v, in turns; medians",
		r.Machine, r.LoadAverage, float64(r.Config.Bitrate)/1e6, shape, r.Config.Rounds, r.Config.Slice)
	line("%-12s %7s %6s %12s %7s %10s %9s %8s %8s %7s %6s", "server", "viewers", "rounds", "ns/packet", "cores", "kB/viewer", "join ms", "p50 ms", "p99 ms", "lost %", "load")
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
	line("")
	for _, m := range r.Measurements {
		if m.Invalid == "" {
			line("BenchmarkFanout/server=%s/viewers=%d 1 %.0f ns/packet %.4f cores %.0f rss-kB/viewer %.2f p99-ms",
				m.Peer, m.Viewers, m.NsPerPacket, m.Cores, m.RSSKB, m.P99Ms)
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

// HTML is a page that needs nothing from elsewhere.
func (r *Report) HTML() []byte {
	var b strings.Builder
	b.WriteString(`<!doctype html><meta charset="utf-8"><title>What a viewer costs</title>
<style>body{font:15px system-ui;max-width:60em;margin:2em auto;padding:0 1em}svg{width:100%;height:auto}pre{overflow:auto;background:#f4f4f4;padding:1em}</style>
<h1>What a WebRTC viewer costs</h1>`)
	for _, plot := range []struct {
		title string
		of    func(*Measurement) float64
	}{
		{"CPU per forwarded packet, ns", func(m *Measurement) float64 { return m.NsPerPacket }},
		{"Latency from when a frame was due to its last packet, p99, ms", func(m *Measurement) float64 { return m.P99Ms }},
		{"Memory per viewer, kB", func(m *Measurement) float64 { return m.RSSKB }},
	} {
		fmt.Fprintf(&b, "<h2>%s</h2>%s", html.EscapeString(plot.title), r.plot(plot.of))
	}
	fmt.Fprintf(&b, "<pre>%s</pre>", html.EscapeString(r.Text()))
	return []byte(b.String())
}

// plot draws a bar for each median, and a dot for each round.
func (r *Report) plot(of func(*Measurement) float64) string {
	const row, left, width = 26, 190, 700
	most := 0.0
	for i := range r.Measurements {
		most = max(most, of(&r.Measurements[i]))
	}
	if most == 0 {
		most = 1
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img">`, left+width+80, row*len(r.Medians)+4)
	for i := range r.Medians {
		m := &r.Medians[i]
		y, color := i*row+4, "#b9c2cc"
		if m.Peer == Ours {
			color = "#3b7dd8"
		}
		fmt.Fprintf(&b, `<text x="0" y="%d" font-size="14">%s, %d viewers</text><rect x="%d" y="%d" width="%.1f" height="18" fill="%s"/><text x="%.1f" y="%d" font-size="13">%.4g</text>`,
			y+14, html.EscapeString(m.Peer), m.Viewers, left, y, of(m)/most*width, color, left+of(m)/most*width+6, y+14, of(m))
		for j := range r.Measurements {
			if x := &r.Measurements[j]; x.Peer == m.Peer && x.Viewers == m.Viewers {
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%d" r="3" fill="#222"/>`, left+of(x)/most*width, y+9)
			}
		}
	}
	b.WriteString("</svg>")
	return b.String()
}
