package rtc

import (
	"sync"
	"time"
)

const (
	// redFrom is the loss from which on sound is sent twice: there is no time to ask
	// for it again, and each lost packet is heard. redUntil is the loss below which it
	// no longer is, once that has lasted for redCalm.
	redFrom, redUntil = 0.02, 0.01
	redCalm           = 15 * time.Second
	// redLeast is the estimate below which it is not: there the path is full, and loses
	// all the more of what is sent twice.
	redLeast = 150_000
)

// protection decides whether a viewer is sent its sound twice (RFC 2198). Its
// methods are safe for concurrent use; time is an argument.
type protection struct {
	mu    sync.Mutex
	on    bool
	rough time.Time // when loss was last at redUntil or above
}

// observe takes the share of packets that were lost of late, and reports whether
// that changes anything.
func (p *protection) observe(now time.Time, loss float64) (on, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.on
	if loss >= redUntil {
		p.rough = now
	}
	switch {
	case loss >= redFrom:
		p.on = true
	case p.on && now.Sub(p.rough) >= redCalm:
		p.on = false
	}
	return p.on, p.on != was
}

// protect has the viewer's sound sent twice where the loss on its path is worth it.
func (t *viewerTrack) protect(now time.Time, loss float64) {
	if t.cfg.redPT == 0 {
		return
	}
	if on, changed := t.protection.observe(now, loss); changed {
		t.hold().feedback(laneCommand{kind: commandProtect, viewer: t.viewer, protect: on})
	}
}
