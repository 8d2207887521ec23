// Command drain drains the relays of a simulated backbone under load, again and
// again, and says what that cost viewers. Virtual time exists in test binaries
// only, so it runs one: TestDrains of internal/sim.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
)

func main() {
	drains := flag.Int("n", 100, "how many drains")
	verbose := flag.Bool("v", false, "show what the nodes log")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *drains, *verbose, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "drain:", err)
		os.Exit(1)
	}
}

// run prints what the test says; its failure is an error.
func run(ctx context.Context, drains int, verbose bool, out io.Writer) error {
	if drains < 1 {
		return fmt.Errorf("-n %d: want at least 1", drains)
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=30m", "-v", "-run=^TestDrains$", "trellis/internal/sim")
	cmd.Env = append(os.Environ(), "TRELLIS_DRAINS="+strconv.Itoa(drains))
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if verbose || !strings.HasPrefix(line, "time=") && !strings.HasPrefix(line, "===") {
			_, _ = fmt.Fprintln(out, line) // whoever closed it does not read it
		}
	}
	return errors.Join(lines.Err(), cmd.Wait())
}
