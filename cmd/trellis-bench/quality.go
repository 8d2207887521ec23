package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"trellis/internal/livekit"
	"trellis/internal/quality"
)

// qualityFlags are the options of `trellis-bench quality`.
type qualityFlags struct {
	cfg      quality.Config
	profiles []string
	peers    []string
	flexfec  bool
	json     bool
	out      string
}

func qualityCommand() *cobra.Command {
	var f qualityFlags
	c := &cobra.Command{
		Use:   "quality",
		Short: "What a viewer on a bad network sees, in real browsers",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	browser := "chromium"
	if b := os.Getenv("CHROMIUM"); b != "" {
		browser = b
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.profiles, "profiles", []string{"all"}, "which, by name")
	fl.StringSliceVar(&f.peers, "peer", nil, fmt.Sprintf("what to compare with: none, or %s (default: livekit, when it is installed)", strings.Join(quality.Peers(), ", ")))
	fl.StringVar(&f.cfg.LiveKit, "livekit", os.Getenv("TRELLIS_LIVEKIT"), "directory of livekit-server (default: where make livekit-server puts it)")
	fl.BoolVar(&f.cfg.PeersOnly, "peers-only", false, "leave our own node out")
	fl.BoolVar(&f.flexfec, "flexfec", false, "compare also with a viewer that does not offer FlexFEC")
	fl.IntVar(&f.cfg.Rounds, "rounds", 1, "how often each is played")
	fl.StringVar(&f.cfg.Browser, "browser", browser, "program of Chromium")
	fl.BoolVar(&f.json, "json", false, "write the report as JSON to the standard output")
	fl.StringVar(&f.cfg.Codec, "codec", "VP8", "what is published to our node: VP8, VP9, AV1 or H264")
	fl.StringVar(&f.cfg.Mode, "mode", "", "scalability mode of its encoder, such as L3T3_KEY (default: simulcast)")
	fl.StringVar(&f.cfg.Trace, "trace", "", "directory for what each packet did on the path, as CSV, and what the pages told")
	fl.StringVar(&f.out, "out", "", "directory for quality.json and quality.html")
	return c
}

func (f *qualityFlags) run(c *cobra.Command) error {
	if f.cfg.Rounds < 1 {
		return fmt.Errorf("quality: %d rounds: want 1 or more", f.cfg.Rounds)
	}
	var err error
	if f.cfg.Profiles, err = quality.Pick(f.profiles); err != nil {
		return err
	}
	f.choosePeers()
	if f.flexfec {
		f.cfg.Peers = append(f.cfg.Peers, quality.WithoutFEC)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	f.cfg.Self = []string{self}
	f.cfg.Progress = func(s string) { fmt.Fprintln(os.Stderr, s) }
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := quality.Run(ctx, f.cfg)
	if err != nil {
		return err
	}
	return tell(r, "quality", f.out, f.json)
}

// choosePeers takes livekit-server if none is named and it is installed.
func (f *qualityFlags) choosePeers() {
	switch {
	case slices.Equal(f.peers, []string{"none"}):
	case f.peers != nil:
		f.cfg.Peers = f.peers
	default:
		if _, err := livekit.Find(f.cfg.LiveKit); err != nil {
			fmt.Fprintf(os.Stderr, "\nWITHOUT A PEER, nothing to compare with: %v\n\n", err)
			return
		}
		f.cfg.Peers = []string{quality.LiveKit}
	}
}
