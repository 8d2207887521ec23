package backbone

import (
	"log/slog"
	"time"
)

// Canary notices that nobody listens at a peer's address any more, where the
// peer's host says so: a process that was killed cannot. Its datagrams are no
// packets of QUIC, and it has a socket of its own, since only a connected one is
// told. What it says is held against what is heard of the peer: whoever refuses
// the canary may let QUIC pass.
type Canary interface {
	// Ask sends a datagram. It does not block.
	Ask()
	// Refused yields when the host has answered that nobody listens.
	Refused() <-chan struct{}
	// Close ends it.
	Close() error
}

// keepCanary gives the link a canary, if there can be one, and returns what ends
// it.
func (l *link) keepCanary() (end func()) {
	if l.mesh.cfg.Canary == nil {
		return func() {}
	}
	c, err := l.mesh.cfg.Canary(l.main.RemoteAddr())
	if err != nil {
		l.log.Debug("no canary", slog.Any("err", err))
		return func() {}
	}
	l.prober.canary = c
	return func() {
		if err := c.Close(); err != nil {
			l.log.Debug("canary", slog.Any("err", err))
		}
	}
}

// hostWord is what a peer's host has said of it.
type hostWord struct {
	at        time.Time // when it first said that nobody listens, zero if that does not hold
	times     int
	disproved int // how often something came afterwards
}

// maxDisproved is after how many wrong words a host is not listened to any more.
const maxDisproved = 3

// minHostGrace is how long something of a peer that lives may take, at least.
const minHostGrace = 50 * time.Millisecond

// say records that the host says that nobody listens.
func (w *hostWord) say(now time.Time) {
	if w.disproved >= maxDisproved {
		return
	}
	if w.at.IsZero() {
		w.at, w.times = now, 0
	}
	w.times++
}

// pending reports whether the host's word stands.
func (w *hostWord) pending() bool { return !w.at.IsZero() }

// judge returns what to think of the peer for this word alone, and when it would
// be something worse.
func (w *hostWord) judge(now, heard time.Time, grace time.Duration) (is life, due time.Time) {
	if w.at.IsZero() {
		return lifeAlive, now.Add(time.Hour)
	}
	if heard.After(w.at) {
		w.at = time.Time{}
		w.disproved++
		return lifeAlive, now.Add(time.Hour)
	}
	switch since := now.Sub(w.at); {
	case since >= 2*grace && w.times > 1:
		return lifeDown, now
	case since >= grace:
		return lifeSuspect, w.at.Add(2 * grace)
	default:
		return lifeAlive, w.at.Add(grace)
	}
}
