package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"trellis/backbone"
)

func (a *app) netcheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "netcheck",
		Short: "Show a node's links as it has measured them, and with whom it wants more",
		Long: "Round trips, jitter, loss in both directions, the peer's clock, lanes and throughput of each link, and why it is\n" +
			"kept: near, beside and far are the node's own choice, cluster means that everybody links to everybody, peer that\n" +
			"the other end wants it; other words are those of routes. Then the nearest nodes without a link, by coordinates.",
		Args: cobra.NoArgs,
	}
	door := a.adminFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print what the node answers, as one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var g backbone.GraphStatus
		if err := door().ask(cmd.Context(), http.MethodGet, "/v1/graph", nil, &g); err != nil {
			return err
		}
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(g)
		}
		return showGraph(cmd.OutOrStdout(), &g)
	}
	return cmd
}

func showGraph(w io.Writer, g *backbone.GraphStatus) error {
	var b strings.Builder
	edges := 0
	for _, l := range g.Links {
		if l.Both {
			edges++
		}
	}
	fmt.Fprintf(&b, "%s knows %d nodes and %d links\n", g.Self, len(g.Nodes), edges/2)
	for _, n := range g.Nodes {
		if n.ID == g.Self {
			fmt.Fprintf(&b, "egress %s Mbit/s, viewers %s, children of one track %s%s\n",
				usage(n.Egress), usage(n.Viewers), usage(n.Children), inWords(n.State))
		}
	}
	b.WriteString("\n")
	showOwnLinks(&b, g.Own)
	showWanted(&b, g)
	_, err := io.WriteString(w, b.String())
	return err
}

func showOwnLinks(b *strings.Builder, own []backbone.OwnLink) {
	if len(own) == 0 {
		b.WriteString("no links\n")
		return
	}
	own = slices.Clone(own)
	slices.SortStableFunc(own, func(x, y backbone.OwnLink) int { return cmp.Compare(x.RTTP50Ms, y.RTTP50Ms) })
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "PEER\tREGION\tRTT\tMIN..P95\tJITTER\tLOSS IN\tOUT\tCLOCK\tLANES\tMBIT/S IN\tOUT\tAGE\tSTATE\tWHY") // into memory
	for _, l := range own {
		clock := "unsynchronised"
		if l.Synchronised {
			clock = fmt.Sprintf("%+.1f ± %.1f ms", l.ClockOffsetMs, l.ClockErrorMs)
		}
		state := l.State
		if l.HeldDown > 0 {
			state = fmt.Sprintf("%s, held down %.0f s", state, l.HeldDown)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%.1f..%.1f\t%.1f\t%.2f%%\t%.2f%%\t%s\t%d\t%.1f\t%.1f\t%.1f s\t%s\t%s\n",
			l.Peer, l.Region, millis(l.RTTP50Ms), l.RTTMinMs, l.RTTP95Ms, l.JitterMs, 100*l.LossIn, 100*l.LossOut, clock,
			l.Lanes, l.InMbps, l.OutMbps, l.AgeMs/1000, state, wordOrDash(strings.Join(l.Causes, ", "))) // into memory
	}
	_ = t.Flush() // into memory
}

// nearShown is how many of the nodes without a link are shown.
const nearShown = 8

// showWanted lists the links that the node wants and does not have, and the nearest
// nodes that it does without.
func showWanted(b *strings.Builder, g *backbone.GraphStatus) {
	linked := map[string]bool{g.Self: true}
	for _, l := range g.Own {
		linked[l.Peer] = true
	}
	for _, id := range slices.Sorted(maps.Keys(g.Chosen)) {
		if !linked[id] {
			fmt.Fprintf(b, "wanted, but not there: %s (%s)\n", id, g.Chosen[id])
		}
	}
	var rest []backbone.GraphNode
	for _, n := range g.Nodes {
		if !linked[n.ID] {
			rest = append(rest, n)
		}
	}
	if len(rest) == 0 {
		return
	}
	slices.SortStableFunc(rest, func(x, y backbone.GraphNode) int { return cmp.Compare(x.RTTMs, y.RTTMs) })
	fmt.Fprintf(b, "\nwithout a link, the nearest of %d:\n", len(rest))
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "NODE\tREGION\tRTT\tFROM\tEGRESS MBIT/S\tVIEWERS\tSTATE") // into memory
	for _, n := range rest[:min(len(rest), nearShown)] {
		from := "measured"
		if n.Prior {
			from = "prior"
		}
		state := strings.Join(n.State, ", ")
		if !n.Heard {
			state = "not heard of"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n.ID, n.Region, millis(n.RTTMs), from, usage(n.Egress), usage(n.Viewers), wordOrDash(state)) // into memory
	}
	_ = t.Flush() // into memory
}

// usage is used/limit.
func usage(u backbone.Usage) string {
	if u.Limit == 0 {
		return fmt.Sprintf("%d/-", u.Used)
	}
	return fmt.Sprintf("%d/%d", u.Used, u.Limit)
}

func inWords(states []string) string {
	if len(states) == 0 {
		return ""
	}
	return "; " + strings.Join(states, ", ")
}
