package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"trellis/internal/edges"
	"trellis/internal/node"
)

func (a *app) edgesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "edges",
		Short: "Rank the nodes as edges for a client, by expected delay, load and price",
		Long: "Ask a node which edges it would name to a client, best first, with the numbers and why each stands behind the one\n" +
			"above it. Delays are one way, in milliseconds: over the tree from the origin of the broadcast to the edge, and from\n" +
			"there to the client. The client is where --lat and --lon or --rtt say, or else next to the node that is asked.",
		Example: "  trellis edges --broadcast room/alice --lat 52.5 --lon 13.4\n" +
			"  trellis edges --broadcast room/alice --rtt eu-west-1:12,us-east-1:95",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	door := a.adminFlag(cmd)
	broadcast := f.String("broadcast", "", "`NAME` of the broadcast; empty: only the way to the edge counts")
	lat := f.String("lat", "", "the client's latitude in `DEGREES`")
	lon := f.String("lon", "", "the client's longitude in `DEGREES`")
	rtt := f.String("rtt", "", "round trips that it measured, as `NODE:MILLISECONDS,...`")
	asJSON := f.Bool("json", false, "print the node's answer as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		query := url.Values{}
		for key, v := range map[string]string{"broadcast": *broadcast, "lat": *lat, "lon": *lon, "rtt": *rtt} {
			if v != "" {
				query.Set(key, v)
			}
		}
		if _, err := edges.ParseClient(query); err != nil {
			return &usageError{err}
		}
		var answer node.EdgesAnswer
		if err := door().ask(cmd.Context(), http.MethodGet, "/v1/edges", query, &answer); err != nil {
			return err
		}
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(answer)
		}
		return printEdges(cmd.OutOrStdout(), answer)
	}
	return cmd
}

func printEdges(out io.Writer, a node.EdgesAnswer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "edge\tregion\tstate\texpected\ttree\taccess\tfrom\tused\t$/GB\tscore\tbehind by")
	for _, e := range a.Edges {
		used := "-"
		if e.Utilisation != nil {
			used = strconv.Itoa(int(100**e.Utilisation)) + "%"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.3f\t%s\t%s\n", e.Node, e.Region, e.State,
			orDash(e.ExpectedMs), orDash(e.TreeMs), orDash(e.AccessMs), e.AccessFrom, used, e.PriceUSD, orDash(e.ScoreMs), e.Reason)
	}
	return w.Flush() // it tells of the first write that went wrong
}

func orDash(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *ms)
}
