package quality

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// HTML is a page that needs nothing from elsewhere.
func (r *Report) HTML() []byte {
	var b strings.Builder
	b.WriteString(`<!doctype html><meta charset="utf-8"><title>What a viewer sees</title>
<style>body{font:15px system-ui;max-width:70em;margin:2em auto;padding:0 1em}svg{width:100%;height:auto;margin:.3em 0}pre{overflow:auto;background:#f4f4f4;padding:1em}</style>
<h1>What a viewer on a bad network sees</h1>
<p>Grey: what the path carries. Blue: what arrives. Orange: height of the picture. Red: no picture.</p>`)
	for _, p := range r.Config.Profiles {
		fmt.Fprintf(&b, "<h2>%s</h2>", html.EscapeString(p.Title))
		for i := range r.Outcomes {
			if o := &r.Outcomes[i]; o.Profile == p.Name {
				fmt.Fprintf(&b, "<h3>%s, round %d: %.1f frames/s, %d freezes, %.2f s frozen, mean height %.0f</h3>%s",
					html.EscapeString(o.Server), o.Round+1, o.FPS, o.Freezes, o.Frozen, o.Height, o.plotSVG())
			}
		}
	}
	fmt.Fprintf(&b, "<pre>%s</pre>", html.EscapeString(r.Text()))
	return []byte(b.String())
}

// plotSVG draws rates, height and freezes over time.
func (o *Outcome) plotSVG() string {
	const width, height = 1000.0, 160.0
	n := len(o.Rates)
	if n == 0 {
		return ""
	}
	most := 1.2 * max(slices.Max(o.Rates), slices.Max(o.Received), 1)
	if m := 2.0 * mostUsed; most > m {
		most = m
	}
	step := width / float64(n)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %.0f %.0f" role="img">`, width, height+18)
	for i, f := range o.Frames {
		if f == 0 {
			fmt.Fprintf(&b, `<rect x="%.1f" y="0" width="%.2f" height="%.0f" fill="#f6c7c7"/>`, float64(i)*step, step, height)
		}
	}
	line := func(values []float64, top float64, color string, weight float64) {
		b.WriteString(`<polyline fill="none" stroke="` + color + `" stroke-width="` + fmt.Sprint(weight) + `" points="`)
		for i, v := range values {
			y := height * (1 - min(v/top, 1))
			fmt.Fprintf(&b, "%.1f,%.1f %.1f,%.1f ", float64(i)*step, y, float64(i+1)*step, y)
		}
		b.WriteString(`"/>`)
	}
	line(o.Rates, most, "#999", 1.5)
	line(o.Received, most, "#3b7dd8", 1.2)
	line(o.Heights, cameraHeight*1.1, "#e08a1e", 2)
	for s := 0; s <= n/4; s += 5 {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.0f" font-size="11">%d s</text>`, float64(s*4)*step, height+14, s)
	}
	fmt.Fprintf(&b, `<text x="4" y="12" font-size="11">%.1f Mbit/s</text></svg>`, most/1e6)
	return b.String()
}

// mostUsed is about what the largest layer takes at its peaks, in bit/s.
const mostUsed = 2_500_000
