package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "failure:", err)
		os.Exit(1)
	}
}

// errMissed makes the exit status say that a target was missed.
var errMissed = errors.New("a target was missed")

type options struct {
	kind     string
	runs     int
	parallel int
	settle   time.Duration
	seed     uint64
	binary   string
	logs     string
	direct   bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("failure", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var opt options
	flags.StringVar(&opt.kind, "kind", "kill", "what happens: "+strings.Join(kinds, ", "))
	flags.IntVar(&opt.runs, "runs", 50, "how often")
	flags.IntVar(&opt.parallel, "parallel", 2, "runs at one time")
	flags.DurationVar(&opt.settle, "settle", 3*time.Second, "time from the first picture to the fault, at least")
	flags.Uint64Var(&opt.seed, "seed", 1, "of the moments at which faults happen")
	flags.StringVar(&opt.binary, "binary", "", "the trellis binary; empty: it is built")
	flags.StringVar(&opt.logs, "logs", "", "folder for the logs of the nodes of each run; empty: not kept")
	flags.BoolVar(&opt.direct, "direct", false, "no delays and no proxies between the nodes: hosts then refuse what is sent to a node that was killed")
	busyFor := flags.Duration("busy", 0, "instead: count false link failures on busy processors for so long")
	seeds := flags.Int("simulated", 0, "instead: break simulated nodes, in virtual time, with so many seeds from --seed on")
	spinners := flags.Int("spinners", 8, "busy goroutines, with --busy")
	asJSON := flags.Bool("json", false, "print the results as JSON")
	out := flags.String("out", "", "file for the results as JSON; empty: none")
	check := flags.Bool("check", false, "exit with status 1 if a target is missed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var rep *report
	var err error
	switch {
	case *busyFor > 0:
		rep, err = busy(ctx, *busyFor, *spinners, stderr)
	case *seeds != 0:
		rep, err = simulated(ctx, *seeds, opt.seed, stderr)
	default:
		rep, err = opt.measure(ctx, stderr)
	}
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if *out != "" {
		if err := os.WriteFile(*out, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if *asJSON {
		_, err = fmt.Fprintf(stdout, "%s\n", text)
	} else {
		err = rep.print(stdout)
	}
	if err == nil && *check && rep.missed() {
		return errMissed
	}
	return err
}

func (opt options) measure(ctx context.Context, progress io.Writer) (*report, error) {
	switch {
	case !slices.Contains(kinds, opt.kind):
		return nil, fmt.Errorf("--kind %q: one of %s", opt.kind, strings.Join(kinds, ", "))
	case opt.direct && (opt.kind == "blackhole" || opt.kind == "oneway"):
		return nil, errors.New("--direct: there is nothing between the nodes that could be cut")
	case opt.runs < 1 || opt.parallel < 1 || opt.settle <= 0:
		return nil, errors.New("--runs, --parallel and --settle must be positive")
	}
	dir, err := os.MkdirTemp("", "trellis-failure-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is the system's to clean up in the end
	if opt.binary == "" {
		opt.binary = filepath.Join(dir, "trellis")
		build := exec.CommandContext(ctx, "go", "build", "-o", opt.binary, "./cmd/trellis")
		build.Stderr = progress
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build ./cmd/trellis: %w", err)
		}
	}
	return opt.runAll(ctx, dir, progress)
}
