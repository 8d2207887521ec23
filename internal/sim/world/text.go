package world

import (
	"fmt"
	"strings"
	"time"
)

// Text is the report in a page.
func (r *Report) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("SIMULATED: %d nodes in the regions of %s, %d links, %d viewers, %v of virtual time in %v (%v of processor time), seed %d",
		r.Nodes, r.Config.Regions, r.Links, r.Config.Viewers, r.Virtual.Round(time.Second), r.Took.Round(time.Second),
		r.Spent.Round(time.Second), r.Config.Seed)
	line("enters at %s; %d relays, at most %d hops; %d kbit/s are published", r.Origin, r.Relays, r.Depth, r.Bps/1000)
	line("")
	line("viewers whom the graph allows %v:    %7d of %7d have it at p95 per minute: %.3f %%",
		r.Config.Budget, r.Share.InBudget, r.Share.Possible, r.Share.PercentIn)
	line("the others, within 1.1 x least delay: %6d of %7d: %.3f %%", r.Share.OthersGood, r.Share.Others, r.Share.PercentOth)
	line("by the links that were measured:      %7d of %7d: %.3f %%; the others %d of %d: %.3f %%",
		r.Linked.InBudget, r.Linked.Possible, r.Linked.PercentIn, r.Linked.OthersGood, r.Linked.Others, r.Linked.PercentOth)
	line("(counted by viewer, track and minute: a picture and a sound each)")
	for _, m := range r.Minutes {
		line("  minute %d: in budget %.3f %%, others %.3f %%; age p50 %.1f ms, p95 %.1f, p99 %.1f, max %.1f",
			m.Minute, m.PercentIn, m.PercentOth, m.Ages.P50, m.Ages.P95, m.Ages.P99, m.Ages.Max)
	}
	line("first picture after the wish to watch: p50 %.0f ms, p95 %.0f, p99 %.0f, max %.0f (%d joins)",
		r.Joins.P50, r.Joins.P95, r.Joins.P99, r.Joins.Max, r.Joins.Count)
	if q := r.Real; q.All > 0 {
		line("the same of %d real clients, with their handshakes (MoQ p50 %.0f ms, p95 %.0f; WHEP p50 %.0f, p95 %.0f); %d saw nothing",
			q.All, q.MoQ.P50, q.MoQ.P95, q.WHEP.P50, q.WHEP.P95, q.Failed)
	}
	line("the picture is taken %d times by %d nodes, backups that stand by included; at most %d times by one",
		r.Taken.Subs, r.Taken.Nodes, r.Taken.Most)
	line("predicted ages within 10 %% or 3 ms of measured: %d of %d nodes; worst %.1f ms; nodes' own figures: %d",
		r.Accuracy.Within, r.Accuracy.Nodes, r.Accuracy.WorstMs, r.Accuracy.Reported)
	usd, bytes := 0.0, uint64(0)
	for _, f := range r.Flows {
		usd, bytes = usd+f.USDPerHour, bytes+f.Bytes
	}
	line("tree: %.1f MB of media over %d links, %.4f USD per hour at this rate", float64(bytes)/1e6, len(r.Flows), usd)
	for _, f := range r.Faults {
		line("fault %s at %v: %s; viewers behind it %d, moved %d (%s)", f.Kind, f.Began.Round(time.Millisecond), strings.Join(f.Hit, " "), f.Below, f.Moved, f.Explain)
	}
	line("gaps: %d kinds; objects lost at viewers: %d; changes of parent: %d", len(r.Gaps), r.Lost, len(r.Moves))
	for i, g := range r.Gaps {
		if i == 8 {
			line("  ...")
			break
		}
		line("  %s at %s: %d frames missing, %.0f ms of silence, %d viewers%s", g.Track, g.Node, g.Frames, g.Silence, g.Viewers, because(g.Cause))
	}
	for i, c := range r.Clients {
		if i == maxClientsShown {
			line("  ...")
			break
		}
		line("real client (%s) at %s: p50 %.1f ms, p95 %.1f; %d pictures, %d missing, %d problems", c.Kind, c.Node, c.P50Ms, c.P95Ms, c.Frames, c.Missing, c.Problems)
	}
	for _, v := range r.Broken {
		line("VIOLATION: %s", v)
	}
	for i, n := range r.Notes {
		if i == 10 {
			line("note: and %d more", len(r.Notes)-i)
			break
		}
		line("note: %s", n)
	}
	return b.String()
}

// maxClientsShown bounds the list of real clients.
const maxClientsShown = 8

func because(cause string) string {
	if cause == "" {
		return ""
	}
	return ": " + cause
}
