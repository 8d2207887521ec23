package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"trellis/internal/fanout"
	"trellis/internal/sim/world"
	"trellis/internal/soak"
)

// soakFlags are the options of `trellis-bench soak`.
type soakFlags struct {
	real    fanout.SoakConfig
	every   int
	out     string
	virtual bool

	cfg     soak.Config // of a virtual one
	minutes int
	json    bool
	verbose bool
	profile string
}

func soakCommand() *cobra.Command {
	var f soakFlags
	c := &cobra.Command{
		Use:   "soak",
		Short: "A node for an hour, with viewers joining and leaving: what has grown by then",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.virtual {
				return f.runVirtual()
			}
			return f.run(c.Context())
		},
	}
	fl := c.Flags()
	fl.IntVar(&f.minutes, "minutes", 60, "how long; in virtual time, that is as fast as the machine can")
	fl.IntVar(&f.real.Viewers, "viewers", 0, "how many places for viewers there are (default 20)")
	fl.IntVar(&f.cfg.Staying, "staying", 0, "how many viewers stay all the time (default two fifths; virtual: 4)")
	fl.DurationVar(&f.cfg.Stay, "stay", 0, "how long others stay at most (default 80s; virtual: 20s)")
	fl.IntVar(&f.real.Guests, "guests", 0, "how many places for publishers who come and go (default 2)")
	fl.Uint64Var(&f.real.Seed, "seed", 1, "of who comes when and is like what")
	fl.IntVar(&f.every, "every", 0, "seconds between looks at the node (default 10, or a twelfth of all)")
	fl.StringVar(&f.out, "out", "", "directory for soak.json and soak.html")
	fl.StringVar(&f.real.Profiles, "profile", "", "directory for profiles of the node's memory, warm and at the end")
	fl.BoolVar(&f.json, "json", false, "write the report as JSON to the standard output")
	fl.BoolVar(&f.virtual, "virtual", false, "the WebRTC edge alone, with a simulated network and clock")
	fl.IntVar(&f.cfg.Passing, "passing", 0, "virtual: how many others are there at any time (default 6)")
	fl.StringVar(&f.profile, "cpuprofile", "", "virtual: write a CPU profile to this file")
	fl.BoolVar(&f.verbose, "verbose", false, "virtual: show what the node logs")
	return c
}

// run soaks real processes.
func (f *soakFlags) run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	f.real.Self = []string{self}
	f.real.Length, f.real.Every = time.Duration(f.minutes)*time.Minute, time.Duration(f.every)*time.Second
	f.real.Staying, f.real.Stay = f.cfg.Staying, f.cfg.Stay
	f.real.Progress = func(s string) { fmt.Fprintln(os.Stderr, s) }
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := fanout.Soak(ctx, f.real)
	if err != nil {
		return err
	}
	if err := tell(r, "soak", f.out, f.json); err != nil {
		return err
	}
	if r.Verdict != fanout.Pass {
		return fmt.Errorf("the soak failed: %s", strings.Join(r.Failures, "; "))
	}
	return nil
}

func (f *soakFlags) runVirtual() error {
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
