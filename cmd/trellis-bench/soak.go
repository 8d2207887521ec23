package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"trellis/internal/sim/world"
	"trellis/internal/soak"
)

// soakFlags are the options of `trellis-bench soak`.
type soakFlags struct {
	cfg     soak.Config
	minutes int
	json    bool
	verbose bool
	profile string
}

func soakCommand() *cobra.Command {
	var f soakFlags
	c := &cobra.Command{
		Use:   "soak",
		Short: "The WebRTC edge for an hour of virtual time, with viewers joining and leaving",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return f.run() },
	}
	fl := c.Flags()
	fl.IntVar(&f.minutes, "minutes", 60, "how long, in virtual time, which runs as fast as the machine can")
	fl.IntVar(&f.cfg.Staying, "staying", 0, "how many viewers stay all the time (default 4)")
	fl.IntVar(&f.cfg.Passing, "passing", 0, "how many others are there at any time (default 6)")
	fl.DurationVar(&f.cfg.Stay, "stay", 0, "how long those stay at most (default 20s)")
	fl.BoolVar(&f.json, "json", false, "write the report as JSON to the standard output")
	fl.StringVar(&f.profile, "cpuprofile", "", "write a CPU profile to this file")
	fl.BoolVar(&f.verbose, "verbose", false, "show what the node logs")
	return c
}

func (f *soakFlags) run() error {
	f.cfg.Length = time.Duration(f.minutes) * time.Minute
	if f.verbose {
		f.cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return virtually(func(t *testing.T, out io.Writer) error { //nolint:thelper // it is all of the test
		stop, err := profile(f.profile)
		if err != nil {
			return err
		}
		defer stop()
		p := newProgress(os.Stderr)
		f.cfg.Progress = func(phase string, virtual, of time.Duration, viewers int) {
			p.set(world.Progress{Phase: phase, Virtual: virtual, Of: of, Viewers: viewers})
		}
		var report *soak.Report
		synctest.Test(t, func(t *testing.T) { report, err = soak.Run(t.Context(), f.cfg) })
		took := p.end()
		if err != nil {
			return err
		}
		if report == nil {
			return errFailed
		}
		report.Took = took
		return f.write(report, out)
	})
}

func (f *soakFlags) write(r *soak.Report, out io.Writer) error {
	text := r.Text()
	if f.json {
		doc, err := json.MarshalIndent(r, "", " ")
		if err != nil {
			return err
		}
		text = string(doc) + "\n"
	}
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	if len(r.Failures) > 0 {
		return fmt.Errorf("the soak found %d failures", len(r.Failures))
	}
	return nil
}
