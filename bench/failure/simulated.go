package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// outcome is a line of what TestFailures of package backbone writes.
type outcome struct {
	Fault      string  `json:"fault"`
	Protect    string  `json:"protect"`
	Seed       uint64  `json:"seed"`
	GapMs      float64 `json:"gap_ms"`
	Lost       int     `json:"lost"`
	Repeated   int     `json:"repeated"`
	IntervalMs float64 `json:"interval_ms"`
	PathDiffMs float64 `json:"path_diff_ms"`
}

// jitterMs is what packets of the simulation may be late by, on the two paths.
const jitterMs = 5

// simulated runs each failure with as many seeds in virtual time, which only a
// test binary has: package backbone's, on all processors.
func simulated(ctx context.Context, seeds int, first uint64, progress io.Writer) (*report, error) {
	if seeds < 1 {
		return nil, errors.New("--simulated must be positive")
	}
	rep := newReport(ctx, options{kind: "simulated", seed: first})
	rep.Label = "simulated"
	dir, err := os.MkdirTemp("", "trellis-failure-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is the system's to clean up in the end
	binary := filepath.Join(dir, "backbone.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./backbone")
	build.Stderr = progress
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the tests of ./backbone: %w", err)
	}
	shares := min(runtime.NumCPU(), seeds)
	parts := make([][]outcome, shares)
	g, ctx := errgroup.WithContext(ctx)
	for i := range shares {
		from, to := seeds*i/shares, seeds*(i+1)/shares
		g.Go(func() error {
			var err error
			parts[i], err = simulate(ctx, binary, filepath.Join(dir, strconv.Itoa(i)), first+uint64(from), to-from)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := slices.Concat(parts...)
	rep.simulatedFigures(all)
	rep.Took = time.Since(rep.Began).Round(time.Second).String()
	return rep, nil
}

// simulate runs one share of the seeds. A test that fails has written its
// outcomes all the same, and it is the figures that are judged.
func simulate(ctx context.Context, binary, out string, first uint64, seeds int) ([]outcome, error) {
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^TestFailures$", "-test.timeout", "0", //nolint:gosec // built above
		"-failure.seeds", strconv.Itoa(seeds), "-failure.first", strconv.FormatUint(first, 10), "-failure.out", out)
	said, runErr := cmd.CombinedOutput()
	text, err := os.ReadFile(out)
	if err != nil {
		return nil, errors.Join(runErr, fmt.Errorf("%w: %s", err, bytes.TrimSpace(said)))
	}
	var all []outcome
	for dec := json.NewDecoder(bytes.NewReader(text)); ; {
		var o outcome
		switch err := dec.Decode(&o); {
		case errors.Is(err, io.EOF):
			if want := seeds * simulatedKinds; len(all) != want {
				return nil, errors.Join(runErr, fmt.Errorf("%d outcomes, want %d: %s", len(all), want, bytes.TrimSpace(said)))
			}
			return all, nil
		case err != nil:
			return nil, err
		}
		all = append(all, o)
	}
}

// simulatedKinds is how many failures there are, with each protection.
const simulatedKinds = 3 * 2

func (r *report) simulatedFigures(all []outcome) {
	type kind struct{ fault, protect string }
	by := map[kind][]outcome{}
	var kinds []kind
	for _, o := range all {
		k := kind{o.Fault, o.Protect}
		if by[k] == nil {
			kinds = append(kinds, k)
		}
		by[k] = append(by[k], o)
	}
	for _, k := range kinds {
		name := k.fault + "_" + k.protect + "_"
		var gaps []float64
		beyond, lost, repeated := 0.0, 0, 0
		for _, o := range by[k] {
			gaps = append(gaps, o.GapMs)
			beyond = max(beyond, o.GapMs-o.IntervalMs-o.PathDiffMs)
			lost += o.Lost
			repeated += o.Repeated
		}
		r.figure(name+"runs", float64(len(gaps)))
		r.figure(name+"gap_p50_ms", quantile(gaps, 0.5), gapP50)
		r.figure(name+"gap_p99_ms", quantile(gaps, 0.99), gapP99)
		r.figure(name+"gap_max_ms", slices.Max(gaps))
		if k.protect == "hot" {
			r.figure(name+"gap_beyond_interval_and_path_max_ms", beyond, jitterMs)
		}
		r.figure(name+"objects_lost", float64(lost), 0)
		r.figure(name+"objects_twice", float64(repeated), 0)
	}
}
