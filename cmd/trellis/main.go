// Command trellis runs a node of the relay backbone and the tools around it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"trellis/internal/config"
)

// Exit codes, the same for every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong flags, arguments or configuration
)

func main() {
	ctx, stop := interruptible(context.Background())
	defer stop()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Environ()}
	os.Exit(a.run(ctx, os.Args[1:]))
}

// app is the surroundings of a command, so that tests can be them.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            []string
}

// run executes one command line and returns its exit code. An error is one
// line on stderr; a wrong configuration one line for each thing wrong.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand() //nolint:contextcheck // cobra hands the context on
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var invalid *config.InvalidError
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &invalid):
		a.complain(err.Error())
		return exitUsage
	case errors.As(err, &usage):
		a.complain("trellis: " + err.Error())
		return exitUsage
	default:
		a.complain("trellis: " + err.Error())
		return exitFailed
	}
}

func (a *app) complain(text string) {
	// If stderr is gone there is nobody left to tell.
	_, _ = fmt.Fprintln(a.stderr, text)
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "trellis",
		Short:         "A media relay backbone: publish and watch at the node nearest to you",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddCommand(a.commands()...)
	markUsage(root)
	return root
}

func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.serveCommand(),
		a.demoCommand(),
		a.drainCommand(),
		a.undrainCommand(),
		a.edgesCommand(),
		a.validateCommand(),
		a.whyCommand(),
		a.netcheckCommand(),
		a.configCommand(),
		newPlanCommand(),
		a.tokenCommand(),
		a.caCommand(),
		a.publishCommand(),
		a.watchCommand(),
		a.versionCommand(),
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// markUsage turns cobra's complaints about flags and arguments into usage
// errors that say where to read on.
func markUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef("%w; see %s --help", err, cmd.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		markUsage(sub)
	}
}

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// interruptible returns a context that the first SIGINT or SIGTERM cancels. The
// second ends the process at once: whoever asks twice has waited enough.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(errInterrupted)
		<-signals
		os.Exit(exitFailed)
	}()
	return ctx, func() { cancel(nil) }
}
