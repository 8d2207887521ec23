package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMeasureTakesTurns(t *testing.T) {
	var order []string
	step := func(name string, values ...float64) benchCase {
		return benchCase{name, func(context.Context, time.Duration) (metrics, error) {
			order = append(order, name)
			v := values[0]
			values = values[1:]
			return metrics{"cost_ns": v}, nil
		}}
	}
	closed := false
	s := scenario{
		open: func(context.Context) ([]benchCase, func() error, error) {
			return []benchCase{step("a", 5, 1, 3), step("b", 10, 4, 30)}, func() error { closed = true; return nil }, nil
		},
		derive: func(round map[string]metrics) metrics {
			return metrics{"b_by_a_ratio": round["b"]["cost_ns"] / round["a"]["cost_ns"]}
		},
		targets: []target{{derivedCase, "b_by_a_ratio", 4}, {"a", "cost_ns", 2}},
	}
	figures, err := s.measure(t.Context(), options{rounds: 3})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "ab"+"ba"+"ab" {
		t.Errorf("cases ran in the order %s", got)
	}
	if !closed {
		t.Error("the scenario was not closed")
	}
	want := []struct {
		name             string
		median, min, max float64
		met              string
	}{
		{"a", 3, 1, 5, "missed"},
		{"b", 10, 4, 30, ""},
		{"derived", 4, 2, 10, "met"},
	}
	for i, w := range want {
		f := figures[i]
		met := map[bool]string{true: "met", false: "missed"}
		got := ""
		if f.Met != nil {
			got = met[*f.Met]
		}
		if f.Case != w.name || f.Median != w.median || f.Min != w.min || f.Max != w.max || got != w.met {
			t.Errorf("figure %d is %+v (%s), want %+v", i, f, got, w)
		}
	}
}

func TestMeasureKeepsFiguresOfEarlierRounds(t *testing.T) {
	broken := errors.New("broken")
	runs := 0
	s := scenario{open: func(context.Context) ([]benchCase, func() error, error) {
		return []benchCase{{"a", func(context.Context, time.Duration) (metrics, error) {
			if runs++; runs == 2 {
				return nil, broken
			}
			return metrics{"cost_ns": 1}, nil
		}}}, func() error { return nil }, nil
	}}
	figures, err := s.measure(t.Context(), options{rounds: 3})
	if !errors.Is(err, broken) || len(figures) != 1 || len(figures[0].Rounds) != 1 {
		t.Errorf("got %+v and %v", figures, err)
	}
}

func TestReportFile(t *testing.T) {
	rep := newReport(t.Context(), options{rounds: 2, slice: time.Second, pattern: regexp.MustCompile(".")})
	met := false
	rep.add(scenario{name: "s", title: "a scenario"}, []figure{{Case: "c", Metric: "m_ns", Median: 1.5, Met: &met}})
	if !rep.missed() {
		t.Error("a missed target is not seen")
	}
	path, err := rep.write(filepath.Join(t.TempDir(), "results"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if back.Kind != "measured" || back.Machine.Cores == 0 || back.Machine.Go == "" || back.Commit == "" ||
		back.Scenarios[0].Figures[0].Median != 1.5 {
		t.Errorf("read back %+v", back)
	}
}

func TestPrintFigures(t *testing.T) {
	yes, most := true, 2.0
	var out bytes.Buffer
	printFigures(&out, []figure{{Case: "c", Metric: "m", Median: 1234.5, Min: 0, Max: 0.00123, Target: &most, Met: &yes}})
	for _, want := range []string{"c", "m", "1234", "[0 .. 0.00123]", "at most 2: met"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{{"-run", "("}, {"-rounds", "0"}, {"-slice", "-1s"}, {"-run", "no such scenario"}, {"-unknown"}} {
		var out bytes.Buffer
		if err := run(t.Context(), append(args, "-out="), &out, &out); err == nil {
			t.Errorf("bench %v succeeds", args)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-list"}, &out, &out); err != nil || !strings.Contains(out.String(), "fanout") {
		t.Errorf("bench -list: %v, %q", err, out.String())
	}
}

// TestFanoutRuns shows that both ways of reading get every object; the figures
// are make bench's business.
func TestFanoutRuns(t *testing.T) {
	for name, drive := range map[string]func(*fanoutRun, int) (used, error){"walked": (*fanoutRun).walk, "woken": (*fanoutRun).wake} {
		m, err := fanout(3, 200, drive)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if m["cpu_ns_per_object"] < 0 || len(m) != 3 {
			t.Errorf("%s: %v", name, m)
		}
	}
}
