package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what all runs of a kind showed.
type report struct {
	Label   string    `json:"label"` // real sockets and real time
	Kind    string    `json:"kind"`
	Began   time.Time `json:"began"`
	Took    string    `json:"took"`
	Commit  string    `json:"commit"`
	Command []string  `json:"command"`
	Go      string    `json:"go"`
	Cores   int       `json:"cores"`
	Load    string    `json:"load_average,omitempty"` // before the first run
	Seed    uint64    `json:"seed"`
	Figures []figure  `json:"figures"`
	Runs    []*result `json:"runs,omitempty"`
}

// figure is one number, and what it should be at most.
type figure struct {
	Name   string   `json:"name"`
	Value  float64  `json:"value"`
	Target *float64 `json:"target_most,omitempty"`
}

func (f figure) missed() bool { return f.Target != nil && f.Value > *f.Target }

func newReport(ctx context.Context, opt options) *report {
	r := &report{
		Label: "measured", Kind: opt.kind, Began: time.Now().UTC().Truncate(time.Second), Commit: commit(ctx),
		Command: append([]string{"bench/failure"}, os.Args[1:]...), Go: runtime.Version(), Cores: runtime.NumCPU(), Seed: opt.seed,
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil { // not on every system
		r.Load = strings.TrimSpace(string(b))
	}
	return r
}

// commit names what was measured, marked where the work tree differs from it.
func commit(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	id := strings.TrimSpace(string(out))
	if changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--", ":!bench/results").Output(); err != nil || len(changes) > 0 {
		id += "-dirty"
	}
	return id
}

func (r *report) add(res *result) { r.Runs = append(r.Runs, res) }

func (r *report) figure(name string, value float64, most ...float64) {
	f := figure{Name: name, Value: value}
	if len(most) > 0 {
		f.Target = &most[0]
	}
	r.Figures = append(r.Figures, f)
}

// Targets of the catalogue of faults: with real processes.
const (
	gapP50, gapP99 = 300, 1000 // ms
	downP100       = 1000      // ms, at both ends of a path that loses one direction
)

// finish turns the runs into figures.
func (r *report) finish() {
	r.Took = time.Since(r.Began).Round(time.Second).String()
	slices.SortFunc(r.Runs, func(a, b *result) int { return a.Run - b.Run })
	for _, s := range streams {
		var gaps, spared []float64
		lost, sent, double, spoilt := 0, 0, 0, 0
		for _, run := range r.Runs {
			for _, v := range run.Views {
				if v.Track != s.track {
					continue
				}
				double += v.Double
				if !v.Affected {
					spared = append(spared, v.GapMs...)
					continue
				}
				gaps = append(gaps, v.GapMs...)
				lost += v.Lost
				sent += v.Sent * len(v.GapMs)
				if v.Lost > 0 {
					spoilt++
				}
			}
		}
		name := s.kind.String() + "_"
		r.figure(name+"gap_p50_ms", quantile(gaps, 0.5), gapP50)
		r.figure(name+"gap_p90_ms", quantile(gaps, 0.9))
		r.figure(name+"gap_p99_ms", quantile(gaps, 0.99), gapP99)
		r.figure(name+"gap_max_ms", quantile(gaps, 1))
		r.figure(name+"viewers", float64(len(gaps)))
		r.figure(name+"objects_sent", float64(sent))
		r.figure(name+"objects_lost", float64(lost))
		r.figure(name+"edges_with_loss", float64(spoilt))
		r.figure(name+"objects_double", float64(double), 0)
		if len(spared) > 0 {
			r.figure(name+"gap_of_others_max_ms", quantile(spared, 1))
		}
	}
	r.finishLinks()
}

// finishLinks adds what the runs say of links and parents.
func (r *report) finishLinks() {
	var down, both []float64
	unmoved, wrong, apart := 0, 0, 0
	for _, run := range r.Runs {
		for id, d := range run.DownMs {
			if id != run.Victim {
				down = append(down, d)
			}
		}
		if len(run.DownMs) == 2 {
			both = append(both, max(run.DownMs[edgeIDs[0]], run.DownMs[run.Victim]))
		}
		if run.NewParent == "" || run.NewParent == run.Victim && run.Linked == nil {
			unmoved++
		}
		if run.Linked != nil && !*run.Linked {
			apart++
		}
		if run.Wrong != "" {
			wrong++
		}
	}
	r.figure("link_down_at_edge_p50_ms", quantile(down, 0.5))
	r.figure("link_down_at_edge_p99_ms", quantile(down, 0.99))
	switch r.Kind {
	case "oneway":
		r.figure("link_down_at_both_ends_max_ms", quantile(both, 1), downP100)
		r.figure("runs_with_one_end_up", float64(len(r.Runs)-len(both)), 0)
	case "freeze":
		r.figure("runs_without_link_at_the_end", float64(apart))
	}
	r.figure("runs_without_new_parent", float64(unmoved), 0)
	r.figure("runs_with_foreign_objects", float64(wrong), 0)
	r.figure("runs", float64(len(r.Runs)))
}

// quantile returns the value that so large a share does not exceed, 0 if there
// is none.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	i := int(share*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func (r *report) missed() bool { return slices.ContainsFunc(r.Figures, figure.missed) }

func (r *report) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(tw, "%s, %s, %s, %d cores, load %s\n", r.Kind, r.Label, r.Commit, r.Cores, r.Load)
	for _, f := range r.Figures {
		verdict := ""
		switch {
		case f.Target == nil:
		case f.missed():
			verdict = fmt.Sprintf("at most %g: missed", *f.Target)
		default:
			verdict = fmt.Sprintf("at most %g: met", *f.Target)
		}
		_, _ = fmt.Fprintf(tw, "  %s\t%.4g\t%s\n", f.Name, f.Value, verdict)
	}
	return tw.Flush()
}
