package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// reportVersion changes when a field changes its meaning.
const reportVersion = 1

// report is a results file.
type report struct {
	Version      int               `json:"version"`
	Kind         string            `json:"kind"` // real sockets and real time
	Began        time.Time         `json:"began"`
	Commit       string            `json:"commit"`
	Command      []string          `json:"command"`
	Machine      machine           `json:"machine"`
	Dependencies map[string]string `json:"dependencies"`
	Rounds       int               `json:"rounds"`
	Slice        string            `json:"slice"`
	Scenarios    []scenarioReport  `json:"scenarios"`
}

type scenarioReport struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Figures []figure `json:"figures"`
}

type machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	Kernel     string `json:"kernel"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	Go         string `json:"go"`
	RMemMax    string `json:"net_core_rmem_max,omitempty"`
	WMemMax    string `json:"net_core_wmem_max,omitempty"`
	// LoadBefore and LoadAfter are the load averages around the run: a machine
	// that is busy otherwise has figures that are worth less.
	LoadBefore string `json:"load_before,omitempty"`
	LoadAfter  string `json:"load_after,omitempty"`
}

func newReport(ctx context.Context, opt options) *report {
	return &report{
		Version:      reportVersion,
		Kind:         "measured",
		Began:        time.Now().UTC().Truncate(time.Second),
		Commit:       commit(ctx),
		Command:      append([]string{"bench"}, os.Args[1:]...),
		Machine:      describeMachine(),
		Dependencies: dependencies(),
		Rounds:       opt.rounds,
		Slice:        opt.slice.String(),
	}
}

func (r *report) add(s scenario, figures []figure) {
	r.Scenarios = append(r.Scenarios, scenarioReport{s.name, s.title, figures})
}

func (r *report) missed() bool {
	return slices.ContainsFunc(r.Scenarios, func(s scenarioReport) bool {
		return slices.ContainsFunc(s.Figures, func(f figure) bool { return f.Met != nil && !*f.Met })
	})
}

// write keeps the report in a file named for its time and commit.
func (r *report) write(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	r.Machine.LoadAfter = firstLine("/proc/loadavg")
	path := filepath.Join(dir, fmt.Sprintf("%s-%s.json", r.Began.Format("20060102T150405Z"), r.Commit))
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, append(data, '\n'), 0o644)
}

// printFigures prints a table: median, range, and whether the target was met.
func printFigures(w io.Writer, figures []figure) {
	tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	for _, f := range figures {
		verdict := ""
		if f.Met != nil {
			verdict = fmt.Sprintf("at most %s: missed", short(*f.Target))
			if *f.Met {
				verdict = fmt.Sprintf("at most %s: met", short(*f.Target))
			}
		}
		say(tw, "  %s\t%s\t%s\t[%s .. %s]\t%s\n", f.Case, f.Metric, short(f.Median), short(f.Min), short(f.Max), verdict)
	}
	_ = tw.Flush() // to a terminal; what is kept is the file
}

// short prints three digits, which is more than the figures carry.
func short(v float64) string {
	switch {
	case v >= 1000 || v <= -1000:
		return fmt.Sprintf("%.0f", v)
	case v == 0:
		return "0"
	}
	return fmt.Sprintf("%.3g", v)
}

// commit names what was measured, marked where the work tree differs from it.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	id := strings.TrimSpace(string(out))
	// Results of earlier runs are no change of what is measured.
	changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--", ":!bench/results").Output()
	if err != nil || len(changes) > 0 {
		id += "-dirty"
	}
	return id
}

func describeMachine() machine {
	return machine{
		CPU:        cpuModel(),
		Cores:      runtime.NumCPU(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
		Kernel:     firstLine("/proc/sys/kernel/osrelease"),
		OS:         runtime.GOOS,
		Arch:       runtime.GOARCH,
		Go:         runtime.Version(),
		RMemMax:    firstLine("/proc/sys/net/core/rmem_max"),
		WMemMax:    firstLine("/proc/sys/net/core/wmem_max"),
		LoadBefore: firstLine("/proc/loadavg"),
	}
}

// firstLine is empty where there is no such file: other systems than Linux.
func firstLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(line)
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// dependencies lists the versions that the figures depend on.
func dependencies() map[string]string {
	versions := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, dep := range info.Deps {
		if strings.HasPrefix(dep.Path, "github.com/quic-go/") || strings.HasPrefix(dep.Path, "github.com/pion/") {
			versions[dep.Path] = dep.Version
		}
	}
	return versions
}
