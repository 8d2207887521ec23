package quality

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// HTML is a page that needs nothing from elsewhere.
func (r *Report) HTML() []byte {
	var b strings.Builder
	b.WriteString(`<!doctype html><meta charset="utf-8"><title>What a viewer sees</title>
<style>body{font:15px system-ui;max-width:72em;margin:2em auto;padding:0 1em}svg{width:100%;height:auto;font:12px system-ui}
pre{overflow:auto;background:#f4f4f4;padding:1em}table{border-collapse:collapse;margin:.5em 0}td,th{padding:.15em .8em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left;white-space:nowrap}i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}</style>
<h1>What a viewer on a bad network sees</h1>
<p>Real browsers, MEASURED: one publishes a picture in ` + fmt.Sprint(len(layers)) + ` layers, the other watches it over a path of which the grey line is the
rate. Bars below the plots are freezes. Further rounds are drawn paler.</p>`)
	for i := range r.Config.Profiles {
		p := &r.Config.Profiles[i]
		fmt.Fprintf(&b, "<h2>%s</h2>%s%s", html.EscapeString(p.Title), r.table(p), r.plots(p))
	}
	fmt.Fprintf(&b, "<h2>Goals</h2><pre>%s</pre>", html.EscapeString(r.Text()))
	return []byte(b.String())
}

// color of a server, everywhere the same.
func (r *Report) color(server string) string {
	for i, name := range append([]string{Ours}, r.Config.Peers...) {
		if name == server {
			return []string{"#2f6fd0", "#d9822b", "#5a9e5a", "#8a5fb0"}[i%4]
		}
	}
	return "#000"
}

// of calls yield with the outcomes of a profile.
func (r *Report) of(p *Profile, yield func(*Outcome)) {
	for i := range r.Outcomes {
		if o := &r.Outcomes[i]; o.Profile == p.Name {
			yield(o)
		}
	}
}

// table has the scores of a profile.
func (r *Report) table(p *Profile) string {
	var b strings.Builder
	b.WriteString("<table><tr><th>server<th>round<th>frames/s<th>mean height<th>freezes<th>frozen, s<th>longest, s<th>of what fits<th>of the link<th>react, s<th>recover, s<th>sound concealed</tr>")
	after := func(s float64) string {
		if s < 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f", s)
	}
	r.of(p, func(o *Outcome) {
		fmt.Fprintf(&b, `<tr><td><i style="background:%s"></i>%s<td>%d<td>%.1f<td>%.0f<td>%d<td>%.2f<td>%.2f<td>%.0f %%<td>%.0f %%<td>%s<td>%s<td>%.1f %%</tr>`,
			r.color(o.Server), html.EscapeString(o.Server), o.Round+1, o.FPS, o.Height, o.Freezes, o.Frozen, o.LongestFreeze, 100*o.Used, 100*o.UsedOfLink,
			after(o.React), after(o.Recover), 100*o.Concealed)
	})
	b.WriteString("</table>")
	return b.String()
}

// The room for plots: below each other, over one axis of time.
const (
	plotLeft   = 84.0
	plotWidth  = 880.0
	plotRight  = 24.0
	plotHeight = 110.0
	plotGap    = 14.0
	freezeRow  = 9.0
)

// plots draws what all servers did in a profile, over each other.
func (r *Report) plots(p *Profile) string {
	seconds := p.Length.Seconds()
	x := func(s float64) float64 { return plotLeft + s/seconds*plotWidth }
	var b strings.Builder
	y := 6.0
	for _, plot := range []struct {
		title string
		top   float64
		ticks []float64
		of    func(*Outcome) []float64
	}{
		{"Mbit/s", r.mostRate(p), nil, func(o *Outcome) []float64 { return scaled(o.Received, 1e-6) }},
		{"height", cameraHeight * 1.08, []float64{cameraHeight / 4, cameraHeight / 2, cameraHeight}, func(o *Outcome) []float64 { return o.Heights }},
		{"frames/s", cameraRate * 1.4, []float64{0, cameraRate}, func(o *Outcome) []float64 { return smooth(o.Frames) }},
	} {
		ticks := plot.ticks
		if ticks == nil {
			ticks = []float64{0, roundDown(plot.top / 2), roundDown(plot.top)}
		}
		for _, v := range ticks {
			at := y + plotHeight*(1-v/plot.top)
			fmt.Fprintf(&b, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#e4e4e4"/><text x="%.0f" y="%.1f" text-anchor="end">%.4g</text>`,
				plotLeft, plotLeft+plotWidth, at, at, plotLeft-6, at+4, v)
		}
		fmt.Fprintf(&b, `<text x="14" y="%.1f" transform="rotate(-90 14 %.1f)" text-anchor="middle">%s</text>`, y+plotHeight/2, y+plotHeight/2, plot.title)
		if plot.title == "Mbit/s" {
			b.WriteString(steps(r.link(p), x, y, plot.top, "#9a9a9a", 2, 1))
		}
		r.of(p, func(o *Outcome) {
			b.WriteString(steps(plot.of(o), x, y, plot.top, r.color(o.Server), 1.6, paler(o)))
		})
		y += plotHeight + plotGap
	}
	r.of(p, func(o *Outcome) {
		fmt.Fprintf(&b, `<text x="%.0f" y="%.1f" text-anchor="end" font-size="8">%s</text><line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#eee"/>`,
			plotLeft-4, y+freezeRow-2, html.EscapeString(o.Server), plotLeft, plotLeft+plotWidth, y+freezeRow/2, y+freezeRow/2)
		for _, s := range o.Spans {
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" fill="%s" opacity="%.1f"/>`, x(s[0]), y+1, max(x(s[1])-x(s[0]), 1), freezeRow-2, r.color(o.Server), paler(o))
		}
		y += freezeRow
	})
	for s := 0.0; s <= seconds; s += 5 {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%.0f s</text>`, x(s), y+16, s)
	}
	return fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f" role="img">%s</svg>`, plotLeft+plotWidth+plotRight, y+22, b.String())
}

// paler is how much of its color an outcome has.
func paler(o *Outcome) float64 {
	if o.Round > 0 {
		return 0.4
	}
	return 1
}

// steps draws a series: each value holds for a tick.
func steps(values []float64, x func(float64) float64, y, top float64, color string, weight, opacity float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="%.1f" opacity="%.1f" points="`, color, weight, opacity)
	for i, v := range values {
		at := y + plotHeight*(1-min(max(v/top, 0), 1))
		fmt.Fprintf(&b, "%.1f,%.1f %.1f,%.1f ", x(float64(i)*tick.Seconds()), at, x(float64(i+1)*tick.Seconds()), at)
	}
	b.WriteString(`"/>`)
	return b.String()
}

// link is the path's rate in Mbit/s.
func (r *Report) link(p *Profile) (rates []float64) {
	r.of(p, func(o *Outcome) { rates = scaled(o.Rates, 1e-6) })
	return rates
}

// mostRate is how far the axis of rates reaches, in Mbit/s: a path that is much
// wider than the picture is cut off.
func (r *Report) mostRate(p *Profile) float64 {
	most := 0.1
	r.of(p, func(o *Outcome) {
		if len(o.Received) > 0 {
			most = max(most, slices.Max(o.Received)/1e6)
		}
	})
	if link := r.link(p); len(link) > 0 {
		most = max(most, min(slices.Max(link), 1.5*most))
	}
	return 1.1 * most
}

func scaled(values []float64, by float64) []float64 {
	all := slices.Clone(values)
	for i := range all {
		all[i] *= by
	}
	return all
}

// smooth takes means over a second: a tick holds six frames or seven.
func smooth(values []float64) []float64 {
	const width = 4
	all := make([]float64, len(values))
	for i := range values {
		from := max(0, i-width+1)
		for _, v := range values[from : i+1] {
			all[i] += v / float64(i+1-from)
		}
	}
	return all
}

// roundDown keeps the first digit.
func roundDown(v float64) float64 {
	if v <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	return math.Floor(v/unit) * unit
}
