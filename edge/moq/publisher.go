package moq

import (
	"context"
	"sync/atomic"

	"trellis/internal/relay"
	"trellis/wire"
)

// publisher is one broadcast that the client announces. It is the relay's
// Upstream: when somebody wants a track, it subscribes to it at the client, once
// for all viewers of the whole mesh. (@moq/publish starts an encoder for each
// subscription.)
type publisher struct {
	session *session
	path    string // as the client names it
	name    wire.Broadcast
	id      uint64 // what viewers see as the first hop

	held   atomic.Pointer[relay.Broadcast] // nil until announced
	tracks tracks
}

// announced is called once the relay has taken the broadcast.
func (p *publisher) announced(b *relay.Broadcast) { p.held.Store(b) }

// broadcast is not called before announced.
func (p *publisher) broadcast() *relay.Broadcast { return p.held.Load() }

// alive reports whether the broadcast still holds its name.
func (p *publisher) alive() bool { return p.broadcast().Context().Err() == nil }

// epoch is zero until the broadcast is announced.
func (p *publisher) epoch() uint64 {
	if b := p.held.Load(); b != nil {
		return b.Announcement().Epoch
	}
	return 0
}

// OpenTrack implements relay.Upstream.
func (p *publisher) OpenTrack(t *relay.Track) {
	pl := newPull(p, t)
	if !p.session.start(pl.run) {
		t.Close(context.Cause(p.session.ctx))
	}
}
