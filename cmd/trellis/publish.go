package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"trellis/edge/framing"
	"trellis/internal/client"
	"trellis/internal/clip"
	"trellis/internal/media"
)

func (a *app) publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish FILE... URL",
		Short: "Publish media files in real time, by WHIP or MoQ",
		Long: "Publish at most one video and one audio file in real time: IVF (VP8, VP9, AV1), raw H.264 (Annex B, no\n" +
			"B pictures) or Ogg Opus. Instead of files, --clip plays the film that is built in, for ever.\n\n" +
			"The URL says where and how:\n" +
			"  https://HOST/whip/ROOM/NAME     WHIP\n" +
			"  moqs://HOST:PORT/ROOM/NAME      MoQ over WebTransport (moq:// for development certificates)",
		Example: "  trellis publish --loop film.h264 film.ogg https://us-east.example/whip/room/alice\n" +
			"  trellis publish --clip vp8 --for 10s --json moqs://us-east.example:4443/room/clip",
		Args: cobra.MinimumNArgs(1),
	}
	f := cmd.Flags()
	var flags clientFlags
	flags.add(f, "whip or moq")
	loop := f.Bool("loop", false, "begin again at the end of the files")
	fps := f.Float64("fps", 0, "frame rate of raw H.264 that does not say its own")
	film := f.String("clip", "", "publish the built-in film with this `CODEC`: h264 or vp8")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		paths, url := args[:len(args)-1], args[len(args)-1]
		conn, err := flags.connection(a, url)
		if err != nil {
			return err
		}
		cfg := client.PublishConfig{Connection: conn, Loop: *loop, For: flags.duration}
		switch {
		case *film != "" && len(paths) > 0:
			return usagef("--clip and files: give one of them")
		case *film != "":
			if cfg.Sources, err = clipSources(*film); err != nil {
				return err
			}
		case len(paths) == 0:
			return usagef("no file to publish; see %s --help", cmd.CommandPath())
		}
		for _, path := range paths {
			cfg.Sources = append(cfg.Sources, client.FileSource(path, media.Options{FrameRate: *fps}))
		}
		line := newStatusLine(a.stderr, flags.duration)
		cfg.OnReport = func(r client.PublishReport) { line.show(publishLine(r), r.DurationS) }
		report, err := client.Publish(cmd.Context(), cfg)
		line.close()
		return finish(cmd, flags.json, report, printPublished, err)
	}
	return cmd
}

// clipSources are the built-in film with a video codec.
func clipSources(codec string) ([]client.Source, error) {
	video, known := map[string]framing.Codec{"h264": framing.H264, "vp8": framing.VP8}[codec]
	if !known {
		return nil, usagef("--clip: %q; want h264 or vp8", codec)
	}
	var sources []client.Source
	for _, c := range []framing.Codec{video, framing.Opus} {
		track, err := clip.Load(c)
		if err != nil {
			return nil, err
		}
		sources = append(sources, client.EndlessSource("clip "+c.String(), track))
	}
	return sources, nil
}

func publishLine(r client.PublishReport) string {
	var s strings.Builder
	s.WriteString("publishing")
	for _, t := range r.Tracks {
		fmt.Fprintf(&s, "  %s %.0f/s %s late p99 %.1f ms", t.Codec, t.FrameRate, bitrate(t.Bytes, r.DurationS), t.LatenessMs.P99)
	}
	return s.String()
}

func printPublished(out io.Writer, r client.PublishReport) error {
	if len(r.Tracks) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	again := ""
	if r.Reconnects > 0 || r.Skipped > 0 {
		again = fmt.Sprintf(", %d reconnects, %d frames skipped meanwhile", r.Reconnects, r.Skipped)
	}
	_, _ = fmt.Fprintf(out, "%s by %s in %.1f s, connected after %.0f ms%s\n", r.Broadcast, r.Protocol, r.DurationS, r.ConnectMs, again)
	_, _ = fmt.Fprintln(w, "track\tcodec\tframes\tkeys\tper second\tbitrate\tlate p50\tp99 ms\t")
	for _, t := range r.Tracks {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.1f\t%s\t%.1f\t%.1f\t\n",
			t.Kind, t.Codec, t.Objects, t.KeyFrames, t.FrameRate, bitrate(t.Bytes, r.DurationS), t.LatenessMs.P50, t.LatenessMs.P99)
	}
	return w.Flush() // it tells of the first write that went wrong
}
