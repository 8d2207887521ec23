package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"trellis/routing"
	"trellis/routing/draw"
	"trellis/routing/scenario"
)

// planFlags are the flags of trellis plan.
type planFlags struct {
	scenario, out, prev, svg, backup, explain string
	fail                                      []string
	budget, certify                           time.Duration
	seed                                      uint64
	maxShare                                  float64
}

func newPlanCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan --scenario FILE --out PLAN",
		Short: "Plan the trees of a scenario, and say how good they are",
		Long: `Plan reads a scenario, writes a plan and prints a summary as JSON.

The same scenario, flags and seed give the same plan, byte for byte, on any
machine: budgets are counted in steps of the planner, of which one core does
about so many in the given time.`,
		Args: cobra.NoArgs,
	}
	var f planFlags
	flags := cmd.Flags()
	flags.StringVar(&f.scenario, "scenario", "", "scenario `FILE` to read (required)")
	flags.StringVar(&f.out, "out", "", "`FILE` for the plan (required)")
	flags.StringVar(&f.prev, "prev", "", "running plan: depart from this `FILE` only where it gains enough")
	flags.StringVar(&f.backup, "backup", "none", "standby trees against the loss of any one node, region or provider")
	flags.DurationVar(&f.budget, "budget", time.Second, "time for improving a plan that is not proven optimal")
	flags.DurationVar(&f.certify, "certify", 2*time.Second, "time for proving how good the plan is")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the search")
	flags.Float64Var(&f.maxShare, "max-share", 0, "largest share of the viewers that may depend on one relay; 0 is no limit")
	flags.StringVar(&f.explain, "explain", "", "say why this `NODE` has its parent, and what others would cost")
	flags.StringSliceVar(&f.fail, "fail", nil, "say what happens when these `ID`s (nodes, regions or providers) die together")
	flags.StringVar(&f.svg, "svg", "", "draw the trees to this `FILE`; of several tracks each to a file of its own")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.scenario == "" || f.out == "" {
			return usagef("--scenario and --out are required")
		}
		return runPlan(&f, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func runPlan(f *planFlags, stdout, stderr io.Writer) error {
	grade, err := routing.ParseGrade(f.backup)
	if err != nil {
		return usagef("--backup: %w", err)
	}
	if f.maxShare < 0 || f.maxShare >= 1 {
		return usagef("--max-share: %g is not between 0 and 1", f.maxShare)
	}
	if f.budget < 0 || f.certify < 0 {
		return usagef("--budget and --certify cannot be negative")
	}
	d, err := readScenario(f.scenario)
	if err != nil {
		return err
	}
	r := &planRun{f: f, d: d, progress: newProgress(stderr)}
	if r.planner, err = routing.New(d, routing.Config{Seed: f.seed, MaxShare: f.maxShare}); err != nil {
		return fmt.Errorf("%s: %w", f.scenario, err)
	}
	if f.prev != "" {
		if r.prev, err = readPlan(f.prev, d); err != nil {
			return err
		}
	}
	r.make()
	if grade != routing.NoBackup {
		start := time.Now()
		if r.plan, err = routing.Protect(d, r.plan, grade, f.seed); err != nil {
			return err
		}
		r.protect = time.Since(start)
	}
	r.progress.done()
	s, err := r.summary()
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.out, scenario.AppendPlan(nil, d, r.plan), 0o644); err != nil {
		return err
	}
	if err := r.draw(); err != nil {
		return err
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(s)
}

func readScenario(name string) (*routing.Demand, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	d, err := scenario.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

func readPlan(name string, d *routing.Demand) (*routing.Plan, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p, err := scenario.ParsePlan(b, d, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// planRun is one run of the command.
type planRun struct {
	f        *planFlags
	d        *routing.Demand
	planner  *routing.Planner
	prev     *routing.Plan
	progress *progress

	plan                              *routing.Plan
	bounds                            routing.Bounds
	first, certify, improved, protect time.Duration
}

// improveSlice is how much of the budget is spent between looks at the result.
const improveSlice = 100 * time.Millisecond

// closeEnough ends the improvement of a plan whose cost is this near to the
// bound, all else being proven.
const closeEnough = 0.001

// make plans, proves, and improves as long as there is budget and something to
// gain.
func (r *planRun) make() {
	start := time.Now()
	if r.prev != nil {
		r.planner.PlanGated(r.prev)
	} else {
		r.planner.Plan(nil)
	}
	r.first = time.Since(start)
	r.plan = r.planner.Result()
	r.prove()
	if r.prev == nil {
		start = time.Now()
		rounds := int(math.Ceil(float64(r.f.budget) / float64(improveSlice)))
		changed := false
		for i := range rounds {
			if r.optimal() {
				break
			}
			r.progress.report(i, rounds, r.plan.Score(r.d), r.bounds)
			r.planner.Improve(min(improveSlice, r.f.budget))
			before := r.plan.Score(r.d)
			r.plan = r.planner.Result()
			changed = changed || r.plan.Score(r.d).Compare(before) > 0
		}
		r.improved = time.Since(start)
		if changed {
			r.prove() // bounds of cost hold for the viewers served, who may be others now
		}
	}
}

func (r *planRun) prove() {
	start := time.Now()
	r.bounds = r.planner.Bounds(r.f.certify)
	r.certify += time.Since(start)
}

// optimal reports whether nothing worth having is left to gain.
func (r *planRun) optimal() bool {
	s := r.plan.Score(r.d)
	return r.planner.Proven() || s.InBound >= r.bounds.InBound && s.Served >= r.d.Viewers() &&
		s.LateMs <= r.bounds.LeastLateMs+lateTie && r.bounds.Gap(s.CostUSD) <= closeEnough
}

// draw writes the pictures that were asked for.
func (r *planRun) draw() error {
	if r.f.svg == "" {
		return nil
	}
	for i := range r.d.Tracks {
		name := r.f.svg
		if len(r.d.Tracks) > 1 {
			ext := filepath.Ext(name)
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), i, ext)
		}
		if err := os.WriteFile(name, draw.SVG(r.d, r.plan, i), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// progress is one line on a terminal, written over and over; nothing elsewhere.
type progress struct {
	w       io.Writer
	began   time.Time
	written bool
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		w = nil
	}
	return &progress{w: w, began: time.Now()}
}

func (p *progress) report(i, n int, s routing.Score, b routing.Bounds) {
	if p.w == nil || time.Since(p.began) < time.Second {
		return
	}
	p.written = true
	// A terminal that is gone shows no progress, and that is all.
	_, _ = fmt.Fprintf(p.w, "\r\033[Kimproving %3d %%  in bound %d of %d  cost %.4f USD/h, %.1f %% above the bound",
		100*i/n, s.InBound, b.InBound, s.CostUSD, 100*b.Gap(s.CostUSD))
}

func (p *progress) done() {
	if p.written {
		_, _ = fmt.Fprint(p.w, "\r\033[K")
	}
}
