package fanout

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// HTML is a page that needs nothing from elsewhere.
func (r *Report) HTML() []byte {
	var b strings.Builder
	b.WriteString(`<!doctype html><meta charset="utf-8"><title>What a viewer costs</title>
<style>body{font:15px system-ui;max-width:60em;margin:2em auto;padding:0 1em}svg{width:100%;height:auto;font:13px system-ui}pre{overflow:auto;background:#f4f4f4;padding:1em}</style>
<h1>What a WebRTC viewer costs</h1>
<p>Bars are medians, dots single rounds, lines their range; a red ring is a round that is INVALID and does not count.</p>`)
	for _, plot := range []struct {
		title string
		of    func(*Measurement) float64
	}{
		{"CPU per forwarded packet, ns", func(m *Measurement) float64 { return m.NsPerPacket }},
		{"Latency from when a frame was due to its last packet, p99, ms", func(m *Measurement) float64 { return m.P99Ms }},
		{"Memory per viewer, kB", func(m *Measurement) float64 { return m.RSSKB }},
		{"CPU of a join, ms", func(m *Measurement) float64 { return m.JoinMs }},
	} {
		fmt.Fprintf(&b, "<h2>%s</h2>%s", html.EscapeString(plot.title), r.bars(plot.of))
	}
	fmt.Fprintf(&b, "<h2>Latency by percentile, all valid rounds, ms</h2>%s", r.percentiles())
	if len(r.Config.Viewers) > 1 {
		fmt.Fprintf(&b, "<h2>Cores by audience</h2>%s", r.audiences(func(m *Measurement) float64 { return m.Cores }))
		fmt.Fprintf(&b, "<h2>CPU per packet by audience, ns</h2>%s", r.audiences(func(m *Measurement) float64 { return m.NsPerPacket }))
	}
	fmt.Fprintf(&b, "<pre>%s</pre>", html.EscapeString(r.Text()))
	return []byte(b.String())
}

// color of a server, everywhere the same.
func (r *Report) color(server string) string {
	for i, name := range r.servers() {
		if name == server {
			return []string{"#3b7dd8", "#8a95a1", "#d9822b", "#5a9e5a"}[i%4]
		}
	}
	return "#000"
}

// bars draws a bar for each median, a line for the range of the rounds, and a dot
// for each.
func (r *Report) bars(of func(*Measurement) float64) string {
	const row, left, width = 26, 190, 700
	most := 0.0
	for i := range r.Measurements {
		most = max(most, of(&r.Measurements[i]))
	}
	if most <= 0 {
		most = 1
	}
	at := func(v float64) float64 { return left + max(v, 0)/most*width }
	var b strings.Builder
	rows := 0
	for _, n := range r.Config.Viewers {
		for _, server := range r.servers() {
			y := rows*row + 4
			rows++
			fmt.Fprintf(&b, `<text x="0" y="%d" font-size="14">%s, %d viewers</text>`, y+14, html.EscapeString(server), n)
			m, ok := r.median(server, n)
			if ok {
				fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="18" fill="%s"/>`, left, y, at(of(&m))-left, r.color(server))
			}
			end := r.rounds(&b, server, n, y+9, at, of)
			if ok {
				fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`, max(end, at(of(&m)))+8, y+14, short(of(&m)))
			}
		}
	}
	return fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img">%s</svg>`, left+width+90, row*rows+4, b.String())
}

// short has three digits or more.
func short(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// rounds draws the rounds of a bar, and returns how far they reach.
func (r *Report) rounds(b *strings.Builder, server string, viewers, y int, at func(float64) float64, of func(*Measurement) float64) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for i := range r.Measurements {
		m := &r.Measurements[i]
		if m.Peer != server || m.Viewers != viewers {
			continue
		}
		x := at(of(m))
		if m.Invalid != "" {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%d" r="4" fill="none" stroke="#c22" stroke-width="1.5"/>`, x, y)
			continue
		}
		low, high = min(low, x), max(high, x)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%d" r="3" fill="#222"/>`, x, y)
	}
	if low < high {
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#222"/>`, low, high, y, y)
	}
	return high
}

// percentiles draws the latency of each server and audience: the axis of shares
// gives each further nine the same room, that of time is logarithmic.
func (r *Report) percentiles() string {
	const left, width, height, nines = 50, 760, 300, 4
	low, high := math.Inf(1), math.Inf(-1)
	for i := range r.Medians {
		if h := r.Medians[i].Latency; h != nil && h.total > 0 {
			low, high = min(low, h.Quantile(0).Seconds()), max(high, h.max.Seconds())
		}
	}
	if low > high {
		return "<p>No latency was measured.</p>"
	}
	low = max(low, 1e-5)
	high = max(high, low*2)
	x := func(share float64) float64 { return left - math.Log10(1-share)/nines*width }
	y := func(seconds float64) float64 {
		return 10 + height*(1-math.Log(max(seconds, low)/low)/math.Log(high/low))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img">`, left+width+190, height+40)
	for _, tick := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999} {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="10" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%g %%</text>`,
			x(tick), x(tick), height+10, x(tick), height+28, 100*tick)
	}
	for decade := math.Floor(math.Log10(low)); decade <= math.Log10(high); decade++ {
		for _, step := range []float64{1, 2, 5} {
			if s := step * math.Pow(10, decade); s >= low && s <= high {
				fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#eee"/><text x="%d" y="%.1f" text-anchor="end">%.3g</text>`,
					left, left+width, y(s), y(s), left-6, y(s)+4, s*1e3)
			}
		}
	}
	for i := range r.Medians {
		m := &r.Medians[i]
		if m.Latency == nil || m.Latency.total == 0 {
			continue
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" %s points="`, r.color(m.Peer), r.dashes(m.Viewers))
		// No further than there are frames to tell.
		last := min(nines*0.999, math.Log10(float64(m.Latency.total)))
		for d := 0.0; d <= last; d += 0.02 {
			share := 1 - math.Pow(10, -d)
			fmt.Fprintf(&b, "%.1f,%.1f ", x(share), y(m.Latency.Quantile(share).Seconds()))
		}
		fmt.Fprintf(&b, `"/><text x="%d" y="%d" fill="%s">%s, %d viewers</text>`, left+width+10, 24+20*i, r.color(m.Peer), html.EscapeString(m.Peer), m.Viewers)
	}
	b.WriteString("</svg>")
	return b.String()
}

// dashes tells audiences apart.
func (r *Report) dashes(viewers int) string {
	for i, n := range r.Config.Viewers {
		if n == viewers && i > 0 {
			return fmt.Sprintf(`stroke-dasharray="%d 4"`, 12/i)
		}
	}
	return ""
}

// audiences draws a figure over the number of viewers.
func (r *Report) audiences(of func(*Measurement) float64) string {
	const left, width, height = 60, 740, 260
	most, viewers := 0.0, 0
	for i := range r.Medians {
		most, viewers = max(most, of(&r.Medians[i])), max(viewers, r.Medians[i].Viewers)
	}
	if most <= 0 {
		return "<p>Nothing was measured.</p>"
	}
	x := func(n int) float64 { return left + float64(n)/float64(viewers)*width }
	y := func(v float64) float64 { return 10 + height*(1-max(v, 0)/most) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img">`, left+width+190, height+40)
	for i := range 5 {
		v := most * float64(i) / 4
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#eee"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`, left, left+width, y(v), y(v), left-6, y(v)+4, short(v))
	}
	for _, n := range r.Config.Viewers {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`, x(n), height+28, n)
	}
	for i, server := range r.servers() {
		var points strings.Builder
		for j := range r.Medians {
			if m := &r.Medians[j]; m.Peer == server {
				fmt.Fprintf(&points, "%.1f,%.1f ", x(m.Viewers), y(of(m)))
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`, x(m.Viewers), y(of(m)), r.color(server))
			}
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/><text x="%d" y="%d" fill="%s">%s</text>`,
			r.color(server), points.String(), left+width+10, 24+20*i, r.color(server), html.EscapeString(server))
	}
	b.WriteString("</svg>")
	return b.String()
}
