package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"trellis/internal/client"
	"trellis/internal/config"
	"trellis/internal/demo"
	"trellis/web"
)

func (a *app) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a backbone of several regions on this machine, with a film and a page to watch it",
		Long: "Run a node for each of several regions on loopback, with the delays that were measured between these regions\n" +
			"applied to the links, publish a film at the first one, and serve a page to watch it and to publish from.\n" +
			"It runs until it is interrupted.",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	regions := f.StringSlice("regions", nil, "`NAMES` of AWS regions or cities, by commas (default us-east,eu-west,ap-southeast)")
	noWAN := f.Bool("no-wan", false, "apply no delays between the regions")
	port := f.Int("port", 0, "the page's `PORT`; the nodes take those after it (default any free ones)")
	media := f.String("media-address", "", "an IP `ADDRESS` of this machine at which the nodes take WebRTC; Firefox makes no connection to loopback (default loopback)")
	via := f.String("via", "", "publish the film by whip or moq (default whip)")
	asJSON := f.Bool("json", false, "print one line of JSON when all is up")
	level := f.String("log-level", "warn", "debug, info, warn or error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := demo.New(cmd.Context(), demo.Config{
			Regions: *regions, NoWAN: *noWAN, Port: *port, Media: *media, Via: client.Protocol(*via), Page: web.Files(),
			Version: readBuild().Version, Log: newLog(a.stderr, config.Log{Level: *level}),
		})
		if err != nil {
			return err
		}
		return d.Run(cmd.Context(), func(info demo.Info) error {
			if *asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(info)
			}
			return printDemo(cmd.OutOrStdout(), info, d.Delays())
		})
	}
	return cmd
}

func printDemo(w io.Writer, info demo.Info, delays []demo.Delay) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  Watch and publish:  %s\n\n", info.Page)
	for _, r := range info.Regions {
		fmt.Fprintf(&b, "  %-16s node %-16s %s/%s\n", r.Name, r.Node, r.WHEP, info.Broadcast)
	}
	b.WriteString("\n")
	if len(delays) == 0 {
		b.WriteString("  No delays are applied between the regions.\n")
	}
	for _, d := range delays {
		if d.From < d.To { // the same in both directions
			fmt.Fprintf(&b, "  %s to %s: %.1f ms one way, by a userspace network impairment\n", d.From, d.To, d.OneWayMs)
		}
	}
	fmt.Fprintf(&b, "\n  Token for everything below demo/:\n  %s\n\n  Ctrl-C ends it.\n\n", info.Token)
	_, err := io.WriteString(w, b.String())
	return err
}
