package fanout

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// HTML is a page that needs nothing from elsewhere.
func (r *SoakReport) HTML() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><meta charset="utf-8"><title>Soak: %s</title>
<style>body{font:15px system-ui;max-width:60em;margin:2em auto;padding:0 1em}svg{width:100%%;height:auto;font:13px system-ui}pre{overflow:auto;background:#f4f4f4;padding:1em}</style>
<h1>A node under clients that come and go, %v: %s</h1>
<p>Dashed: before anybody came. The ring is the node after all have left; grey is the warm-up, which the slope leaves out.</p>`,
		r.Verdict, r.Config.Length, r.Verdict)
	for _, plot := range []struct {
		title string
		of    func(*Sample) float64
		slope bool
	}{
		{"Heap after garbage collection, MB, and the slope that is judged", func(s *Sample) float64 { return float64(s.Heap) / 1e6 }, true},
		{"Resident memory, MB", func(s *Sample) float64 { return float64(s.RSS) / 1e6 }, false},
		{"Goroutines", func(s *Sample) float64 { return float64(s.Goroutines) }, false},
		{"Open files", func(s *Sample) float64 { return float64(s.FDs) }, false},
		{"Sessions: publishers and viewers", func(s *Sample) float64 { return float64(s.sessions()) }, false},
	} {
		fmt.Fprintf(&b, "<h2>%s</h2>%s", html.EscapeString(plot.title), r.plot(plot.of, plot.slope))
	}
	fmt.Fprintf(&b, "<pre>%s</pre>", html.EscapeString(r.Text()))
	return []byte(b.String())
}

// plot draws a figure over time.
func (r *SoakReport) plot(of func(*Sample) float64, slope bool) string {
	const left, width, height, top = 60, 860, 200, 10
	end := r.After.At.Minutes()
	most := max(of(&r.Baseline), of(&r.After))
	for i := range r.Samples {
		most = max(most, of(&r.Samples[i]))
	}
	if end <= 0 || most <= 0 {
		return "<p>There is nothing to show.</p>"
	}
	x := func(minutes float64) float64 { return left + minutes/end*width }
	y := func(v float64) float64 { return top + height*(1-max(v, 0)/most) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img">`, left+width+20, height+top+30)
	fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="#f0f0f0"/>`, left, top, x(r.Config.warmUp().Minutes())-left, height)
	for i := range 5 {
		v := most * float64(i) / 4
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`,
			left, left+width, y(v), y(v), left-6, y(v)+4, short(v))
	}
	step := max(1, math.Round(end/12))
	for m := 0.0; m <= end; m += step {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f min</text>`, x(m), height+top+20, m)
	}
	base := y(of(&r.Baseline))
	fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#222" stroke-dasharray="6 4"/>`, left, left+width, base, base)
	b.WriteString(`<polyline fill="none" stroke="#3b7dd8" stroke-width="1.5" points="`)
	for i := range r.Samples {
		fmt.Fprintf(&b, "%.1f,%.1f ", x(r.Samples[i].At.Minutes()), y(of(&r.Samples[i])))
	}
	fmt.Fprintf(&b, `"/><circle cx="%.1f" cy="%.1f" r="4" fill="none" stroke="#c22" stroke-width="1.5"/>`, x(end), y(of(&r.After)))
	if warm := r.warm(); slope && len(warm) > 1 {
		mean, at := 0.0, 0.0
		for i := range warm {
			mean, at = mean+of(&warm[i])/float64(len(warm)), at+warm[i].At.Minutes()/float64(len(warm))
		}
		first, last := warm[0].At.Minutes(), warm[len(warm)-1].At.Minutes()
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#d9822b" stroke-width="2"/>`,
			x(first), x(last), y(mean+(first-at)*r.Slope/1e6), y(mean+(last-at)*r.Slope/1e6))
	}
	b.WriteString("</svg>")
	return b.String()
}
