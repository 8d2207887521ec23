package world

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// plot is a picture in the making: its own units are pixels.
type plot struct {
	w, h float64
	b    strings.Builder
}

// Colours: those of routing/draw.
const (
	inTime = "#1d8a5a"
	nearIt = "#c98a00"
	late   = "#c2334d"
	ink    = "#1c2733"
	faint  = "#8a96a3"
	pale   = "#e3e8ed"
)

func newPlot(w, h float64) *plot {
	p := &plot{w: w, h: h}
	p.writef(`<svg viewBox="0 0 %.0f %.0f" width="%.0f" role="img" font-family="system-ui,sans-serif">`, w, h, w)
	return p
}

func (p *plot) writef(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

func (p *plot) text(x, y float64, size int, colour, anchor, s string) {
	p.writef(`<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s">%s</text>`, x, y, size, colour, anchor, html.EscapeString(s))
}

func (p *plot) line(x0, y0, x1, y1 float64, colour string, width float64) {
	p.writef(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.2f"/>`, x0, y0, x1, y1, colour, width)
}

func (p *plot) rect(x, y, w, h float64, colour, title string) {
	p.writef(`<rect x="%.1f" y="%.1f" width="%.2f" height="%.1f" fill="%s"><title>%s</title></rect>`, x, y, max(w, 0.3), h, colour, html.EscapeString(title))
}

func (p *plot) dot(x, y, r float64, colour, title string) {
	p.writef(`<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s" fill-opacity=".75"><title>%s</title></circle>`, x, y, r, colour, html.EscapeString(title))
}

func (p *plot) done() string { return p.b.String() + "</svg>" }

// axis is a linear scale from a to b over pixels.
type axis struct{ a, b, from, to float64 }

func (x axis) at(v float64) float64 {
	if x.b == x.a {
		return x.from
	}
	return x.from + (v-x.a)/(x.b-x.a)*(x.to-x.from)
}

// ticks are round numbers, about n of them.
func (x axis) ticks(n int) []float64 {
	span := x.b - x.a
	if span <= 0 {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(span/float64(n))))
	for _, f := range []float64{1, 2, 5, 10} {
		if span/(step*f) <= float64(n) {
			step *= f
			break
		}
	}
	var out []float64
	for v := math.Ceil(x.a/step) * step; v <= x.b+step/1e6; v += step {
		out = append(out, v)
	}
	return out
}

// along draws a horizontal scale with a grid up to top.
func (p *plot) along(x axis, y, top float64, unit string) {
	for _, v := range x.ticks(10) {
		p.line(x.at(v), y, x.at(v), top, pale, 1)
		p.text(x.at(v), y+14, 11, faint, "middle", fmt.Sprintf("%g%s", v, unit))
	}
}

// beside draws a vertical scale with a grid from left to right.
func (p *plot) beside(y axis, left, right float64, unit string) {
	for _, v := range y.ticks(8) {
		p.line(left, y.at(v), right, y.at(v), pale, 1)
		p.text(left-6, y.at(v)+4, 11, faint, "end", fmt.Sprintf("%g%s", v, unit))
	}
}

// ageColour says how an age stands to the budget.
func ageColour(ms, budget float64) string {
	switch {
	case ms > budget:
		return late
	case ms > budget*0.9:
		return nearIt
	}
	return inTime
}
