package main

import (
	"fmt"
	"math"
	"time"

	"trellis/routing"
)

// planSummary is what trellis plan prints.
type planSummary struct {
	Instance       string  `json:"instance,omitempty"`
	Viewers        int64   `json:"viewers"`
	Reachable      int64   `json:"reachable_in_bound"`
	InBoundLimit   int64   `json:"in_bound_limit"` // no plan can have more, as far as is proven
	InBoundBy      string  `json:"in_bound_limit_by"`
	InBound        int64   `json:"in_bound"`
	InBoundGap     float64 `json:"in_bound_gap_percent"`
	Served         int64   `json:"served"`
	LateMs         float64 `json:"lateness_viewer_ms"`
	LeastLateMs    float64 `json:"least_lateness_viewer_ms"`
	LateBy         string  `json:"least_lateness_by"`
	LateGap        float64 `json:"lateness_gap_percent"` // -1 if the bound is 0 and the lateness is not
	CostUSD        float64 `json:"cost_usd_per_hour"`
	CostBoundUSD   float64 `json:"cost_bound_usd_per_hour"`
	GapPercent     float64 `json:"gap_percent"`
	BoundQuantumMs float64 `json:"bound_quantum_ms,omitempty"`
	Proven         bool    `json:"proven_optimal"`
	Claim          string  `json:"claim"`

	Blast      blastSummary       `json:"blast_radius"`
	Protection protectionSummary  `json:"protected"`
	DelayMs    map[string]float64 `json:"delay_ms"`

	PlanMs    float64 `json:"plan_ms"`
	CertifyMs float64 `json:"certify_ms"`
	ImproveMs float64 `json:"improve_ms"`
	ProtectMs float64 `json:"protect_ms,omitempty"`

	Moved      *int64             `json:"viewers_moved,omitempty"`
	Shortfalls []shortfallSummary `json:"shortfalls,omitempty"`
	Omitted    int                `json:"shortfalls_omitted,omitempty"`
	Explain    []reasonSummary    `json:"explain,omitempty"`
	Fail       []failSummary      `json:"fail,omitempty"`
}

type blastSummary struct {
	Track       string  `json:"track,omitempty"`
	Node        string  `json:"node,omitempty"`
	Viewers     int64   `json:"viewers"`
	Percent     float64 `json:"percent"`
	Unprotected int64   `json:"without_backup"`
}

type protectionSummary struct {
	Node     protectedViewers `json:"node"`
	Region   protectedViewers `json:"region"`
	Provider protectedViewers `json:"provider"`
}

type protectedViewers struct {
	Viewers int64   `json:"viewers"`
	InBound int64   `json:"in_bound"`
	Percent float64 `json:"percent"` // of the served viewers
}

type shortfallSummary struct {
	Track   string  `json:"track"`
	Node    string  `json:"node"`
	Viewers int64   `json:"viewers"`
	Served  bool    `json:"served"`
	LateMs  float64 `json:"late_ms,omitempty"`
	Reason  string  `json:"reason"`
}

type failSummary struct {
	Track      string   `json:"track"`
	Untouched  int64    `json:"untouched"`
	OnBackup   int64    `json:"on_backup_in_bound"`
	LateOnIt   int64    `json:"on_backup_late"`
	Dark       int64    `json:"dark_until_repair"`
	Gone       int64    `json:"at_failed_nodes"`
	Overloaded []string `json:"overloaded,omitempty"`
}

type reasonSummary struct {
	Track   string          `json:"track"`
	Node    string          `json:"node"`
	Served  bool            `json:"served"`
	WhyNot  string          `json:"why_not,omitempty"`
	Parent  string          `json:"parent,omitempty"`
	Backup  string          `json:"backup_parent,omitempty"`
	Path    []string        `json:"path,omitempty"`
	DelayMs float64         `json:"delay_ms"`
	LeastMs float64         `json:"least_delay_ms"`
	BoundMs float64         `json:"bound_ms,omitempty"`
	SlackMs float64         `json:"slack_ms"`
	CostUSD float64         `json:"arc_usd_per_hour"`
	Viewers int64           `json:"viewers"`
	Below   int64           `json:"viewers_depending"`
	Choices []choiceSummary `json:"alternatives,omitempty"`
}

type choiceSummary struct {
	Parent   string  `json:"parent"`
	DelayMs  float64 `json:"delay_ms"`
	CostUSD  float64 `json:"arc_usd_per_hour"`
	InBound  int64   `json:"in_bound_change"`
	LateMs   float64 `json:"lateness_change_viewer_ms"`
	CostDiff float64 `json:"cost_change_usd_per_hour"`
	Possible bool    `json:"possible"`
	Obstacle string  `json:"obstacle,omitempty"`
}

// lateTie is a difference of lateness, in viewer-milliseconds, that is none.
const lateTie = 1e-6

// Lists in the summary are cut here; a person reads them.
const (
	maxShortfalls = 20
	maxChoices    = 12
)

func (r *planRun) summary() (*planSummary, error) {
	score := r.plan.Score(r.d)
	s := &planSummary{
		Instance: r.d.Name, Viewers: r.d.Viewers(),
		Reachable: r.bounds.Reachable, InBoundLimit: r.bounds.InBound,
		InBoundBy: string(r.bounds.InBoundBy), LateBy: string(r.bounds.LateBy),
		InBound: score.InBound, Served: score.Served,
		LateMs: tidy(score.LateMs), LeastLateMs: tidy(r.bounds.LeastLateMs), CostUSD: tidy(score.CostUSD),
		CostBoundUSD: tidy(r.bounds.CostUSD), GapPercent: -1,
		Proven: r.planner.Proven(),
		PlanMs: ms(r.first), CertifyMs: ms(r.certify), ImproveMs: ms(r.improved), ProtectMs: ms(r.protect),
		DelayMs: map[string]float64{},
	}
	if q := r.bounds.QuantumMs; !math.IsInf(q, 0) { // infinite: found without layers
		s.BoundQuantumMs = q
	}
	if gap := r.bounds.Gap(score.CostUSD); !math.IsInf(gap, 0) {
		s.GapPercent = tidy(100 * gap)
	}
	s.InBoundGap = tidy(100 * float64(r.bounds.InBound-score.InBound) / float64(max(r.bounds.InBound, 1)))
	switch spare := score.LateMs - r.bounds.LeastLateMs; {
	case spare <= lateTie:
		s.LateGap = 0
	case r.bounds.LeastLateMs <= lateTie:
		s.LateGap = -1
	default:
		s.LateGap = tidy(100 * spare / r.bounds.LeastLateMs)
	}
	s.Claim = r.claim(score)
	for _, p := range r.d.Percentiles(r.plan, 50, 90, 95, 99, 100) {
		s.DelayMs[fmt.Sprintf("p%g", p.Percent)] = tidy(p.DelayMs)
	}
	r.summariseRisk(s)
	if r.prev != nil {
		moved := r.d.Moved(r.prev, r.plan)
		s.Moved = &moved
	}
	for _, x := range r.d.Shortfalls(r.plan) {
		if len(s.Shortfalls) == maxShortfalls {
			s.Omitted++
			continue
		}
		s.Shortfalls = append(s.Shortfalls, shortfallSummary{x.Track, x.Node, x.Viewers, x.Served, tidy(x.LateMs), x.Reason})
	}
	if err := r.summariseQuestions(s); err != nil {
		return nil, err
	}
	return s, nil
}

// claim says in words what is proven, and what is not.
func (r *planRun) claim(score routing.Score) string {
	switch {
	case r.planner.Proven():
		return "optimal in every term, proven by branch and bound"
	case score.InBound < r.bounds.InBound:
		return "viewers in bound: the truth lies between plan and limit; lateness and cost bounds hold for the same viewers served and in bound"
	case score.LateMs > r.bounds.LeastLateMs+lateTie:
		return "in bound is optimal; lateness lies between bound and plan, and the cost bound holds for no more lateness, the same viewers being in bound"
	case r.bounds.Gap(score.CostUSD) == 0:
		return "in bound, lateness and cost are optimal: each meets its bound"
	}
	return "in bound and lateness are optimal; the cost bound holds for the same viewers in bound"
}

// summariseRisk fills in blast radius and protection, over all tracks.
func (r *planRun) summariseRisk(s *planSummary) {
	for i := range r.d.Tracks {
		b := r.d.Blast(r.plan, i)
		if b.Node != routing.None && b.Viewers > s.Blast.Viewers {
			total := int64(0)
			for _, t := range r.d.Tracks[i].Terminals {
				total += t.Viewers
			}
			s.Blast = blastSummary{
				Track: r.d.Tracks[i].ID, Node: r.d.Graph.Node(b.Node).ID, Viewers: b.Viewers,
				Percent: tidy(100 * float64(b.Viewers) / float64(total)), Unprotected: b.Unprotected,
			}
		}
	}
	for grade, out := range map[routing.Grade]*protectedViewers{
		routing.ByNode: &s.Protection.Node, routing.ByRegion: &s.Protection.Region, routing.ByProvider: &s.Protection.Provider,
	} {
		for i := range r.d.Tracks {
			p := r.d.Protection(r.plan, i, grade)
			out.Viewers += p.Viewers
			out.InBound += p.InBound
		}
		if s.Served > 0 {
			out.Percent = tidy(100 * float64(out.Viewers) / float64(s.Served))
		}
	}
}

// summariseQuestions answers --explain and --fail.
func (r *planRun) summariseQuestions(s *planSummary) error {
	if r.f.explain != "" {
		v, ok := r.d.Graph.Index(r.f.explain)
		if !ok {
			return usagef("--explain: the scenario has no node %q", r.f.explain)
		}
		for i := range r.d.Tracks {
			s.Explain = append(s.Explain, explained(r.d.Explain(r.plan, i, v, maxChoices)))
		}
	}
	if len(r.f.fail) > 0 {
		dead, err := r.d.Graph.Failed(r.f.fail)
		if err != nil {
			return usagef("--fail: %w", err)
		}
		for _, x := range r.d.Fail(r.plan, dead) {
			s.Fail = append(s.Fail, failSummary{x.Track, x.Untouched, x.OnBackup, x.LateOnIt, x.Dark, x.Gone, x.Overloaded})
		}
	}
	return nil
}

func explained(x routing.Reason) reasonSummary {
	out := reasonSummary{
		Track: x.Track, Node: x.Node, Served: x.Served, WhyNot: x.WhyNot, Parent: x.Parent, Backup: x.Backup, Path: x.Path,
		DelayMs: tidy(x.DelayMs), LeastMs: tidy(x.LeastMs), BoundMs: x.BoundMs, SlackMs: tidy(x.SlackMs),
		CostUSD: tidy(x.CostUSD), Viewers: x.Viewers, Below: x.Below,
	}
	for _, c := range x.Choices {
		out.Choices = append(out.Choices, choiceSummary{
			Parent: c.Parent, DelayMs: tidy(c.DelayMs), CostUSD: tidy(c.CostUSD),
			InBound: c.Change.InBound, LateMs: tidy(c.Change.LateMs), CostDiff: tidy(c.Change.CostUSD),
			Possible: c.Possible, Obstacle: c.Obstacle,
		})
	}
	return out
}

func ms(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }

// tidy rounds away what only floating point knows.
func tidy(x float64) float64 {
	return max(-math.MaxFloat64, min(math.MaxFloat64, math.Round(x*1e9)/1e9)) // JSON has no infinity
}
