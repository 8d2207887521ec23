package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"trellis/internal/fanout"
)

// fanoutFlags are the options of `trellis-bench fanout`.
type fanoutFlags struct {
	cfg       fanout.Config
	bitrate   string
	kind      string
	seconds   int
	json      bool
	out       string
	check     string
	benchstat string
}

func fanoutCommand() *cobra.Command {
	var f fanoutFlags
	c := &cobra.Command{
		Use:   "fanout",
		Short: "What a viewer costs, measured side by side on real sockets",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	fl := c.Flags()
	fl.IntSliceVar(&f.cfg.Viewers, "viewers", []int{100}, "how many viewers, one audience after another")
	fl.StringVar(&f.bitrate, "bitrate", "2.5M", "of the picture, in bit/s")
	fl.StringVar(&f.kind, "kind", string(fanout.WebRTC), fmt.Sprintf("what viewers are: %v", fanout.Kinds()))
	fl.BoolVar(&f.cfg.Arrivals, "arrivals", false, "viewers of ours report the arrival of each packet, ten times a second")
	fl.BoolVar(&f.cfg.Silent, "no-audio", false, "viewers over QUIC take the picture alone")
	fl.StringSliceVar(&f.cfg.Peers, "peer", nil, fmt.Sprintf("what to compare with: %s (default: plain-pion; with --kind moq both of quic-go)", strings.Join(fanout.Peers(), ", ")))
	fl.StringVar(&f.cfg.LiveKit, "livekit", os.Getenv("TRELLIS_LIVEKIT"), "directory of livekit-server (default: where make livekit-server puts it)")
	fl.IntVar(&f.cfg.Rounds, "rounds", 5, "how often each is measured, in turns")
	fl.IntVar(&f.seconds, "seconds", 5, "how long each time")
	fl.BoolVar(&f.cfg.Paced, "paced", false, "evenly paced packets, instead of 30 frames a second")
	fl.BoolVar(&f.cfg.GRO, "gro", false, "viewers take datagrams in batches from the kernel (UDP_GRO)")
	fl.BoolVar(&f.cfg.Light, "light", false, "viewers take media off their sockets themselves: for large audiences, best with --gro")
	fl.BoolVar(&f.json, "json", false, "write the report as JSON to the standard output")
	fl.StringVar(&f.out, "out", "", "directory for fanout.json and fanout.html")
	fl.StringVar(&f.cfg.Profiles, "profile", "", "directory for profiles of our server, of each measurement")
	fl.StringVar(&f.check, "check", "", "fanout.json of an earlier run: fail if a ratio to a peer is smaller by more than a fifth")
	fl.StringVar(&f.benchstat, "benchstat", "", "file for the rounds in the format of Go's benchmarks")
	return c
}

func (f *fanoutFlags) run(c *cobra.Command) error {
	var err error
	if f.cfg.Bitrate, err = parseBitrate(f.bitrate); err != nil {
		return err
	}
	switch {
	case f.cfg.Rounds < 1 || f.seconds < 1:
		return fmt.Errorf("fanout: %d rounds of %d seconds: want 1 or more of each", f.cfg.Rounds, f.seconds)
	case len(f.cfg.Viewers) == 0 || slices.Min(f.cfg.Viewers) < 1:
		return fmt.Errorf("fanout: viewers %v: want 1 or more", f.cfg.Viewers)
	}
	f.cfg.Kind = fanout.Kind(f.kind)
	switch {
	case !slices.Contains(fanout.Kinds(), f.cfg.Kind):
		return fmt.Errorf("fanout: kind %q: there are %v", f.kind, fanout.Kinds())
	case c.Flags().Changed("peer"):
	case f.cfg.Kind == fanout.WebRTC:
		f.cfg.Peers = []string{fanout.PlainPion}
	default:
		f.cfg.Peers = fanout.PeersOf(f.cfg.Kind)
	}
	earlier, err := f.earlier()
	if err != nil {
		return err
	}
	f.cfg.Slice = time.Duration(f.seconds) * time.Second
	self, err := os.Executable()
	if err != nil {
		return err
	}
	f.cfg.Self = []string{self}
	f.cfg.Progress = func(s string) { fmt.Fprintln(os.Stderr, s) }
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := fanout.Run(ctx, f.cfg)
	if err != nil {
		return err
	}
	if f.benchstat != "" {
		if err := os.WriteFile(f.benchstat, []byte(r.Benchmarks()), 0o644); err != nil { //nolint:gosec // a report is for everybody
			return err
		}
	}
	if err := tell(r, "fanout", f.out, f.json); err != nil || earlier == nil {
		return err
	}
	if worse := r.Regressions(earlier); len(worse) > 0 {
		return fmt.Errorf("worse than in %s: %s", f.check, strings.Join(worse, "; "))
	}
	return nil
}

// report is what a benchmark has found.
type report interface {
	HTML() []byte
	Text() string
}

// tell prints a report, as text or JSON, and writes it into a directory if one is named, which is
// made if it is not there.
func tell(r report, name, dir string, asJSON bool) error {
	doc, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a report is for everybody
			return err
		}
		for ext, b := range map[string][]byte{".json": doc, ".html": r.HTML()} {
			if err := os.WriteFile(filepath.Join(dir, name+ext), b, 0o644); err != nil { //nolint:gosec // as above
				return err
			}
		}
	}
	text := r.Text()
	if asJSON {
		text = string(doc) + "\n"
	}
	_, err = fmt.Print(text)
	return err
}

// earlier reads the report to compare with, nil if none is named.
func (f *fanoutFlags) earlier() (*fanout.Report, error) {
	if f.check == "" {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	doc, err := os.ReadFile(f.check)
	if err != nil {
		return nil, err
	}
	r := &fanout.Report{}
	if err := json.Unmarshal(doc, r); err != nil {
		return nil, fmt.Errorf("%s: %w", f.check, err)
	}
	return r, nil
}

// parseBitrate reads a number with k or M behind it, or neither.
func parseBitrate(s string) (int, error) {
	number, unit := s, 1.0
	if n, ok := strings.CutSuffix(s, "M"); ok {
		number, unit = n, 1e6
	} else if n, ok := strings.CutSuffix(s, "k"); ok {
		number, unit = n, 1e3
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v*unit < 1e5 || v*unit > 1e8 {
		return 0, fmt.Errorf("fanout: bitrate %q: want 100k to 100M, such as 2.5M", s)
	}
	return int(v * unit), nil
}

// fanoutProcesses are the commands of the processes that a comparison starts.
func fanoutProcesses() []*cobra.Command {
	server := &cobra.Command{
		Use: fanout.ServerCommand + " SERVER DIRECTORY [LOAD]", Hidden: true, Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			var l fanout.Load
			if len(args) > 2 {
				var err error
				if l, err = fanout.ParseLoad(args[2]); err != nil {
					return err
				}
			}
			return fanout.RunServer(c.Context(), args[0], args[1], l, os.Stdin, os.Stdout)
		},
	}
	load := &cobra.Command{
		Use: fanout.LoadCommand + " SERVER URL LOAD", Hidden: true, Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := fanout.ParseLoad(args[2])
			if err != nil {
				return err
			}
			return fanout.RunLoad(c.Context(), l, args[0], args[1], os.Stdin, os.Stdout)
		},
	}
	soakers := &cobra.Command{
		Use: fanout.SoakLoadCommand + " URL LOAD", Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			var l fanout.SoakLoad
			if err := json.Unmarshal([]byte(args[1]), &l); err != nil {
				return err
			}
			return fanout.RunSoakLoad(c.Context(), l, args[0], os.Stdin, os.Stdout)
		},
	}
	return []*cobra.Command{server, load, soakers}
}
