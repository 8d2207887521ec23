package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == crowdCommand {
		err = runCrowd(ctx, os.Args[2:], os.Stdin, os.Stdout)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errMissed makes the exit status say that a target was missed.
var errMissed = errors.New("a target was missed")

type options struct {
	pattern *regexp.Regexp
	rounds  int
	slice   time.Duration
	out     string
	check   bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("run", ".", "scenarios to run, a regular expression")
	rounds := flags.Int("rounds", 5, "rounds in which the cases of a scenario take turns")
	slice := flags.Duration("slice", 2*time.Second, "how long a paced case runs in each round")
	out := flags.String("out", "bench/results", "folder for the results; empty: print only")
	check := flags.Bool("check", false, "exit with status 1 if a target is missed")
	list := flags.Bool("list", false, "name the scenarios and stop")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	opt := options{rounds: *rounds, slice: *slice, out: *out, check: *check}
	var err error
	if opt.pattern, err = regexp.Compile(*pattern); err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if opt.rounds < 1 || opt.slice <= 0 {
		return errors.New("-rounds and -slice must be positive")
	}
	if *list {
		for _, s := range scenarios() {
			say(stdout, "%-8s %s\n", s.name, s.title)
		}
		return nil
	}
	return measureAll(ctx, opt, stdout)
}

// measureAll runs what was asked for. An interrupted run still writes what it
// has measured.
func measureAll(ctx context.Context, opt options, stdout io.Writer) error {
	rep := newReport(ctx, opt)
	var failed error
	for _, s := range scenarios() {
		if !opt.pattern.MatchString(s.name) {
			continue
		}
		say(stdout, "%s: %s\n", s.name, s.title)
		figures, err := s.measure(ctx, opt)
		rep.add(s, figures)
		if err != nil {
			failed = fmt.Errorf("%s: %w", s.name, err)
			break
		}
		printFigures(stdout, figures)
	}
	if len(rep.Scenarios) == 0 {
		return fmt.Errorf("no scenario matches %q", opt.pattern)
	}
	if opt.out != "" {
		path, err := rep.write(opt.out)
		if err != nil {
			return errors.Join(failed, err)
		}
		say(stdout, "results: %s\n", path)
	}
	if failed == nil && opt.check && rep.missed() {
		return errMissed
	}
	return failed
}

// say prints for whoever watches; what counts is the results file.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
