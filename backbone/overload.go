package backbone

import (
	"log/slog"
	"time"
)

// When a node asks to be given no new work. Between the two limits of each it
// stays as it is, so that it does not swing with the work that it is given.
const (
	// The worst timer of the last two seconds is that late.
	overloadedLag = 250 * time.Millisecond
	calmLag       = 50 * time.Millisecond
	// Shares of the egress that the node may send.
	overloadedEgress = 0.95
	calmEgress       = 0.85
	// overloadedAfter and calmAfter are for how many looks, a second apart, that
	// must have been so.
	overloadedAfter = 5
	calmAfter       = 10
)

// overload judges whether a node has more to do than it can. It is looked at once
// a second; the mesh's loop owns it.
type overload struct {
	on   bool
	run  int    // looks in a row that speak for the other state
	last string // what spoke for being overloaded
}

// look takes how late timers are and what share of the egress is used, 0 without
// a limit, and reports whether the state has changed.
func (o *overload) look(lag time.Duration, egress float64) (changed bool) {
	busy := ""
	switch {
	case lag >= overloadedLag:
		busy = "timers_late"
	case egress >= overloadedEgress:
		busy = "egress_used"
	}
	calm := lag < calmLag && egress < calmEgress
	switch {
	case !o.on && busy != "":
		o.last = busy
		o.run++
	case o.on && calm:
		o.run++
	default:
		o.run = 0
	}
	if !o.on && o.run >= overloadedAfter || o.on && o.run >= calmAfter {
		o.on, o.run = !o.on, 0
		return true
	}
	return false
}

// measureLoad decides whether this node asks for no new work. Called once a second.
func (m *Mesh) measureLoad(now time.Time) {
	egress := 0.0
	if m.cfg.EgressMbps > 0 {
		egress = m.egress.mbps / m.cfg.EgressMbps
	}
	lag := m.lag.value(now)
	if !m.overload.look(lag, egress) {
		return
	}
	if m.overload.on {
		m.log.Warn("overloaded: plans give this node no new children",
			slog.String("reason", m.overload.last), slog.Duration("lag", lag), slog.Float64("egress", egress))
	} else {
		m.log.Info("not overloaded any more", slog.Duration("lag", lag), slog.Float64("egress", egress))
	}
}
