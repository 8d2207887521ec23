package world

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"time"
)

const pageHead = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Trellis world, simulated</title><style>
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:1180px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}p{margin:.3rem 0;max-width:80ch}
.sim{background:#c98a00;color:#fff;padding:.1rem .5rem;border-radius:4px;font-size:.85rem;letter-spacing:.05em}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:.8rem;margin:1rem 0}
.tile{border:1px solid #e3e8ed;border-radius:8px;padding:.6rem .8rem}.tile b{display:block;font-size:1.5rem}.tile span{color:#5b6b7f;font-size:.85rem}
table{border-collapse:collapse;font-size:.88rem;width:100%}th{text-align:left;color:#5b6b7f;font-weight:600}
td,th{padding:.2rem .6rem .2rem 0;border-bottom:1px solid #e3e8ed;font-variant-numeric:tabular-nums}td.n,th.n{text-align:right}
svg{max-width:100%;height:auto}.bad{color:#c2334d;font-weight:600}.foot{color:#5b6b7f;font-size:.85rem;margin-top:2rem}
</style></head><body>
`

// page is the report as HTML in the making.
type page struct {
	strings.Builder

	r *Report
}

func (p *page) writef(format string, args ...any) { _, _ = fmt.Fprintf(p, format, args...) } // a strings.Builder takes all

// HTML is the report as a page that needs nothing else.
func (r *Report) HTML() []byte {
	p := &page{r: r}
	p.WriteString(pageHead)
	p.head()
	p.section("Who takes it from whom", "A dot is a node, as large as the number of its viewers; a line is a link of the tree. "+
		"Green: the picture is there within the budget. Amber: within its last tenth. Red: later, which on this graph is mostly how far it is.", r.mapPlot())
	p.section("How old the picture and the sound are when they leave for viewers", "By region, over the whole measurement: the bar is where half of all lies, "+
		"the line ends at the 99th percentile, the mark is the least possible delay to the region.", r.regionPlot())
	p.section("What was predicted, and what was measured", "A dot is a node: the delay that the mesh expects for the path, and the median age that its viewers had. "+
		"The band is 10 % or 3 ms.", r.scatterPlot())
	p.section("Gaps", "A dot is a silence of 150 ms or more, or a hole, at the viewers of a node; as large as their number. Vertical lines are faults; "+
		"ticks below are changes of parent.", r.gapPlot())
	p.tables()
	p.writef(`<p class="foot">Simulated: real nodes with real QUIC in virtual time; processors take no time in it. Latencies: %s, halved; `+
		`%v within a region, %v more between providers, jitter up to %v and %.0f %% and the arrival grid of %v are assumptions. Viewers are spread by synthetic weights. `+
		`Prices: list prices to January 2024 and an assumed flat rate. Seed %d.</p></body></html>`,
		html.EscapeString(r.Source), intraRegion, crossProvider, jitterFloor, 100*jitterShare, r.Config.Grain, r.Config.Seed)
	return []byte(p.String())
}

func (p *page) head() {
	r := p.r
	p.writef(`<p><span class="sim">SIMULATED</span></p><h1>%s viewers, %d nodes, one session</h1>`, thousands(r.Config.Viewers), r.Nodes)
	p.writef(`<p>Regions and latencies of %s; the broadcast enters at %s; %d links, %d relays, at most %d hops; %v of virtual time, computed in %v.</p>`,
		html.EscapeString(r.Config.Regions), html.EscapeString(r.Origin), r.Links, r.Relays, r.Depth,
		r.Virtual.Round(time.Second), r.Took.Round(time.Second))
	tile := func(value, words string) {
		p.writef(`<div class="tile"><b>%s</b><span>%s</span></div>`, html.EscapeString(value), html.EscapeString(words))
	}
	p.WriteString(`<div class="tiles">`)
	tile(fmt.Sprintf("%.3f %%", r.Share.PercentIn), fmt.Sprintf("have %v or less at p95 per minute, of those whom the regions allow it (%s of %s)",
		r.Config.Budget, thousands(int(r.Share.InBudget)), thousands(int(r.Share.Possible))))
	tile(fmt.Sprintf("%.3f %%", r.Share.PercentOth), fmt.Sprintf("of the others are within 1.1 × their least possible delay (%s of %s)",
		thousands(int(r.Share.OthersGood)), thousands(int(r.Share.Others))))
	tile(fmt.Sprintf("%.3f %%", r.Linked.PercentIn), fmt.Sprintf("have it of those whom the measured links allow it; others %.3f %%", r.Linked.PercentOth))
	tile(fmt.Sprintf("%.0f ms", r.Joins.P95), fmt.Sprintf("from the wish to the first picture, p95 of %s joins (p50 %.0f, p99 %.0f)",
		thousands(int(r.Joins.Count)), r.Joins.P50, r.Joins.P99))
	tile(fmt.Sprintf("%d", r.Lost), "objects lost at viewers, of all that were published while they watched")
	tile(fmt.Sprintf("%d of %d", r.Accuracy.Within, r.Accuracy.Nodes), "nodes whose predicted delay is within 10 % or 3 ms of what was measured")
	p.WriteString(`</div>`)
	for _, v := range r.Broken {
		p.writef(`<p class="bad">Violation: %s</p>`, html.EscapeString(v))
	}
}

func (p *page) section(title, words, svg string) {
	p.writef("<h2>%s</h2><p>%s</p>%s\n", html.EscapeString(title), html.EscapeString(words), svg)
}

// table writes a table; columns after the first that begin with "#" are numbers.
func (p *page) table(title string, columns []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	p.writef("<h2>%s</h2><table><tr>", html.EscapeString(title))
	for _, c := range columns {
		p.writef("<th%s>%s</th>", numeric(c), html.EscapeString(strings.TrimPrefix(c, "#")))
	}
	p.WriteString("</tr>")
	for _, row := range rows {
		p.WriteString("<tr>")
		for i, cell := range row {
			p.writef("<td%s>%s</td>", numeric(columns[i]), html.EscapeString(cell))
		}
		p.WriteString("</tr>")
	}
	p.WriteString("</table>\n")
}

func numeric(column string) string {
	if strings.HasPrefix(column, "#") {
		return ` class="n"`
	}
	return ""
}

// Rows that a table shows at most.
const maxRows = 40

func (p *page) tables() {
	r := p.r
	rows := make([][]string, 0, maxRows)
	for _, m := range r.Minutes {
		rows = append(rows, []string{
			fmt.Sprint(m.Minute), fmt.Sprintf("%.3f %%", m.PercentIn), fmt.Sprintf("%.3f %%", m.PercentOth),
			ms1(m.Ages.P50), ms1(m.Ages.P95), ms1(m.Ages.P99), ms1(m.Ages.Max),
		})
	}
	p.table("Minutes", []string{"minute", "#in budget", "#others", "#age p50 ms", "#p95", "#p99", "#max"}, rows)
	rows = rows[:0]
	for _, f := range r.Faults {
		hit := strings.Join(f.Hit[:min(len(f.Hit), 6)], ", ")
		if len(f.Hit) > 6 {
			hit += fmt.Sprintf(" and %d more", len(f.Hit)-6)
		}
		rows = append(rows, []string{f.Began.Round(time.Millisecond).String(), string(f.Kind), hit, thousands(f.Below), thousands(f.Moved), f.Explain})
	}
	p.table("Faults", []string{"at", "kind", "hit", "#viewers behind", "#moved", ""}, rows)
	rows = rows[:0]
	for _, g := range r.Gaps[:min(len(r.Gaps), maxRows)] {
		rows = append(rows, []string{r.since(g.At), g.Node, g.Track, fmt.Sprint(g.Frames), fmt.Sprintf("%.0f", g.Silence), thousands(g.Viewers), g.Cause})
	}
	p.table("Gaps that most viewers saw", []string{"at", "node", "track", "#missing", "#silence ms", "#viewers", "why, by the nodes' own events"}, rows)
	rows = rows[:0]
	for _, m := range r.Moves[:min(len(r.Moves), maxRows)] {
		rows = append(rows, []string{m.At.Round(time.Second).String(), m.Node, m.From, m.To, m.Cause})
	}
	p.table("Changes of parent", []string{"seen at", "node", "from", "to", "cause"}, rows)
	rows = rows[:0]
	usd := 0.0
	for i, f := range r.Flows {
		usd += f.USDPerHour
		if i < maxRows {
			rows = append(rows, []string{f.From, f.To, fmt.Sprintf("%.2f", float64(f.Bytes)/1e6), fmt.Sprintf("%.2f", float64(f.QUICBytes)/1e6), fmt.Sprintf("%.3f", f.USDPerGB), fmt.Sprintf("%.5f", f.USDPerHour)})
		}
	}
	p.table(fmt.Sprintf("Links: %.4f USD per hour for %d kbit/s", usd, r.Bps/1000),
		[]string{"from", "to", "#MB of media", "#MB of QUIC", "#USD per GB", "#USD per hour"}, rows)
	rows = rows[:0]
	for _, c := range r.Clients {
		rows = append(rows, []string{c.Node, c.Kind, ms1(c.P50Ms), ms1(c.P95Ms), fmt.Sprint(c.Frames), fmt.Sprint(c.Missing), fmt.Sprint(c.Problems)})
	}
	p.table("Real clients, to the screen's edge (5 ms of access included)", []string{"node", "over", "#p50 ms", "#p95 ms", "#pictures", "#missing", "#problems"}, rows)
	rows = rows[:0]
	for _, e := range r.Events {
		rows = append(rows, []string{e.Reason, fmt.Sprint(e.N)})
	}
	p.table("What nodes gave up or changed, by reason", []string{"reason", "#times"}, rows)
}

func ms1(v float64) string { return fmt.Sprintf("%.1f", v) }

func (r *Report) since(t time.Time) string { return fmt.Sprintf("%.2f s", t.Sub(r.From).Seconds()) }

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// mapPlot draws the tree over longitude and latitude.
func (r *Report) mapPlot() string {
	p := newPlot(1140, 560)
	x, y := axis{-130, 185, 10, 1130}, axis{70, -50, 10, 550}
	for lon := -120.0; lon <= 180; lon += 30 {
		p.line(x.at(lon), 10, x.at(lon), 550, pale, 1)
	}
	for lat := -45.0; lat <= 60; lat += 15 {
		p.line(10, y.at(lat), 1130, y.at(lat), pale, 1)
	}
	at := map[string][2]float64{}
	count := map[string]int{}
	for _, n := range r.Tree { // nodes of a region side by side
		k := count[n.Region]
		count[n.Region]++
		a := float64(k) * 2.4
		d := 3.2 * math.Sqrt(float64(k))
		at[n.Node] = [2]float64{x.at(n.Lon) + d*math.Cos(a), y.at(n.Lat) + d*math.Sin(a)}
	}
	budget := millis(r.Config.Budget)
	for _, n := range r.Tree {
		from, ok := at[n.Parent]
		if !ok {
			continue
		}
		to := at[n.Node]
		// Bent upwards, so that the two ways of a pair can be told apart.
		bend := math.Hypot(to[0]-from[0], to[1]-from[1]) * 0.12
		p.writef(`<path d="M%.1f %.1fQ%.1f %.1f %.1f %.1f" fill="none" stroke="%s" stroke-opacity=".5" stroke-width="%.1f"><title>%s</title></path>`,
			from[0], from[1], (from[0]+to[0])/2, (from[1]+to[1])/2-bend, to[0], to[1], ageColour(n.MeasuredMs, budget),
			0.6+3*math.Sqrt(float64(n.Below)/float64(max(r.Config.Viewers, 1))), html.EscapeString(fmt.Sprintf("%s to %s, %d viewers behind it", n.Parent, n.Node, n.Below)))
	}
	for _, n := range r.Tree {
		size := 2 + 9*math.Sqrt(float64(n.Viewers)/float64(max(r.Config.Viewers, 1))*10)
		p.dot(at[n.Node][0], at[n.Node][1], min(size, 12), ageColour(n.MeasuredMs, budget),
			fmt.Sprintf("%s: %d viewers, %.1f ms (least possible %.1f), from %s, %s", n.Node, n.Viewers, n.MeasuredMs, n.LeastMs, cmp.Or(n.Parent, "the publisher"), n.Cause))
		if n.Node == r.Origin {
			p.text(at[n.Node][0]+9, at[n.Node][1]-7, 13, ink, "start", "origin")
		}
	}
	for _, n := range r.Dead {
		px, py := x.at(n.Lon), y.at(n.Lat)
		p.line(px-5, py-5, px+5, py+5, late, 2)
		p.line(px-5, py+5, px+5, py-5, late, 2)
		p.text(px+8, py+4, 11, late, "start", n.Region)
	}
	return p.done()
}

func (r *Report) regionPlot() string {
	row := 17.0
	h := 40 + row*float64(len(r.Regions))
	top := 20.0
	for _, a := range r.Regions {
		top = max(top, a.Ages.P99*1.05)
	}
	p := newPlot(1140, h)
	x := axis{0, top, 170, 1010}
	p.along(x, h-22, 6, " ms")
	budget := millis(r.Config.Budget)
	p.line(x.at(budget), 6, x.at(budget), h-22, late, 1.5)
	for i, a := range r.Regions {
		y := 8 + row*float64(i)
		p.text(160, y+11, 11, ink, "end", a.Region)
		words := fmt.Sprintf("p50 %.1f, p95 %.1f, p99 %.1f, max %.1f ms; least possible %.1f", a.Ages.P50, a.Ages.P95, a.Ages.P99, a.Ages.Max, a.LeastMs)
		p.line(x.at(a.P1Ms), y+7, x.at(a.Ages.P99), y+7, faint, 1.5)
		p.rect(x.at(a.P25Ms), y+2, x.at(a.P75Ms)-x.at(a.P25Ms)+1.5, 10, ageColour(a.Ages.P95, budget), words)
		p.line(x.at(a.LeastMs), y, x.at(a.LeastMs), y+14, ink, 1.5)
		p.text(1020, y+11, 11, faint, "start", thousands(a.Viewers)+" viewers")
	}
	return p.done()
}

func (r *Report) scatterPlot() string {
	p := newPlot(620, 560)
	top := 10.0
	for _, n := range r.Tree {
		top = max(top, n.PredictedMs*1.05, n.MeasuredMs*1.05)
	}
	x, y := axis{0, top, 60, 600}, axis{0, top, 520, 10}
	p.along(x, 520, 10, "")
	p.beside(y, 60, 600, "")
	band := func(v, sign float64) float64 { return min(max(v+sign*max(3, v/10), 0), top) }
	var points []string
	for v := 0.0; v <= top; v += top / 60 {
		points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(v), y.at(band(v, 1))))
	}
	for v := top; v >= 0; v -= top / 60 {
		points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(v), y.at(band(v, -1))))
	}
	p.writef(`<polygon points="%s" fill="%s" fill-opacity=".13"/>`, strings.Join(points, " "), inTime)
	p.line(x.at(0), y.at(0), x.at(top), y.at(top), faint, 1)
	for _, n := range r.Tree {
		if n.Node == r.Origin || n.MeasuredMs == 0 {
			continue
		}
		off := math.Abs(n.PredictedMs - n.MeasuredMs)
		colour := inTime
		if off > 3 && off > n.MeasuredMs/10 {
			colour = late
		}
		p.dot(x.at(n.PredictedMs), y.at(n.MeasuredMs), 4, colour, fmt.Sprintf("%s: predicted %.1f ms, measured %.1f ms", n.Node, n.PredictedMs, n.MeasuredMs))
	}
	p.text(330, 555, 12, ink, "middle", "predicted, ms")
	p.text(64, 22, 12, ink, "start", "measured, ms")
	return p.done()
}

func (r *Report) gapPlot() string {
	p := newPlot(1140, 320)
	top := 300.0
	for _, g := range r.Gaps {
		top = max(top, g.Silence*1.1)
	}
	x, y := axis{0, r.Config.Duration.Seconds(), 70, 1120}, axis{0, top, 270, 10}
	p.along(x, 270, 10, " s")
	p.beside(y, 70, 1120, " ms")
	for _, f := range r.Faults {
		at := x.at(f.Began.Seconds())
		p.line(at, 10, at, 270, late, 1.5)
		p.text(at+4, 22, 11, late, "start", string(f.Kind))
	}
	gaps := slices.Clone(r.Gaps)
	slices.Reverse(gaps) // the largest last, on top
	for _, g := range gaps {
		colour := nearIt
		if g.Frames > 0 {
			colour = late
		}
		p.dot(x.at(g.At.Sub(r.From).Seconds()), y.at(g.Silence), 2+3*math.Log10(float64(max(g.Viewers, 1))), colour,
			fmt.Sprintf("%s at %s: %.0f ms, %d frames missing, %d viewers. %s", g.Track, g.Node, g.Silence, g.Frames, g.Viewers, g.Cause))
	}
	for _, m := range r.Moves {
		at := x.at(m.At.Seconds())
		p.line(at, 290, at, 300, ink, 1)
	}
	p.text(70, 315, 11, faint, "start", "changes of parent")
	return p.done()
}
