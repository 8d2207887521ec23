package moqclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// maxWaitingGroups bounds the groups of a subscription that wait for a stream;
// the oldest goes first.
const maxWaitingGroups = 32

// sender serves one subscription of the node to one of our tracks. Its streams
// are opened in sequence order, by run; each group is then written by a
// goroutine of its own, so that a large one does not hold up its successor.
type sender struct {
	session *Session
	track   *TrackWriter
	id      uint64
	stream  *stream
	bell    chan struct{}

	mu         sync.Mutex // guards what follows
	waiting    []*groupLog
	maxLatency time.Duration
	active     map[*groupLog]*sending
	ended      bool
	last       uint64 // first sequence that will never exist, once ended
}

// sending is a group on its stream.
type sending struct {
	expire context.CancelCauseFunc
	passed time.Time // when a newer group came, zero before
}

// errExpired ends the stream of a group that is older than the subscriber wants.
var errExpired = &moqlite.ProtocolError{Code: wire.CodeOld, Reason: "superseded"}

func (s *Session) serveSubscribe(st *stream) error {
	body, err := st.in.Message()
	if err != nil {
		return err
	}
	request, err := moqlite.ParseSubscribe(body, s.version)
	if err != nil {
		return err
	}
	t := s.publications.lookup(request.Broadcast, request.Track)
	if t == nil {
		return refuse(wire.CodeNotFound, "no such track")
	}
	out := &sender{
		session: s, track: t, id: request.ID, stream: st, bell: make(chan struct{}, 1),
		maxLatency: request.MaxLatency, active: map[*groupLog]*sending{},
	}
	if s.version < moqlite.Version05 {
		ok := moqlite.SubscribeOK{Delivery: request.Delivery}
		if _, err := st.Write(moqlite.AppendResponse(nil, ok, s.version)); err != nil {
			return err
		}
	}
	if !t.attach(out) {
		return refuse(wire.CodeNotFound, "the track ended")
	}
	defer t.detach(out)
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	if !s.start(func() { cancel(out.readUpdates()) }) {
		return context.Cause(s.ctx)
	}
	return out.run(ctx)
}

// readUpdates returns when the node ends the subscription.
func (o *sender) readUpdates() error {
	for {
		body, err := o.stream.in.Message()
		if err != nil {
			if isEnd(err) {
				return context.Canceled
			}
			return err
		}
		update, err := moqlite.ParseSubscribeUpdate(body, o.session.version)
		if err != nil {
			return err
		}
		o.mu.Lock()
		o.maxLatency = update.MaxLatency
		o.mu.Unlock()
	}
}

// run opens a stream for each group until the track ends or the node has enough.
func (o *sender) run(ctx context.Context) error {
	var groups sync.WaitGroup
	defer groups.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errExpired)
	started := false
	for {
		g, ended := o.next()
		if g == nil {
			if ended {
				groups.Wait()
				return o.end()
			}
			select {
			case <-o.bell:
				continue
			case <-ctx.Done():
				if errors.Is(context.Cause(ctx), context.Canceled) {
					return nil
				}
				return context.Cause(ctx)
			}
		}
		if !started && o.session.version >= moqlite.Version05 {
			start := moqlite.SubscribeStart{Group: g.sequence}
			if _, err := o.stream.Write(moqlite.AppendResponse(nil, start, o.session.version)); err != nil {
				return err
			}
		}
		started = true
		out, err := o.session.wt.OpenUniStreamSync(ctx)
		if err != nil {
			return err
		}
		groupCtx, expire := context.WithCancelCause(ctx)
		o.mu.Lock()
		o.active[g] = &sending{expire: expire}
		o.mu.Unlock()
		header := moqlite.Group{SubscribeID: o.id, Sequence: g.sequence}
		_, err = out.Write(moqlite.AppendUniStream(nil, moqlite.UniStreamGroup, header, o.session.version))
		if err != nil {
			expire(err)
			out.CancelWrite(streamCode(wire.CodeCancel))
			o.finished(g)
			continue
		}
		groups.Go(func() {
			defer o.finished(g)
			defer expire(nil)
			stop := context.AfterFunc(groupCtx, func() {
				code, ok := CodeOf(context.Cause(groupCtx))
				if !ok {
					code = wire.CodeCancel
				}
				out.CancelWrite(streamCode(code))
				_ = out.SetWriteDeadline(time.Now()) // see cancelRead
			})
			err := writeFrames(groupCtx, out, g, o.session.version)
			if !stop() {
				return // reset already
			}
			if err != nil {
				code, ok := CodeOf(err)
				if !ok {
					code = wire.CodeCancel
				}
				out.CancelWrite(streamCode(code))
				return
			}
			// A node that no longer wants the group has said so by a reset.
			_ = out.Close()
		})
	}
}

// end says on 05 where the track ended. The caller ends the stream.
func (o *sender) end() error {
	if o.session.version < moqlite.Version05 {
		return nil
	}
	_, err := o.stream.Write(moqlite.AppendResponse(nil, moqlite.SubscribeEnd{Group: o.last}, o.session.version))
	return err
}

// push adds a group, and expires those that have held up a newer one for longer
// than the subscriber wants.
func (o *sender) push(g *groupLog) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, old := range o.active {
		switch {
		case old.passed.IsZero():
			old.passed = g.created
		case g.created.Sub(old.passed) > o.maxLatency:
			old.expire(errExpired)
		}
	}
	o.waiting = append(o.waiting, g)
	if len(o.waiting) > maxWaitingGroups {
		o.waiting = o.waiting[1:]
	}
	o.ring()
}

// finish says that last is the first sequence that will never exist.
func (o *sender) finish(last uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended, o.last = true, last
	o.ring()
}

func (o *sender) next() (g *groupLog, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		return nil, o.ended
	}
	g, o.waiting = o.waiting[0], o.waiting[1:]
	return g, false
}

func (o *sender) finished(g *groupLog) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.active, g)
}

func (o *sender) ring() {
	select {
	case o.bell <- struct{}{}:
	default: // it will look anyway
	}
}
