package backbone

import (
	"sync"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/peer"
)

// position remembers how far a track has come, so that a new parent can go on
// where the old one stopped. The receivers of all the track's groups report to
// it.
type position struct {
	mu    sync.Mutex
	begun bool
	floor uint64 // every group before it is done
	done  map[uint64]struct{}
	open  map[uint64]*relay.Group // the last writer of groups that are not done
	last  time.Time               // when a group last began or ended
}

const (
	// maxAhead bounds how far groups may be done beyond one that is missing. The
	// missing one is then given up: with 100 ms of sound in a group it is more
	// than a second late.
	maxAhead = 16
	// maxResumeAge is how old a live picture or sound may be to be asked for
	// again. It is what a relay keeps.
	maxResumeAge = 5 * time.Second
)

func newPosition() *position {
	return &position{done: map[uint64]struct{}{}, open: map[uint64]*relay.Group{}}
}

// begin records that g is being received.
func (p *position) begin(g *relay.Group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seq := g.Seq()
	if !p.begun || seq < p.floor && len(p.done) == 0 && len(p.open) == 0 {
		p.begun, p.floor = true, seq
	}
	p.last = time.Now()
	if seq >= p.floor {
		p.open[seq] = g
	}
}

// finish records that a group is complete or given up.
func (p *position) finish(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	delete(p.open, seq)
	if !p.begun || seq < p.floor {
		return
	}
	p.done[seq] = struct{}{}
	p.advanceLocked()
	for len(p.done) > maxAhead {
		// Skip to the oldest that is done.
		oldest := seq
		for s := range p.done {
			oldest = min(oldest, s)
		}
		p.floor = oldest
		p.advanceLocked()
	}
	for s := range p.open {
		if s < p.floor {
			delete(p.open, s)
		}
	}
}

func (p *position) advanceLocked() {
	for {
		if _, ok := p.done[p.floor]; !ok {
			return
		}
		delete(p.done, p.floor)
		p.floor++
	}
}

// resume returns where a new parent should start.
func (p *position) resume(kind wire.Kind, now time.Time) peer.Start {
	p.mu.Lock()
	defer p.mu.Unlock()
	live := kind == wire.KindVideo || kind == wire.KindAudio
	if !p.begun || live && now.Sub(p.last) > maxResumeAge {
		return peer.Start{}
	}
	s := peer.Start{Resume: true, Group: p.floor}
	if g := p.open[p.floor]; g != nil {
		s.Object, _ = g.Next()
	}
	return s
}
