// Command planner measures the route planner against its targets and prints, or
// records, what it found. One core; times are processor time, so that other work
// on the machine does not count.
//
//	GOMAXPROCS=1 go run ./bench/planner -out bench/results/planner-2026-11-22.json
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"trellis/routing"
	"trellis/routing/scenario"
)

// figure is one measured number, and what it ought to be.
type figure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target string  `json:"target,omitempty"`
}

// record is what a run leaves behind.
type record struct {
	Date    string   `json:"date"`
	Commit  string   `json:"commit,omitempty"`
	Go      string   `json:"go"`
	Machine string   `json:"machine"`
	Seed    uint64   `json:"seed"`
	Figures []figure `json:"figures"`
}

// bench collects figures.
type bench struct {
	data    string
	runs    int
	figures []figure
}

func (b *bench) add(name string, value float64, unit, target string) {
	b.figures = append(b.figures, figure{name, value, unit, target})
	fmt.Printf("%-64s %14.6g %-10s %s\n", name, value, unit, target)
}

func main() {
	b := &bench{}
	out := flag.String("out", "", "file for the record")
	flag.StringVar(&b.data, "data", "routing/testdata", "directory of the scenarios")
	flag.IntVar(&b.runs, "runs", 100, "repetitions behind percentiles")
	only := flag.String("only", "", "comma-separated parts to run: exact, full, tight, mixed, wide, live, protect")
	flag.Parse()
	for _, part := range []struct {
		name string
		run  func(*bench) error
	}{
		{"exact", exactPart},
		{"full", fullPart},
		{"tight", tightPart},
		{"mixed", mixedPart},
		{"wide", widePart},
		{"live", livePart},
		{"protect", protectPart},
	} {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), part.name) {
			continue
		}
		if err := part.run(b); err != nil {
			fmt.Fprintln(os.Stderr, "planner:", err)
			os.Exit(1)
		}
	}
	if *out == "" {
		return
	}
	if err := b.write(*out); err != nil {
		fmt.Fprintln(os.Stderr, "planner:", err)
		os.Exit(1)
	}
}

func (b *bench) write(name string) error {
	r := record{
		Date: time.Now().UTC().Format(time.DateOnly), Go: runtime.Version(), Seed: seed,
		Machine: fmt.Sprintf("%s/%s, one core, processor time", runtime.GOOS, runtime.GOARCH), Figures: b.figures,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				r.Commit = s.Value
			}
		}
	}
	j, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(j, '\n'), 0o644)
}

// seed of everything random here.
const seed = 1

// cpu is the processor time this process has used.
func cpu() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err) // every Linux has this clock
	}
	return time.Duration(t.Nano())
}

// took measures f.
func took(f func()) time.Duration {
	start := cpu()
	f()
	return cpu() - start
}

// percentile of durations, in the given unit; it sorts them.
func percentile(ds []time.Duration, p float64, unit time.Duration) float64 {
	slices.Sort(ds)
	i := min(len(ds)-1, int(p/100*float64(len(ds))))
	return float64(ds[i]) / float64(unit)
}

func (b *bench) load(name string) (*routing.Demand, error) {
	raw, err := os.ReadFile(filepath.Join(b.data, name+".json"))
	if err != nil {
		return nil, err
	}
	return scenario.Parse(raw)
}

// plan makes a first plan.
func plan(d *routing.Demand, cfg routing.Config) (*routing.Planner, error) {
	p, err := routing.New(d, cfg)
	if err != nil {
		return nil, err
	}
	p.Plan(nil)
	return p, nil
}
