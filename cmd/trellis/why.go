package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trellis/backbone"
)

func (a *app) whyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why BROADCAST/TRACK",
		Short: "Say where a track goes, how long that takes, and why it goes there",
		Long: "The node where the broadcast enters knows every node that takes the track; another one knows itself and the\n" +
			"nodes below it. With --edge, one node is explained in full: each hop with the delay that the links promise and\n" +
			"the age that was measured, the slack to the bound, the price, the backup, and the last changes with their reasons.",
		Example: "  trellis why room/alice/video --edge us-east-1",
		Args:    cobra.ExactArgs(1),
	}
	door := a.adminFlag(cmd)
	edge := cmd.Flags().String("edge", "", "explain this `NODE` in full")
	asJSON := cmd.Flags().Bool("json", false, "print what the node answers, as one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := url.Values{"track": {args[0]}}
		if *edge != "" {
			q.Set("edge", *edge)
		}
		var s backbone.RoutesStatus
		if err := door().ask(cmd.Context(), http.MethodGet, "/v1/routes", q, &s); err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if *asJSON {
			return json.NewEncoder(out).Encode(s)
		}
		return showRoutes(out, s, *edge != "", time.Now())
	}
	return cmd
}

// showRoutes writes a table of all nodes, or everything about the ones it has.
func showRoutes(w io.Writer, s backbone.RoutesStatus, full bool, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%s enters at %s", s.Broadcast, s.Track, s.Origin)
	if s.Version == 0 {
		b.WriteString("; there is no plan, every node takes the cheapest path\n")
	} else {
		fmt.Fprintf(&b, "; plan %d, %s", s.Version, s.Protect)
		if s.RateMbps > 0 {
			fmt.Fprintf(&b, ", %.2f Mbit/s", s.RateMbps)
		}
		b.WriteString("\n")
	}
	if p := s.Summary; p != nil && s.Version > 0 {
		fmt.Fprintf(&b, "%d viewers, %d of them can be in bound and %d are, %d have a backup in bound; %.4f USD/h; planned in %.1f ms\n",
			p.Viewers, p.Reachable, p.InBound, p.Protected, p.USDPerHour, p.PlanningMs)
		for _, u := range p.Unserved {
			fmt.Fprintf(&b, "not served: %s\n", u)
		}
	}
	b.WriteString("\n")
	if full {
		for _, r := range s.Routes {
			showRoute(&b, r, now)
		}
	} else {
		showRouteTable(&b, s.Routes)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func showRouteTable(b *strings.Builder, routes []backbone.RouteStatus) {
	routes = slices.Clone(routes)
	slices.SortStableFunc(routes, func(x, y backbone.RouteStatus) int { return cmp.Compare(len(x.Path), len(y.Path)) })
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "NODE\tVIEWERS\tPARENT\tEXPECTED\tMEASURED\tSLACK\tBACKUP\tPROTECTED\tWHY") // into memory
	for _, r := range routes {
		slack := "-"
		if r.BoundMs > 0 {
			slack = millis(r.SlackMs)
		}
		why := r.Reason
		if r.Obstacle != "" {
			why += ", but " + r.Obstacle
		}
		_, _ = fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Node, r.Viewers, wordOrDash(r.Parent), millis(r.PredictedMs),
			measured(r.Path), slack, wordOrDash(lastOf(r.Backup)), r.Protect, wordOrDash(why)) // into memory
	}
	_ = t.Flush() // into memory
}

func showRoute(b *strings.Builder, r backbone.RouteStatus, now time.Time) {
	fmt.Fprintf(b, "%s: %d viewers, from %s\n", r.Node, r.Viewers, wordOrDash(r.Parent))
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "  HOP\tLINK\tEXPECTED\tMEASURED") // into memory
	for i, h := range r.Path {
		link := "-"
		if i > 0 {
			link = millis(h.LinkMs)
		}
		_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", h.Node, link, millis(h.PredictedMs), measured(r.Path[:i+1])) // into memory
	}
	_ = t.Flush() // into memory
	if r.Version == 0 {
		fmt.Fprintf(b, "  because  %s; it follows no plan\n", wordOrDash(r.Reason))
		showChanges(b, r.Changes, now)
		return
	}
	if len(r.Planned) > 0 {
		fmt.Fprintf(b, "  planned  %s, %s, by plan %d\n", strings.Join(r.Planned, " > "), millis(r.PredictedMs), r.Version)
	}
	if r.Obstacle != "" {
		fmt.Fprintf(b, "  but      %s\n", r.Obstacle)
	}
	if r.BoundMs > 0 {
		fmt.Fprintf(b, "  slack    %s to the bound of %s\n", millis(r.SlackMs), millis(r.BoundMs))
	}
	fmt.Fprintf(b, "  price    %.4f USD/h for the last hop\n", r.PriceUSDh)
	switch {
	case len(r.Backup) == 0:
		fmt.Fprintf(b, "  backup   none\n")
	default:
		fmt.Fprintf(b, "  backup   %s, %s, %s\n", strings.Join(r.Backup, " > "), millis(r.BackupMs), r.Protect)
	}
	fmt.Fprintf(b, "  because  %s", wordOrDash(r.Reason))
	if r.Note != "" {
		fmt.Fprintf(b, ": %s", r.Note)
	}
	if r.Since != nil {
		fmt.Fprintf(b, "; for %v", now.Sub(*r.Since).Round(time.Second))
	}
	b.WriteString("\n")
	showChanges(b, r.Changes, now)
}

func showChanges(b *strings.Builder, changes []backbone.Change, now time.Time) {
	if len(changes) == 0 {
		return
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "  CHANGED\tPLAN\tPATH\tBACKUP\tWHY") // into memory
	for _, c := range changes {
		why := c.Reason
		if c.Note != "" {
			why += ": " + c.Note
		}
		_, _ = fmt.Fprintf(t, "  %v ago\t%d\t%s\t%s\t%s\n", now.Sub(c.At).Round(time.Second), c.Version,
			wordOrDash(strings.Join(c.Path, " > ")), wordOrDash(strings.Join(c.Backup, " > ")), why) // into memory
	}
	_ = t.Flush() // into memory
}

// measured is the age at the last hop of a path, in words.
func measured(path []backbone.HopStatus) string {
	if len(path) == 0 {
		return "-"
	}
	switch h := path[len(path)-1]; h.Age {
	case "measured":
		return fmt.Sprintf("%.1f ± %.1f ms", h.AgeMs, h.AgeErrMs)
	case "origin":
		return "enters here"
	default:
		return h.Age
	}
}

func millis(ms float64) string { return fmt.Sprintf("%.1f ms", ms) }

func wordOrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func lastOf(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[len(s)-1]
}
