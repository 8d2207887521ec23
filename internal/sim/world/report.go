package world

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"trellis/internal/node"
	"trellis/internal/sim"
)

// Report is what happened in a run. All of it is simulated.
type Report struct {
	Label    string        `json:"label"`
	From     time.Time     `json:"from"` // in virtual time: when the measurement began
	Config   Config        `json:"config"`
	Source   string        `json:"source"` // of the latencies
	Origin   string        `json:"origin"`
	Bps      int           `json:"published_bps"`
	Nodes    int           `json:"nodes"`
	Links    int           `json:"links"`
	Virtual  time.Duration `json:"virtual_ns"`
	Took     time.Duration `json:"took_ns"` // real time
	Spent    time.Duration `json:"processor_ns"`
	Relays   int           `json:"relays"`
	Depth    int           `json:"depth"`
	Share    Share         `json:"share"`                   // by any pair of nodes
	Linked   Share         `json:"share_by_measured_links"` // by the links that there were
	Minutes  []Minute      `json:"minutes"`
	Regions  []RegionAges  `json:"regions"`
	Joins    Quantiles     `json:"joins"`
	Taken    Taken         `json:"taken"`
	Clients  []ClientView  `json:"clients"`
	Real     RealJoins     `json:"real_client_joins"`
	Tree     []TreeNode    `json:"tree"`
	Flows    []LinkFlow    `json:"flows"`
	Moves    []Move        `json:"moves"`
	Faults   []FaultReport `json:"faults"`
	Gaps     []Gap         `json:"gaps"`
	Lost     uint64        `json:"objects_lost"` // at viewers, by all of them
	Broken   []string      `json:"violations"`   // what must never be
	Notes    []string      `json:"notes"`
	Events   []Count       `json:"events"`
	Dead     []TreeNode    `json:"dead"`
	Accuracy Accuracy      `json:"accuracy"`
}

// Short is the report without what is told node by node: a record to be kept.
func (r *Report) Short() Report {
	s := *r
	s.Clients, s.Tree, s.Flows, s.Moves, s.Regions = nil, nil, nil, nil, nil
	s.Gaps = s.Gaps[:min(len(s.Gaps), shortGaps)]
	s.Notes = s.Notes[:min(len(s.Notes), shortGaps)]
	return s
}

// shortGaps is how many gaps, those that most viewers saw, a record keeps.
const shortGaps = 10

// Share says who was in time, over all windows.
type Share struct {
	// Possible viewers are those whom the graph allows the budget.
	Possible   uint64  `json:"possible"`
	InBudget   uint64  `json:"in_budget"`
	PercentIn  float64 `json:"percent_in_budget"`
	Others     uint64  `json:"others"`
	OthersGood uint64  `json:"others_within_a_tenth"`
	PercentOth float64 `json:"percent_others_within_a_tenth"`
}

// Minute is one window of the session: viewers' tracks that received it, and
// those whose 95th percentile was in time.
type Minute struct {
	Minute int `json:"minute"`
	Share

	Ages Quantiles `json:"ages"`
}

// RegionAges is what the viewers of a region had.
type RegionAges struct {
	Region  string    `json:"region"`
	Viewers int       `json:"viewers"`
	LeastMs float64   `json:"least_ms"` // least possible, of its nearest node
	Ages    Quantiles `json:"ages"`
	P1Ms    float64   `json:"p1_ms"`
	P25Ms   float64   `json:"p25_ms"`
	P75Ms   float64   `json:"p75_ms"`
}

// TreeNode is a node of the last tree that was seen.
type TreeNode struct {
	Node        string  `json:"node"`
	Region      string  `json:"region"`
	Provider    string  `json:"provider"`
	Parent      string  `json:"parent"`
	Viewers     int     `json:"viewers"`
	Below       int     `json:"below"`
	PredictedMs float64 `json:"predicted_ms"`
	MeasuredMs  float64 `json:"measured_ms"`
	ReportedMs  float64 `json:"reported_ms"` // by the node itself, through its clocks
	LeastMs     float64 `json:"least_ms"`
	Cause       string  `json:"cause"`
	Lat         float64 `json:"lat"`
	Lon         float64 `json:"lon"`
}

// LinkFlow is what a link carried of media, and what that costs.
type LinkFlow struct {
	From       string  `json:"from"`
	To         string  `json:"to"`
	Bytes      uint64  `json:"bytes"`
	QUICBytes  uint64  `json:"quic_bytes"`
	USDPerGB   float64 `json:"usd_per_gb"`
	USDPerHour float64 `json:"usd_per_hour"`
}

// Move is a change of parent between two looks at the tree.
type Move struct {
	At    time.Duration `json:"at"`
	Node  string        `json:"node"`
	From  string        `json:"from"`
	To    string        `json:"to"`
	Cause string        `json:"cause"`
}

// Taken is how often nodes take the picture from others: once each, and once more
// where a backup stands by, however many viewers they have.
type Taken struct {
	Nodes int `json:"nodes"`
	Subs  int `json:"subscriptions"`
	Most  int `json:"most_of_a_node"`
}

// Count is a number with its reason.
type Count struct {
	Reason string `json:"reason"`
	N      uint64 `json:"n"`
}

// String is for lists of what went wrong.
func (c Count) String() string { return fmt.Sprintf("%s: %d", c.Reason, c.N) }

// Accuracy compares what nodes predicted with what was measured.
type Accuracy struct {
	Nodes    int     `json:"nodes"`
	Within   int     `json:"within_10_percent_or_3_ms"`
	Percent  float64 `json:"percent"`
	WorstMs  float64 `json:"worst_ms"`
	Reported int     `json:"reported_within"` // of what nodes say of ages themselves
}

// report gathers everything at the end of the measurement.
func (w *World) report() *Report {
	all := w.status()
	r := &Report{
		Label: "simulated", From: w.session.from, Config: w.cfg, Source: w.m.Provenance["source"], Origin: w.places[w.origin].ID,
		Bps: bps(w.cfg.Clip), Nodes: len(w.places), Virtual: time.Since(w.began), Faults: w.faults, Notes: w.problem,
	}
	w.finishCrowds()
	w.shares(r)
	w.regionAges(r)
	w.treeReport(r, all)
	w.flowReport(r, all)
	w.moveReport(r)
	w.clientReport(r)
	w.gapReport(r)
	w.judge(r, w.readEvents())
	return r
}

// bps is what a clip amounts to, in bits of frames per second.
func bps(c sim.Clip) int {
	gop := c.KeyBytes + (c.GOP-1)*c.DeltaBytes
	return 8 * (gop*c.FrameRate/c.GOP + c.AudioBytes*50)
}

// finishCrowds puts what is under way into the books.
func (w *World) finishCrowds() {
	for _, a := range w.everyCrowd {
		for m := range a.tracks {
			t := &a.tracks[m]
			t.mu.Lock()
			t.settle()
			for _, s := range t.sinks {
				w.last(s, a)
				s.close()
			}
			t.mu.Unlock()
		}
	}
}

// last looks at how a viewer's session ended: one who waits for something at the
// end has a gap like any other.
func (w *World) last(s *sink, a *audience) {
	t := s.track
	now := time.Now()
	if context.Cause(a.ctx) != nil {
		return // the node died; the viewer is counted where it went
	}
	switch {
	case s.last < 0 && now.Sub(s.joined) > silenceShown+2*time.Second:
		t.fault("never_began")
	case s.last >= 0 && now.Sub(s.lastAt) > silenceShown:
		t.fault("stood_still_at_the_end")
	}
}

func percent(part, of uint64) float64 {
	if of == 0 {
		return 100
	}
	return 100 * float64(part) / float64(of)
}

func (s *Share) add(v *window, r rule) {
	s.Possible += v.possible[r]
	s.InBudget += v.inBudget[r]
	s.Others += v.viewers - v.possible[r]
	s.OthersGood += v.inTime[r] - v.inBudget[r]
	s.PercentIn, s.PercentOth = percent(s.InBudget, s.Possible), percent(s.OthersGood, s.Others)
}

func (w *World) shares(r *Report) {
	var ages []tally
	for _, a := range w.everyCrowd {
		r.addCrowd(a, &ages)
	}
	for i := range r.Minutes {
		r.Minutes[i].Ages = ages[i].quantiles()
	}
	var joins tally
	for _, a := range w.everyCrowd {
		joins.merge(&a.joins)
	}
	r.Joins = joins.quantiles()
}

func (r *Report) addCrowd(a *audience, ages *[]tally) {
	for m := range a.tracks {
		for i := range a.tracks[m].windows {
			v := &a.tracks[m].windows[i]
			for len(r.Minutes) <= i {
				r.Minutes = append(r.Minutes, Minute{Minute: len(r.Minutes) + 1})
				*ages = append(*ages, tally{})
			}
			(*ages)[i].merge(&v.ages)
			r.Minutes[i].add(v, anyPair)
			r.Share.add(v, anyPair)
			r.Linked.add(v, measured)
		}
	}
}

func (w *World) regionAges(r *Report) {
	type sum struct {
		ages    tally
		viewers int
		least   time.Duration
	}
	sums := map[int]*sum{}
	for _, a := range w.everyCrowd {
		at := w.byID[a.node]
		s := sums[w.places[at].Region]
		if s == nil {
			s = &sum{least: math.MaxInt64}
			sums[w.places[at].Region] = s
		}
		s.viewers += a.viewers
		s.least = min(s.least, w.least[at])
		for m := range a.tracks {
			for i := range a.tracks[m].windows {
				s.ages.merge(&a.tracks[m].windows[i].ages)
			}
		}
	}
	for _, i := range sortedKeys(sums) {
		s := sums[i]
		ra := RegionAges{Region: w.m.Regions[i].ID, Viewers: s.viewers, LeastMs: millis(s.least), Ages: s.ages.quantiles()}
		ra.P1Ms, ra.P25Ms, ra.P75Ms = s.ages.ms(0.01), s.ages.ms(0.25), s.ages.ms(0.75)
		r.Regions = append(r.Regions, ra)
	}
	slices.SortStableFunc(r.Regions, func(a, b RegionAges) int { return cmp.Compare(a.LeastMs, b.LeastMs) })
}

func millis(d time.Duration) float64 {
	if d == math.MaxInt64 {
		return -1
	}
	return float64(d) / float64(time.Millisecond)
}

func (w *World) treeReport(r *Report, all map[int]node.Status) {
	t := w.tree(all)
	inner := map[int]bool{}
	for _, i := range sortedKeys(t.parent) {
		n := w.treeNode(i)
		n.Below, n.PredictedMs, n.LeastMs, n.Cause = t.below[i], t.cost[i], millis(w.least[i]), t.cause[i]
		if up := t.parent[i]; up >= 0 {
			n.Parent = w.places[up].ID
			if up != w.origin {
				inner[up] = true
			}
		}
		r.Depth = max(r.Depth, len(t.path[i])-1)
		if a := w.crowds[i]; a != nil {
			n.Viewers = a.viewers
			n.MeasuredMs = a.recent()
			n.ReportedMs = reportedAge(all[i])
			if i != w.origin && n.MeasuredMs > 0 {
				r.Accuracy.add(n)
			}
		}
		r.Tree = append(r.Tree, n)
		if i != w.origin {
			r.Taken.add(t.subs[i])
		}
	}
	r.Relays = len(inner)
	for i, dead := range w.dead {
		if dead {
			r.Dead = append(r.Dead, w.treeNode(i))
		}
	}
}

func (t *Taken) add(subs int) {
	t.Nodes++
	t.Subs += subs
	t.Most = max(t.Most, subs)
}

func (w *World) treeNode(i int) TreeNode {
	p := &w.places[i]
	region := &w.m.Regions[p.Region]
	return TreeNode{Node: p.ID, Region: region.ID, Provider: string(p.Provider), Lat: region.Lat, Lon: region.Lon}
}

// recent is the median age of the picture at the node's viewers in the last window.
func (c *crowd) recent() float64 {
	t := &c.tracks[sim.Video]
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.windows) == 0 {
		return 0
	}
	return t.windows[len(t.windows)-1].ages.ms(0.5)
}

// reportedAge is what the node itself says of the picture's age.
func reportedAge(s node.Status) float64 {
	for _, b := range s.Broadcasts {
		for _, t := range b.Tracks {
			if b.Name == broadcast && t.Name == sim.VideoTrack {
				return t.Age.P50Ms
			}
		}
	}
	return 0
}

func (a *Accuracy) add(n TreeNode) {
	a.Nodes++
	good := func(have float64) bool {
		off := math.Abs(have - n.MeasuredMs)
		return off <= 3 || off <= n.MeasuredMs/10
	}
	if good(n.PredictedMs) {
		a.Within++
	}
	if good(n.ReportedMs) {
		a.Reported++
	}
	a.WorstMs = max(a.WorstMs, math.Abs(n.PredictedMs-n.MeasuredMs))
	a.Percent = percent(uint64(a.Within), uint64(a.Nodes))
}

func (w *World) flowReport(r *Report, all map[int]node.Status) {
	hours := time.Since(w.session.start).Hours()
	drops := map[string]uint64{}
	for _, i := range sortedKeys(all) {
		r.Links += len(all[i].Links)
		for _, l := range all[i].Links {
			for reason, n := range l.Dropped {
				drops["link "+reason] += n
			}
			to, ok := w.byID[l.Peer]
			if !ok {
				continue
			}
			f := LinkFlow{From: w.places[i].ID, To: l.Peer, QUICBytes: l.BytesSent, USDPerGB: usdPerGB(w.m, &w.places[i], &w.places[to])}
			for _, out := range l.Out {
				f.Bytes += out.Bytes
			}
			if f.Bytes == 0 {
				continue
			}
			f.USDPerHour = float64(f.Bytes) / 1e9 * f.USDPerGB / hours
			r.Flows = append(r.Flows, f)
		}
		for _, b := range all[i].Broadcasts {
			for _, t := range b.Tracks {
				for reason, n := range t.Dropped {
					drops["track "+reason] += n
				}
			}
		}
	}
	r.Links /= 2
	slices.SortStableFunc(r.Flows, func(a, b LinkFlow) int { return cmp.Compare(b.Bytes, a.Bytes) })
	for reason, n := range drops {
		r.Events = append(r.Events, Count{reason, n})
	}
	slices.SortFunc(r.Events, func(a, b Count) int { return cmp.Compare(a.Reason, b.Reason) })
}

func (w *World) moveReport(r *Report) {
	name := func(i int) string {
		if i < 0 {
			return ""
		}
		return w.places[i].ID
	}
	for k := 1; k < len(w.trees); k++ {
		before, after := w.trees[k-1], w.trees[k]
		for _, i := range sortedKeys(after.parent) {
			was, had := before.parent[i]
			if had && was != after.parent[i] {
				r.Moves = append(r.Moves, Move{
					At: after.at.Sub(w.session.from), Node: w.places[i].ID, From: name(was), To: name(after.parent[i]), Cause: after.cause[i],
				})
			}
		}
	}
}

// maxGapsShown bounds the list in the report; those that most viewers saw stay.
const maxGapsShown = 2000

func (w *World) gapReport(r *Report) {
	broken := map[string]uint64{}
	for _, a := range w.everyCrowd {
		for m := range a.tracks {
			t := &a.tracks[m]
			t.mu.Lock()
			for what, n := range t.faults {
				broken[t.media.String()+" "+what] += n
			}
			for _, g := range t.gaps {
				r.Gaps = append(r.Gaps, *g)
			}
			r.Lost += t.lost
			t.mu.Unlock()
		}
	}
	for what, n := range broken {
		r.Broken = append(r.Broken, Count{what, n}.String())
	}
	slices.Sort(r.Broken)
	slices.SortFunc(r.Gaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(b.Viewers, a.Viewers), a.At.Compare(b.At), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Track, b.Track))
	})
	r.Gaps = r.Gaps[:min(len(r.Gaps), maxGapsShown)]
}
