// Package draw makes pictures of plans: a tree seen from above, its source in
// the middle, every node as far out as its viewers are late in hearing it. The
// bound is a ring: whoever is inside is in time.
package draw

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"trellis/routing"
)

// Size of the picture and of the disc in it, in its own units.
const (
	width, height    = 1180, 900
	centreX, centreY = 440.0, 452.0
	discRadius       = 380.0
	panelX           = 880
)

// Colours: who is in time, who is close to the bound, who is late.
const (
	inTime   = "#1d8a5a"
	nearIt   = "#c98a00"
	tooLate  = "#c2334d"
	relaying = "#5b6b7f"
	ink      = "#1c2733"
	faint    = "#8a96a3"
)

// nearShare of the bound left or less is close to it.
const nearShare = 0.1

type point struct{ x, y float64 }

// picture is one drawing in the making.
type picture struct {
	d      *routing.Demand
	k      *routing.Track
	t      routing.TrackPlan
	delay  []float64
	angle  []float64
	wait   []int64   // viewers by node
	bound  []float64 // by node, 0 for none
	below  []int64
	kids   [][]int
	reach  float64 // delay at the rim of the disc
	b      strings.Builder
	labels []box
}

type box struct{ x0, y0, x1, y1 float64 }

// SVG draws track i of the plan.
func SVG(d *routing.Demand, p *routing.Plan, i int) []byte {
	pic := &picture{d: d, k: &d.Tracks[i], t: p.Tracks[i]}
	pic.measure()
	pic.layout()
	pic.open()
	pic.rings()
	pic.backups()
	pic.arcs()
	pic.nodes()
	pic.panel()
	pic.b.WriteString("</svg>\n")
	return []byte(pic.b.String())
}

func (p *picture) measure() {
	n := p.d.Graph.Len()
	p.delay = p.t.Tree.Delays(p.d.Graph, p.k.Source)
	p.wait, p.below, p.bound = make([]int64, n), make([]int64, n), make([]float64, n)
	p.kids = make([][]int, n)
	for v, u := range p.t.Tree.Parent {
		if u != routing.None {
			p.kids[u] = append(p.kids[u], v)
		}
	}
	p.reach = p.k.BoundMs * 1.15
	for _, e := range p.k.Terminals {
		p.wait[e.Node] = e.Viewers
		p.bound[e.Node] = p.k.BoundMs
		if e.BoundMs > 0 {
			p.bound[e.Node] = e.BoundMs
		}
		for v := e.Node; p.delay[e.Node] >= 0; v = int(p.t.Tree.Parent[v]) {
			p.below[v] += e.Viewers
			if v == p.k.Source {
				break
			}
		}
	}
	for _, x := range p.delay {
		p.reach = max(p.reach, x*1.04)
	}
	p.reach = max(p.reach, 1)
}

// layout gives every leaf the same share of the circle and every other node the
// middle of its children, who lie side by side, the nearest first.
func (p *picture) layout() {
	p.angle = make([]float64, p.d.Graph.Len())
	leaves := p.countLeaves(p.k.Source)
	next := 0.0
	var place func(v int) (first, last float64)
	place = func(v int) (first, last float64) {
		kids := p.kids[v]
		slices.SortStableFunc(kids, func(a, b int) int { return cmp.Compare(p.delay[a], p.delay[b]) })
		if len(kids) == 0 {
			p.angle[v] = next
			next += 2 * math.Pi / float64(max(leaves, 1))
			return p.angle[v], p.angle[v]
		}
		for j, c := range kids {
			a, b := place(c)
			if j == 0 {
				first = a
			}
			last = b
		}
		p.angle[v] = (first + last) / 2
		return first, last
	}
	place(p.k.Source)
}

func (p *picture) countLeaves(v int) int {
	if len(p.kids[v]) == 0 {
		return 1
	}
	n := 0
	for _, c := range p.kids[v] {
		n += p.countLeaves(c)
	}
	return n
}

// at is where a delay and an angle lie on the paper.
func (p *picture) at(delay, angle float64) point {
	r := delay / p.reach * discRadius
	return point{centreX + r*math.Sin(angle), centreY - r*math.Cos(angle)}
}

func (p *picture) pos(v int) point { return p.at(p.delay[v], p.angle[v]) }

func (p *picture) writef(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

func (p *picture) text(x, y float64, size int, colour, anchor, s string) {
	p.writef(`<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s">%s</text>`+"\n",
		x, y, size, colour, anchor, html.EscapeString(s))
}

func (p *picture) open() {
	p.writef(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif">`+"\n", width, height)
	p.writef(`<rect width="%d" height="%d" fill="#fbfbf9"/>`+"\n", width, height)
	name := p.d.Name
	if name == "" {
		name = "plan"
	}
	p.text(28, 40, 20, ink, "start", name+" · track "+p.k.ID)
	p.text(28, 60, 13, faint, "start", "distance from the middle is delay from "+p.d.Graph.Node(p.k.Source).ID)
}

// rings are drawn at round delays; the bound's is bold, and beyond it is shade.
func (p *picture) rings() {
	r := func(ms float64) float64 { return ms / p.reach * discRadius }
	p.writef(`<circle cx="%g" cy="%g" r="%.1f" fill="#f3e7e6"/>`+"\n", centreX, centreY, discRadius)
	p.writef(`<circle cx="%g" cy="%g" r="%.1f" fill="#ffffff"/>`+"\n", centreX, centreY, min(r(p.k.BoundMs), discRadius))
	step := 1.0
	for _, s := range []float64{2, 5, 10, 20, 25, 50, 100, 200, 500, 1000} {
		if p.reach/step > 9 {
			step = s
		}
	}
	for ms := step; ms <= p.reach; ms += step {
		p.writef(`<circle cx="%g" cy="%g" r="%.1f" fill="none" stroke="#dde2e6" stroke-width="0.8"/>`+"\n", centreX, centreY, r(ms))
		p.text(centreX+3, centreY-r(ms)-2, 10, faint, "start", fmt.Sprintf("%g ms", ms))
	}
	if p.k.BoundMs > 0 {
		p.writef(`<circle cx="%g" cy="%g" r="%.1f" fill="none" stroke="%s" stroke-width="1.6" stroke-dasharray="7 4"/>`+"\n",
			centreX, centreY, r(p.k.BoundMs), tooLate)
		p.text(centreX, centreY+r(p.k.BoundMs)+13, 12, tooLate, "middle", fmt.Sprintf("bound %g ms", p.k.BoundMs))
	}
}

// curve is an arc that leaves the parent outwards and meets the child head on.
func (p *picture) curve(u, v int) string {
	a, b := p.pos(u), p.pos(v)
	mid := p.at(p.delay[u]+0.35*(p.delay[v]-p.delay[u]), p.angle[v])
	return fmt.Sprintf("M%.1f %.1fQ%.1f %.1f %.1f %.1f", a.x, a.y, mid.x, mid.y, b.x, b.y)
}

func (p *picture) arcs() {
	for v, u := range p.t.Tree.Parent {
		if u == routing.None {
			continue
		}
		w := 0.8 + 5*math.Sqrt(float64(p.below[v])/float64(max(p.below[p.k.Source], 1)))
		p.writef(`<path d="%s" fill="none" stroke="%s" stroke-width="%.1f" stroke-opacity="0.55"/>`+"\n",
			p.curve(int(u), v), p.colour(v, true), w)
	}
}

// backups are thin dashes between nodes that are both in the tree; relays that
// only the standby tree has are drawn where it would hear them.
func (p *picture) backups() {
	if p.t.Backup.Parent == nil {
		return
	}
	standby := p.t.Backup.Delays(p.d.Graph, p.k.Source)
	for v, u := range p.t.Backup.Parent {
		if u == routing.None || standby[v] < 0 {
			continue
		}
		a, b := p.standbyPos(int(u), standby), p.standbyPos(v, standby)
		p.writef(`<path d="M%.1f %.1fL%.1f %.1f" stroke="#4a6fd0" stroke-width="0.7" stroke-opacity="0.4" stroke-dasharray="3 3"/>`+"\n",
			a.x, a.y, b.x, b.y)
		if p.delay[v] < 0 {
			p.writef(`<rect x="%.1f" y="%.1f" width="6" height="6" fill="#4a6fd0"><title>%s: standby relay, %.1f ms</title></rect>`+"\n",
				b.x-3, b.y-3, html.EscapeString(p.d.Graph.Node(v).ID), standby[v])
		}
	}
}

func (p *picture) standbyPos(v int, standby []float64) point {
	if p.delay[v] >= 0 {
		return p.pos(v)
	}
	// The golden angle spreads what has no place of its own.
	return p.at(min(standby[v], p.reach), float64(v)*2.399963)
}

// colour says how a node stands to its bound; for arcs, relays are grey too.
func (p *picture) colour(v int, arc bool) string {
	switch {
	case p.wait[v] == 0:
		return relaying
	case p.delay[v] > p.bound[v]+1e-9:
		return tooLate
	case p.bound[v]-p.delay[v] < nearShare*p.bound[v]:
		return nearIt
	case arc:
		return relaying
	}
	return inTime
}

func (p *picture) nodes() {
	order := make([]int, 0, len(p.delay))
	for v, x := range p.delay {
		if x >= 0 {
			order = append(order, v)
		}
	}
	// Those on whom most depend are labelled first; whose label finds no room
	// keeps the tooltip.
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.below[b], p.below[a]) })
	for _, v := range order {
		at := p.pos(v)
		r := p.radius(v)
		title := html.EscapeString(p.tooltip(v))
		if p.wait[v] == 0 {
			p.writef(`<rect x="%.1f" y="%.1f" width="9" height="9" transform="rotate(45 %.1f %.1f)" fill="%s" stroke="#fff"><title>%s</title></rect>`+"\n",
				at.x-4.5, at.y-4.5, at.x, at.y, relaying, title)
		} else {
			p.writef(`<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s" fill-opacity="0.85" stroke="#fff"><title>%s</title></circle>`+"\n",
				at.x, at.y, r, p.colour(v, false), title)
		}
		p.labels = append(p.labels, box{at.x - r, at.y - r, at.x + r, at.y + r})
	}
	for _, v := range order {
		p.label(v, p.pos(v), p.radius(v))
	}
	at := p.pos(p.k.Source)
	p.writef(`<circle cx="%.1f" cy="%.1f" r="9" fill="none" stroke="%s" stroke-width="2.5"/>`+"\n", at.x, at.y, ink)
}

// radius of a node's disc: its area is its viewers.
func (p *picture) radius(v int) float64 {
	if p.wait[v] == 0 {
		return 6
	}
	return 2.6 + 26*math.Sqrt(float64(p.wait[v])/float64(max(p.below[p.k.Source], 1)))
}

func (p *picture) tooltip(v int) string {
	n := p.d.Graph.Node(v)
	s := fmt.Sprintf("%s · %.1f ms", n.ID, p.delay[v])
	if p.wait[v] > 0 {
		s += fmt.Sprintf(" of %g · %d viewers", p.bound[v], p.wait[v])
	}
	if len(p.kids[v]) > 0 {
		s += fmt.Sprintf(" · %d children, %d viewers depend on it", len(p.kids[v]), p.below[v])
	}
	return s
}

// label writes the node's name outside of it, unless another name is there.
func (p *picture) label(v int, at point, r float64) {
	name := p.d.Graph.Node(v).ID
	wide, high := float64(len(name))*5.6, 11.0
	if v == p.k.Source {
		r = 11
	}
	b := box{at.x + r + 3, at.y - high/2, at.x + r + 3 + wide, at.y + high/2}
	anchor, x := "start", b.x0
	if at.x < centreX {
		b = box{at.x - r - 3 - wide, at.y - high/2, at.x - r - 3, at.y + high/2}
		anchor, x = "end", b.x1
	}
	if b.x0 < 4 || b.x1 > panelX-8 {
		return
	}
	for _, o := range p.labels {
		if b.x0 < o.x1 && o.x0 < b.x1 && b.y0 < o.y1 && o.y0 < b.y1 {
			return
		}
	}
	p.labels = append(p.labels, b)
	weight := ink
	if len(p.kids[v]) == 0 {
		weight = faint
	}
	p.text(x, at.y+3.5, 10, weight, anchor, name)
}

// panel is the legend, the numbers, and viewers over delay.
func (p *picture) panel() {
	s := p.k.Score(p.d.Graph, p.t.Tree)
	total := int64(0)
	for _, e := range p.k.Terminals {
		total += e.Viewers
	}
	y := 96.0
	row := func(name, value string) {
		p.text(panelX, y, 12, faint, "start", name)
		p.text(width-28, y, 13, ink, "end", value)
		y += 22
	}
	row("viewers", fmt.Sprint(total))
	row("in bound", fmt.Sprintf("%d · %.1f %%", s.InBound, 100*float64(s.InBound)/float64(max(total, 1))))
	row("served", fmt.Sprint(s.Served))
	row("lateness", fmt.Sprintf("%.0f viewer-ms", s.LateMs))
	row("cost", fmt.Sprintf("%.4f USD/h", s.CostUSD))
	row("arcs", fmt.Sprint(p.t.Tree.Arcs()))
	y += 16
	for _, l := range []struct{ colour, what string }{
		{inTime, "viewers in bound"},
		{nearIt, "less than 10 % of the bound left"},
		{tooLate, "beyond the bound"},
		{relaying, "relay without viewers"},
	} {
		p.writef(`<circle cx="%d" cy="%.1f" r="5" fill="%s"/>`+"\n", panelX+6, y-4, l.colour)
		p.text(panelX+20, y, 12, ink, "start", l.what)
		y += 20
	}
	p.text(panelX, y+2, 11, faint, "start", "area of a disc: its viewers")
	p.text(panelX, y+18, 11, faint, "start", "width of an arc: viewers who depend on it")
	if p.t.Backup.Parent != nil {
		p.text(panelX, y+34, 11, "#4a6fd0", "start", "dashed blue: the standby tree")
	}
	p.histogram(y + 80)
}

// histogram shows viewers by delay, with the bound as a line.
func (p *picture) histogram(top float64) {
	const bins, high, wide = 34, 150.0, width - 28.0 - panelX
	var sum [bins]float64
	var late [bins]bool
	peak := 1.0
	for v, x := range p.delay {
		if x >= 0 && p.wait[v] > 0 {
			i := min(int(x/p.reach*bins), bins-1)
			sum[i] += float64(p.wait[v])
			late[i] = late[i] || x > p.bound[v]+1e-9
			peak = max(peak, sum[i])
		}
	}
	p.text(panelX, top-10, 12, ink, "start", "viewers by delay")
	for i, n := range sum {
		h := n / peak * high
		colour := inTime
		if late[i] {
			colour = tooLate
		}
		p.writef(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.8"/>`+"\n",
			panelX+float64(i)*wide/bins, top+high-h, wide/bins-1.2, h, colour)
	}
	x := panelX + p.k.BoundMs/p.reach*wide
	p.writef(`<path d="M%.1f %.1fV%.1f" stroke="%s" stroke-dasharray="4 3"/>`+"\n", x, top, top+high+4, tooLate)
	p.writef(`<path d="M%d %.1fH%.1f" stroke="%s"/>`+"\n", panelX, top+high, panelX+wide, faint)
	p.text(panelX, top+high+16, 10, faint, "start", "0")
	p.text(x, top+high+16, 10, tooLate, "middle", fmt.Sprintf("%g", p.k.BoundMs))
	p.text(panelX+wide, top+high+16, 10, faint, "end", fmt.Sprintf("%.0f ms", p.reach))
}
