package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"trellis/internal/client"
)

func (a *app) watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch URL",
		Short: "Receive a broadcast by WHEP or MoQ, measure it, and write it to files",
		Long: "Receive the best video and audio track of a broadcast. Statistics show on standard error if it is a terminal,\n" +
			"and at the end on standard output.\n\n" +
			"The URL says where and how:\n" +
			"  https://HOST/whep/ROOM/NAME     WHEP\n" +
			"  moqs://HOST:PORT/ROOM/NAME      MoQ over WebTransport (moq:// for development certificates)\n\n" +
			"Ages are stated only where frames say when they were made, by a clock that agrees with this machine's.",
		Example: "  trellis watch --for 10s --json https://eu-west.example/whep/room/alice\n" +
			"  trellis watch --out /tmp/alice moqs://eu-west.example:4443/room/alice",
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	var flags clientFlags
	flags.add(f, "whep or moq")
	out := f.String("out", "", "write each track to a file in this `DIRECTORY`")
	noAudio := f.Bool("no-audio", false, "leave the sound out")
	noVideo := f.Bool("no-video", false, "leave the picture out")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		conn, err := flags.connection(a, args[0])
		if err != nil {
			return err
		}
		line := newStatusLine(a.stderr, flags.duration)
		report, err := client.Watch(cmd.Context(), client.WatchConfig{
			Connection: conn, For: flags.duration, NoAudio: *noAudio, NoVideo: *noVideo, OutputDir: *out,
			OnReport: func(r client.WatchReport) { line.show(watchLine(r), r.DurationS) },
		})
		line.close()
		return finish(cmd, flags.json, report, printWatched, err)
	}
	return cmd
}

func watchLine(r client.WatchReport) string {
	var s strings.Builder
	s.WriteString("watching")
	for _, t := range r.Tracks {
		fmt.Fprintf(&s, "  %s %.0f/s %s gaps %d age %s", t.Codec, t.FrameRate, bitrate(t.Bytes, r.DurationS), t.Gaps, age(t))
	}
	return s.String()
}

// age is p50 and p99, or why there is none.
func age(t client.WatchedTrack) string {
	if t.AgeMs == nil {
		return string(t.AgeFrom)
	}
	return fmt.Sprintf("%.0f/%.0f ms", t.AgeMs.P50, t.AgeMs.P99)
}

// bitrate is the mean over a time.
func bitrate(bytes int64, seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f kbit/s", float64(bytes)*8/1000/seconds)
}

func printWatched(out io.Writer, r client.WatchReport) error {
	if len(r.Tracks) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	again := ""
	if r.Reconnects > 0 {
		again = fmt.Sprintf(", %d reconnects", r.Reconnects)
	}
	_, _ = fmt.Fprintf(out, "%s by %s in %.1f s, connected after %.0f ms%s\n", r.Broadcast, r.Protocol, r.DurationS, r.ConnectMs, again)
	_, _ = fmt.Fprintln(w, "track\tcodec\tframes\tkeys\tper second\tbitrate\tgaps\tlost\tage p50/p99\tvariation p99\tfirst frame\t")
	for _, t := range r.Tracks {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.1f\t%s\t%d\t%d\t%s\t%.1f ms\t%.0f ms\t\n",
			t.Kind, t.Codec, t.Objects, t.KeyFrames, t.FrameRate, bitrate(t.Bytes, r.DurationS), t.Gaps, t.Lost,
			age(t), t.DelayVariationMs.P99, t.TimeToFirstFrameMs)
	}
	for _, name := range r.Files {
		_, _ = fmt.Fprintln(w, name)
	}
	return w.Flush() // it tells of the first write that went wrong
}
