package control

import (
	"fmt"
	"time"
)

// Reasons of routes.
const (
	ReasonPlanned     = "planned"      // by the first full plan
	ReasonJoined      = "joined"       // where it attached itself, or the best place then
	ReasonCheaper     = "cheaper"      // the track costs less so
	ReasonFaster      = "faster"       // by the threshold, and costs no more
	ReasonLate        = "late"         // it, or somebody below, was beyond the bound
	ReasonParentLost  = "parent_lost"  // the parent or the link is gone
	ReasonDrain       = "drain"        // the parent drains
	ReasonCapacity    = "capacity"     // the parent sent more than it can
	ReasonRoom        = "room"         // another, who would be late elsewhere, needs its place
	ReasonBlastRadius = "blast_radius" // too many depended on a node without a backup
	ReasonRefused     = "refused"      // it did not make the move that was decided
	ReasonRelay       = "relay"        // a relay that others need
	ReasonStandby     = "standby"      // a relay that backups need
)

// why is a reason with its figures; the note is written when it is read.
type why struct {
	reason   string
	from, to string  // parents
	was, is  float64 // delays in ms, or USD per hour for cheaper
	limit    float64 // the threshold or bound that was compared with
	viewers  int64
}

func (w *why) note() string {
	switch w.reason {
	case ReasonPlanned:
		return fmt.Sprintf("planned below %s, %.1f ms, bound %.0f ms", w.to, w.is, w.limit)
	case ReasonJoined:
		return fmt.Sprintf("joined below %s, %.1f ms, bound %.0f ms", w.to, w.is, w.limit)
	case ReasonCheaper:
		return fmt.Sprintf("%s to %s: the track costs %.4f instead of %.4f USD/h, threshold %.0f %%", w.from, w.to, w.is, w.was, 100*w.limit)
	case ReasonFaster:
		if w.limit == 0 {
			return fmt.Sprintf("%s to %s: viewers wait %.1f instead of %.1f ms on average", w.from, w.to, w.is, w.was)
		}
		return fmt.Sprintf("%s to %s: %.1f instead of %.1f ms, threshold %.1f ms", w.from, w.to, w.is, w.was, w.limit)
	case ReasonLate:
		if w.limit == 0 {
			return fmt.Sprintf("%s to %s: %d viewers more are in bound", w.from, w.to, w.viewers)
		}
		return fmt.Sprintf("%s to %s: %.1f instead of %.1f ms at p95, bound %.1f ms", w.from, w.to, w.is, w.was, w.limit)
	case ReasonParentLost:
		return fmt.Sprintf("%s or the link from it is gone; now %s, %.1f ms, bound %.0f ms", w.from, w.to, w.is, w.limit)
	case ReasonDrain:
		return fmt.Sprintf("%s drains; now %s, %.1f ms, bound %.0f ms", w.from, w.to, w.is, w.limit)
	case ReasonCapacity:
		return fmt.Sprintf("%s is full; now %s, %.1f ms, bound %.0f ms", w.from, w.to, w.is, w.limit)
	case ReasonRoom:
		return fmt.Sprintf("makes room for %s; now %s, %.1f ms, bound %.0f ms", w.from, w.to, w.is, w.limit)
	case ReasonBlastRadius:
		return fmt.Sprintf("%d viewers depend on %s; now %s, %.1f ms", w.viewers, w.from, w.to, w.is)
	case ReasonRefused:
		return fmt.Sprintf("stayed with %s: the move to %s was not made", w.to, w.from)
	case ReasonRelay:
		return fmt.Sprintf("carries the track for others, below %s, %.1f ms", w.to, w.is)
	case ReasonStandby:
		return fmt.Sprintf("carries the track for backups, below %s, %.1f ms", w.to, w.is)
	}
	return ""
}

// keeping says what speaks for a better place and why the node has not moved.
type keeping struct {
	to        string
	gain      float64 // ms, or USD per hour if cost
	share     float64 // of the delay, or of the track's cost
	cost      bool
	threshold float64       // share
	wait      time.Duration // that the gain must still last
	rest      time.Duration // since the last move
	budget    bool          // this minute's moves are used up
	pinned    bool          // it was moved for the sake of the blast radius
	shaky     bool          // links on the way go back and forth
}

func (k *keeping) note() string {
	if k.to == "" {
		return ""
	}
	unit := "ms faster"
	if k.cost {
		unit = "USD/h cheaper"
	}
	s := fmt.Sprintf("kept: %s is %.3g %s (%.0f %%, threshold %.0f %%)", k.to, k.gain, unit, 100*k.share, 100*k.threshold)
	switch {
	case k.rest > 0:
		s += fmt.Sprintf(", moved %s ago", k.rest.Round(time.Second))
	case k.wait > 0:
		s += fmt.Sprintf(", must last %s more", k.wait.Round(100*time.Millisecond))
	case k.pinned:
		s += ", but then too many would depend on one node"
	case k.shaky:
		s += ", links on the way go back and forth"
	case k.budget:
		s += ", the budget of moves is used up"
	}
	return s
}
