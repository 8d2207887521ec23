package moq

import (
	"context"
	"errors"
	"io"
	"sync"

	"trellis/edge/allocate"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// view is one SUBSCRIBE of the client's.
type view struct {
	session *session
	stream  *stream
	id      uint64
	sub     *relay.Subscription
	info    wire.TrackInfo
	ctx     context.Context
	pending sync.WaitGroup // groups in the outbox or being sent
	started bool
	last    uint64 // the highest group so far, plus one

	// Owned by the session's division.
	rate   trackRate
	memory allocate.Memory
	hold   bool

	// Guarded by outbox.mu.
	want   moqlite.Delivery
	rank   int
	newest mark
	groups []*outGroup
	drops  dropRanges
	paused bool
	held   *relay.GroupReader // the newest group while paused, nil for none
}

func (ss *session) serveSubscribe(st *stream) error {
	m, err := request(ss, st, moqlite.ParseSubscribe)
	if err != nil {
		return err
	}
	name, err := ss.trackName(m.Broadcast, m.Track)
	if err != nil {
		return err
	}
	opt := relay.SubscribeOptions{Kind: relay.ReaderMoQ, Viewers: 1}
	if first, ok := m.Start.Group(); ok {
		opt.Start = relay.Start{Resume: true, Group: first}
	}
	sub, err := ss.cfg.Table.Subscribe(name, opt)
	if err != nil {
		return err
	}
	defer sub.Close()
	ss.metrics.subscriptions.Inc()
	defer ss.metrics.subscriptions.Dec()

	ctx, cancel := context.WithCancelCause(ss.ctx)
	defer cancel(errUnsubscribed)
	v := &view{session: ss, stream: st, id: m.ID, sub: sub, ctx: ctx, want: m.Delivery}
	if v.info, err = ss.awaitInfo(ctx, sub); err != nil {
		return err
	}
	if ss.version < moqlite.Version05 {
		if err := st.respond(moqlite.SubscribeOK{Delivery: m.Delivery}); err != nil {
			return err
		}
	}
	ss.outbox.add(v)
	ss.divide()
	// Groups go before their view does.
	defer v.pending.Wait()
	defer ss.outbox.remove(v)
	if !ss.start(func() { cancel(v.readUpdates()) }) {
		return context.Cause(ss.ctx)
	}
	return v.feed()
}

// awaitInfo waits until the node knows what a track is like.
func (ss *session) awaitInfo(ctx context.Context, sub *relay.Subscription) (wire.TrackInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, ss.cfg.AnswerTimeout)
	defer cancel()
	return sub.Info(ctx)
}

// readUpdates returns why the client wants no more.
func (v *view) readUpdates() error {
	for {
		body, err := v.stream.message(0)
		if endOfStream(err) {
			return errUnsubscribed
		}
		if err != nil {
			return err
		}
		m, err := moqlite.ParseSubscribeUpdate(body, v.session.version)
		if err != nil {
			v.session.note(err)
			return err
		}
		v.session.outbox.update(v, m.Delivery)
	}
}

// feed hands groups to the outbox until the track ends or the client has enough.
func (v *view) feed() error {
	for {
		reader, err := v.sub.NextGroup(v.ctx)
		switch {
		case errors.Is(err, io.EOF):
			return v.finish()
		case v.ctx.Err() != nil:
			if cause := context.Cause(v.ctx); !errors.Is(cause, errUnsubscribed) {
				return cause
			}
			return nil
		case err != nil:
			return err
		}
		seq := reader.Seq()
		if end, bounded := v.end(); bounded && seq > end {
			reader.Close()
			return v.finish()
		}
		if err := v.announce(seq); err != nil {
			reader.Close()
			return err
		}
		v.last = max(v.last, seq+1)
		v.session.outbox.push(v, reader)
		if end, bounded := v.end(); bounded && seq == end {
			return v.finish()
		}
	}
}

func (v *view) end() (uint64, bool) {
	v.session.outbox.mu.Lock()
	defer v.session.outbox.mu.Unlock()
	return v.want.End.Group()
}

// announce tells, ahead of a group, what the client must know before it: on 05
// where the groups begin, and which will not come.
func (v *view) announce(seq uint64) error {
	var b []byte
	if !v.started && v.session.version >= moqlite.Version05 {
		b = moqlite.AppendResponse(b, moqlite.SubscribeStart{Group: seq}, v.session.version)
	}
	v.started = true
	for _, m := range v.takeDrops() {
		b = moqlite.AppendResponse(b, m, v.session.version)
	}
	if len(b) == 0 {
		return nil
	}
	return v.stream.write(b)
}

func (v *view) takeDrops() []moqlite.SubscribeDrop {
	v.session.outbox.mu.Lock()
	defer v.session.outbox.mu.Unlock()
	return v.drops.take()
}

// finish waits until the last groups are gone, and on 05 says where the track
// ended. The caller ends the stream.
func (v *view) finish() error {
	gone := make(chan struct{})
	go func() { // ends no later than the view, which waits for the same
		v.pending.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-v.ctx.Done():
		return nil
	}
	var b []byte
	for _, m := range v.takeDrops() {
		b = moqlite.AppendResponse(b, m, v.session.version)
	}
	if v.session.version >= moqlite.Version05 {
		b = moqlite.AppendResponse(b, moqlite.SubscribeEnd{Group: v.last}, v.session.version)
	}
	if len(b) == 0 {
		return nil
	}
	return v.stream.write(b)
}
