//go:debug tlsmlkem=0

// Command trellis-bench runs what takes minutes: a world with 100,000 viewers, and
// failures by the thousand. Both are simulations: real nodes in virtual time. Their
// ten thousand handshakes are classical, which takes less time.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"testing"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use: "trellis-bench", Short: "Worlds and failures, simulated",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(worldCommand(), failuresCommand(), fanoutCommand(), qualityCommand(), soakCommand())
	root.AddCommand(fanoutProcesses()...)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "trellis-bench:", err)
		os.Exit(1)
	}
}

var errFailed = errors.New("the run failed; what went wrong is above")

// gcPercent trades memory, of which a world of 250 nodes needs a few GB then, for
// a tenth of the time.
const gcPercent = 300

// virtually runs f where virtual time is to be had: testing/synctest wants a test,
// so the process makes itself into one. It does not return: the process ends with
// f, and fails if f does. out is where f may write results, since the words of the
// testing package take the place of the standard output.
func virtually(f func(t *testing.T, out io.Writer) error) error {
	out := os.Stdout
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	os.Stdout = null
	debug.SetGCPercent(gcPercent)
	os.Args = []string{os.Args[0], "-test.timeout=0"}
	everything := func(string, string) (bool, error) { return true, nil }
	testing.Main(everything, []testing.InternalTest{{Name: "trellis-bench", F: func(t *testing.T) { //nolint:thelper // it is the test
		if err := f(t, out); err != nil {
			fmt.Fprintln(os.Stderr, "trellis-bench:", err)
			t.Fail()
		}
	}}}, nil, nil)
	return nil
}
