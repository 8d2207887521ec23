package world

import (
	"fmt"
	"slices"
	"time"

	"trellis/internal/telemetry"
)

// The oracle looks at everything that viewers received. Order, duplicates and
// bytes are checked packet by packet (crowd.go); what is judged here, at the end,
// is whether nodes can say why there was a gap.

// explains says which kinds of events answer for a gap, the nearest first.
var explains = []telemetry.Kind{
	telemetry.GroupDropped, telemetry.GroupSkipped, telemetry.ParentLost, telemetry.BackupResumed, telemetry.BackupPromoted,
	telemetry.LinkSuspect, telemetry.LinkDown, telemetry.ParentTaken, telemetry.ParentMoving,
}

// whatFailureSays are the reasons that a failure of a node or a path may have. A
// gap after one that is put down to anything else has the wrong reason.
var whatFailureSays = []string{"suspect", "silence", "failed", "link_down", "busy", "refused", "lagged", "late", "cut_off", "unserved", "shed", "stalled", "aborted"}

// whatOperatorsSay are the reasons of gaps after what an operator, or a path's
// length, has changed.
var whatOperatorsSay = []string{"peer_leaves", "planned", "draining", "going_away", "cheaper"}

// fits reports whether a reason can be that of a gap at this time.
func (w *World) fits(reason string, g *Gap) bool {
	if slices.Contains(whatFailureSays, reason) {
		return true
	}
	return slices.Contains(whatOperatorsSay, reason) && slices.ContainsFunc(w.inForce(g), func(k FaultKind) bool {
		return k == Drain || k == Price || k == DelayChange || k == Flap
	})
}

const (
	// An event answers for a gap if it lies within the gap, or this much around it:
	// silence is noticed late, and what is resumed has a way to go.
	eventBefore = time.Second
	eventAfter  = 500 * time.Millisecond
	// faultEcho is how long after the beginning or the end of a fault gaps are put
	// down to it.
	faultEcho = 5 * time.Second
)

// eventBook holds the events of all nodes.
type eventBook map[string][]telemetry.Event

func (w *World) readEvents() eventBook {
	book := eventBook{}
	for _, p := range w.places {
		book[p.ID], _ = w.cluster.Node(p.ID).Events(0)
	}
	return book
}

// judge finds out who answers for each gap, and adds what nobody does.
func (w *World) judge(r *Report, book eventBook) {
	unexplained, wrong := 0, 0
	for i := range r.Gaps {
		g := &r.Gaps[i]
		ev, node, ok := w.answer(book, g)
		if !ok {
			unexplained++
			g.Cause = "no event"
			continue
		}
		g.Cause = fmt.Sprintf("%s: %s, %s", node, ev.Kind, ev.Reason)
		if w.failing(g) && !w.fits(ev.Reason, g) {
			wrong++
			g.Cause += " (not a reason for a failure)"
		}
	}
	if unexplained > 0 {
		r.Broken = append(r.Broken, fmt.Sprintf("gaps that no event explains: %d of %d", unexplained, len(r.Gaps)))
	}
	if wrong > 0 {
		r.Broken = append(r.Broken, fmt.Sprintf("gaps with a reason that does not fit the fault: %d of %d", wrong, len(r.Gaps)))
	}
}

// answer looks for an event at the node of a gap, and at those on its way to the
// origin.
func (w *World) answer(book eventBook, g *Gap) (ev telemetry.Event, node string, ok bool) {
	from := g.At.Add(-time.Duration(g.Silence*float64(time.Millisecond)) - eventBefore)
	to := g.At.Add(eventAfter)
	failing := w.failing(g)
	for _, id := range w.wayTo(w.byID[g.Node], g.At) {
		best := len(explains)
		for _, e := range book[id] {
			k := slices.Index(explains, e.Kind)
			switch {
			case k < 0 || e.At.Before(from) || e.At.After(to):
				continue
			case e.Track != "" && e.Track != trackOf(g.Track):
				continue
			case e.Kind == telemetry.GroupSkipped && id != g.Node:
				continue // what its own viewers missed
			case failing && ok && !w.fits(e.Reason, g):
				continue // something else that happened as well
			}
			if k < best || failing && !w.fits(ev.Reason, g) && w.fits(e.Reason, g) {
				best, ev, node, ok = k, e, id, true
			}
		}
		// What does not fit the fault may hide what does, further up.
		if ok && (!failing || w.fits(ev.Reason, g)) {
			return ev, node, true
		}
	}
	return ev, node, ok
}

// wayTo lists a node and those between it and the origin, by the trees that were
// seen last before and first after a time.
func (w *World) wayTo(at int, when time.Time) []string {
	ids := []string{w.places[at].ID}
	add := func(t *treeSample) {
		for _, id := range slices.Backward(t.path[at]) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	for i := range w.trees {
		before, after := w.trees[i].at.Before(when), i+1 == len(w.trees) || !w.trees[i+1].at.Before(when)
		if before && after {
			add(&w.trees[i])
			if i+1 < len(w.trees) {
				add(&w.trees[i+1])
			}
		}
	}
	return ids
}

// failing reports whether a gap falls into the time of a fault.
func (w *World) failing(g *Gap) bool { return len(w.inForce(g)) > 0 }

// inForce returns the faults to which a gap may be put down.
func (w *World) inForce(g *Gap) (kinds []FaultKind) {
	at := g.At.Sub(w.session.from)
	for _, f := range w.faults {
		if f.Kind == Crowd || f.Kind == ClockStep || f.Kind == Registry {
			continue // those are no excuse
		}
		if at >= f.Began && at <= max(f.Began, f.Ended)+faultEcho {
			kinds = append(kinds, f.Kind)
		}
	}
	return kinds
}
