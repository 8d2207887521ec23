package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"trellis/internal/sim/world"
)

// failureFlags are the options of `trellis-bench failures`.
type failureFlags struct {
	kind  string
	seeds uint64
	first uint64
	jobs  int
	json  bool
	out   string
}

func failuresCommand() *cobra.Command {
	var f failureFlags
	c := &cobra.Command{
		Use:   "failures",
		Short: "One failure in a mesh of five nodes, by the thousand, simulated: how long viewers see nothing",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return f.run() },
	}
	fl := c.Flags()
	fl.StringVar(&f.kind, "kind", "kill", "kill (a relay), blackhole (a link, both ways) or oneway (a link, downwards)")
	fl.Uint64Var(&f.seeds, "seeds", 1000, "how many runs")
	fl.Uint64Var(&f.first, "first", 0, "the first seed")
	fl.IntVar(&f.jobs, "jobs", runtime.GOMAXPROCS(0), "how many runs at a time")
	fl.BoolVar(&f.json, "json", false, "write the summary as JSON to the standard output")
	fl.StringVar(&f.out, "out", "", "directory for failures-KIND.json")
	return c
}

var failureKinds = map[string]world.FaultKind{"kill": world.KillRelay, "blackhole": world.Blackhole, "oneway": world.OneWay}

func (f *failureFlags) run() error {
	kind, ok := failureKinds[f.kind]
	if !ok || f.seeds == 0 || f.jobs < 1 {
		return fmt.Errorf("failures: want a kind of kill, blackhole, oneway, and at least one seed and job; got %q, %d, %d", f.kind, f.seeds, f.jobs)
	}
	return virtually(func(t *testing.T, out io.Writer) error { //nolint:thelper // it is all of the test
		p := newProgress(os.Stderr)
		all, err := f.all(t, kind, p)
		took := p.end()
		if err != nil {
			return err
		}
		return f.write(world.Summarize(kind, all), took, out)
	})
}

// all runs the seeds, some at a time, each in a bubble of its own.
func (f *failureFlags) all(t *testing.T, kind world.FaultKind, p *progress) ([]*world.Failure, error) { //nolint:thelper // it is the test's work
	all, errs := make([]*world.Failure, f.seeds), make([]error, f.seeds)
	var next, done atomic.Uint64
	var wg sync.WaitGroup
	for range f.jobs {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < f.seeds; i = next.Add(1) - 1 {
				seed := f.first + i
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { all[i], errs[i] = world.FailOnce(t.Context(), kind, seed) })
				})
				n := done.Add(1)
				p.set(world.Progress{
					Phase: fmt.Sprintf("%d of %d failures", n, f.seeds), Virtual: time.Duration(n) * time.Second, Of: time.Duration(f.seeds) * time.Second,
				})
			}
		})
	}
	wg.Wait()
	return slices.DeleteFunc(all, func(r *world.Failure) bool { return r == nil }), errors.Join(errs...)
}

func (f *failureFlags) write(s *world.FailureSummary, took time.Duration, out io.Writer) error {
	doc, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := os.MkdirAll(f.out, 0o755); err != nil { //nolint:gosec // a report is for everybody
			return err
		}
		if err := os.WriteFile(filepath.Join(f.out, "failures-"+f.kind+".json"), doc, 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	if f.json {
		_, err = fmt.Fprintln(out, string(doc))
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "SIMULATED: %s, %d runs (seeds %d to %d) in %v; %d nodes with viewers behind what failed\n",
		s.Kind, s.Runs, f.first, f.first+f.seeds-1, took.Round(time.Second), s.Viewers)
	for _, track := range []struct {
		name string
		g    world.GapStats
	}{{"video (warm)", s.Video}, {"audio (hot) ", s.Audio}} {
		fmt.Fprintf(&b, "%s gap p50 %.0f ms, p95 %.0f, p99 %.0f, max %.0f\n", track.name, track.g.P50Ms, track.g.P95Ms, track.g.P99Ms, track.g.MaxMs)
		most := max(slices.Max(track.g.Histogram), 1)
		for i, n := range track.g.Histogram {
			if n > 0 {
				fmt.Fprintf(&b, "  %4d ms %6d %s\n", i*50, n, strings.Repeat("#", (n*60+most-1)/most))
			}
		}
	}
	fmt.Fprintf(&b, "objects lost at viewers: %d; gaps of the sound above the difference of paths: %d %v\n", s.Lost, s.Above, s.AboveSeeds)
	for _, v := range s.Broken {
		fmt.Fprintf(&b, "VIOLATION: %s\n", v)
	}
	for _, w := range s.Worst[:min(len(s.Worst), 3)] {
		fmt.Fprintf(&b, "worst: seed %d, %s: video %.0f ms\n", w.Seed, w.Hit, w.Video)
	}
	_, err = io.WriteString(out, b.String())
	return err
}
