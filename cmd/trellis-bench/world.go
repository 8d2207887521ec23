package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"trellis/internal/sim/world"
)

// worldFlags are the options of `trellis-bench world`.
type worldFlags struct {
	cfg     world.Config
	kill    string
	killAt  time.Duration
	faults  []string
	json    bool
	verbose bool
	out     string
	profile string
}

func worldCommand() *cobra.Command {
	var f worldFlags
	c := &cobra.Command{
		Use:   "world",
		Short: "One session of many viewers over real nodes in a world of measured latencies, simulated",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return f.run() },
	}
	fl := c.Flags()
	fl.StringVar(&f.cfg.Regions, "regions", "azure", "whose regions and latencies: azure or aws")
	fl.IntVar(&f.cfg.Nodes, "nodes", 20, "how many nodes")
	fl.IntVar(&f.cfg.Viewers, "viewers", 1000, "how many counted viewers")
	fl.IntVar(&f.cfg.Clients, "clients", 0, "how many real clients beside them (default 8, -1: none)")
	fl.IntVar(&f.cfg.Neighbours, "neighbours", 0, "links of a node: to one node in so many near regions, and to as many far away (default: nodes choose themselves)")
	fl.BoolVar(&f.cfg.Unplanned, "unplanned", false, "no plans: every node follows the cheapest path")
	fl.StringVar(&f.cfg.Origin, "origin", "", "region where the broadcast enters (default uksouth or eu-west-2)")
	fl.DurationVar(&f.cfg.Duration, "duration", time.Minute, "how long is measured, in virtual time")
	fl.StringVar(&f.kill, "kill", "", "relay, region:NAME or provider:NAME loses its power in the middle")
	fl.DurationVar(&f.killAt, "kill-at", 0, "when (default a third of the duration)")
	fl.StringArrayVar(&f.faults, "fault", nil, fmt.Sprintf("KIND[:TARGET][@TIME]; repeatable; kinds: %v", world.FaultKinds()))
	fl.Uint64Var(&f.cfg.Seed, "seed", 1, "of placement, loss and jitter")
	fl.BoolVar(&f.json, "json", false, "write the report as JSON to the standard output")
	fl.StringVar(&f.out, "out", "", "directory for report.json, summary.json (without what is told node by node) and report.html")
	fl.StringVar(&f.profile, "cpuprofile", "", "write a CPU profile to this file")
	fl.BoolVar(&f.verbose, "verbose", false, "show what the nodes log")
	return c
}

func (f *worldFlags) run() error {
	if f.kill != "" {
		fault, err := world.ParseKill(f.kill)
		if err != nil {
			return err
		}
		if fault.At = f.killAt; fault.At == 0 {
			fault.At = f.cfg.Duration / 3
		}
		f.cfg.Faults = append(f.cfg.Faults, fault)
	}
	for _, s := range f.faults {
		fault, err := world.ParseFault(s)
		if err != nil {
			return err
		}
		f.cfg.Faults = append(f.cfg.Faults, fault)
	}
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
		f.cfg.Progress = p.set
		var report *world.Report
		synctest.Test(t, func(t *testing.T) { report, err = world.Run(t.Context(), f.cfg) })
		took := p.end()
		if err != nil {
			return fmt.Errorf("seed %d: %w", f.cfg.Seed, err)
		}
		if report == nil {
			return errFailed
		}
		report.Took, report.Spent = took, processorTime()
		return f.write(report, out)
	})
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // not told
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// profile records where the time goes, into a file unless that has no name.
func profile(name string) (stop func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	stop = sync.OnceFunc(func() {
		pprof.StopCPUProfile()
		if err := file.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "trellis-bench:", err)
		}
	})
	// A run that is cut short has a profile, too.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		<-interrupted
		stop()
		os.Exit(130)
	}()
	return stop, nil
}

func (f *worldFlags) write(r *world.Report, out io.Writer) error {
	doc, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if f.out != "" {
		short, err := json.MarshalIndent(r.Short(), "", " ")
		if err != nil {
			return err
		}
		if err := os.MkdirAll(f.out, 0o755); err != nil { //nolint:gosec // a report is for everybody
			return err
		}
		for name, b := range map[string][]byte{"report.json": doc, "summary.json": short, "report.html": r.HTML()} {
			if err := os.WriteFile(filepath.Join(f.out, name), b, 0o644); err != nil { //nolint:gosec // as above
				return err
			}
		}
	}
	if f.json {
		_, err = fmt.Fprintln(out, string(doc))
		return err
	}
	_, err = io.WriteString(out, r.Text())
	return err
}
