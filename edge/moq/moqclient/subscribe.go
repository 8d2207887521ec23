package moqclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// Object is one frame of a track.
type Object struct {
	Group uint64
	Index uint64 // within the group
	// Time is the presentation time in units of the track's timescale. Before
	// 05 nothing on the wire says it: it is the time of arrival then, in
	// microseconds since 1970.
	Time    int64
	Payload []byte
	// Begun and Arrived are when the first and the last of its bytes came in.
	Begun   time.Time
	Arrived time.Time
}

// maxQueuedGroups bounds the groups of a subscription that nobody has read; the
// oldest goes first.
const maxQueuedGroups = 64

// Subscription receives one track. Next and NextGroup are for one goroutine at
// a time, and not to be mixed.
type Subscription struct {
	session *Session
	id      uint64
	stream  *stream
	info    moqlite.TrackInfo
	ctx     context.Context
	cancel  context.CancelCauseFunc

	current *Group // what Next reads
	more    chan struct{}

	mu      sync.Mutex // guards what follows
	queue   []*Group
	dropped uint64
	seen    uint64 // groups that began to arrive, or are said not to come
	first   uint64 // on 05, the first sequence that comes
	last    uint64 // on 05, the first sequence that will never come
	ended   time.Time
}

// stragglers is how long groups may take to arrive after the publisher ended
// the track: they are on streams of their own.
const stragglers = time.Second

// Subscribe asks for a track of a broadcast and, on 05, for what it is like. It
// returns when the node has accepted it; CodeOf tells why it did not.
func (s *Session) Subscribe(ctx context.Context, broadcast, track string, want moqlite.Delivery) (*Subscription, error) {
	sub, err := s.subscribe(ctx, broadcast, track, want)
	if err != nil {
		return nil, fmt.Errorf("subscribe %s:%s: %w", broadcast, track, err)
	}
	return sub, nil
}

func (s *Session) subscribe(ctx context.Context, broadcast, track string, want moqlite.Delivery) (*Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	sub := &Subscription{session: s, more: make(chan struct{}, 1), info: moqlite.TrackInfo{Timescale: arrivalTimescale}}
	if s.version.HasTimestamps() {
		info, err := s.TrackInfo(ctx, broadcast, track)
		if err != nil {
			return nil, err
		}
		sub.info = info
	}
	sub.ctx, sub.cancel = context.WithCancelCause(s.ctx)
	sub.id = s.receivers.add(sub)
	st, err := s.open(ctx, moqlite.StreamSubscribe, moqlite.Subscribe{ID: sub.id, Broadcast: broadcast, Track: track, Delivery: want})
	if err == nil {
		sub.stream = st
		if s.version < moqlite.Version05 {
			stop := st.resetOn(ctx, wire.CodeTimeout)
			err = sub.awaitOK()
			stop()
		}
	}
	if err == nil && !s.start(sub.run) {
		err = context.Cause(s.ctx) //nolint:contextcheck // why the session ended
	}
	if err != nil {
		if st != nil {
			st.reset(wire.CodeCancel)
		}
		s.receivers.remove(sub.id)
		sub.cancel(err)
		return nil, err
	}
	return sub, nil
}

// arrivalTimescale is that of objects without timestamps: microseconds.
const arrivalTimescale = 1_000_000

// TrackInfo asks what a track is like. It exists from 05 on.
func (s *Session) TrackInfo(ctx context.Context, broadcast, track string) (moqlite.TrackInfo, error) {
	st, err := s.open(ctx, moqlite.StreamTrack, moqlite.Track{Broadcast: broadcast, Name: track})
	if err != nil {
		return moqlite.TrackInfo{}, err
	}
	defer st.finish()
	defer st.resetOn(ctx, wire.CodeTimeout)()
	body, err := st.in.Message()
	if err != nil {
		return moqlite.TrackInfo{}, err
	}
	return moqlite.ParseTrackInfo(body, s.version)
}

func (sub *Subscription) awaitOK() error {
	response, err := sub.stream.in.Response(sub.session.version)
	if err != nil {
		return err
	}
	if _, ok := response.(moqlite.SubscribeOK); !ok {
		return &moqlite.ProtocolError{Code: wire.CodeUnexpected, Reason: "a response before SUBSCRIBE_OK"}
	}
	return nil
}

// run reads the responses until the track ends.
func (sub *Subscription) run() {
	stop := sub.stream.resetOn(sub.ctx, wire.CodeCancel)
	defer stop()
	for {
		response, err := sub.stream.in.Response(sub.session.version)
		if err != nil {
			sub.end(err)
			return
		}
		sub.mu.Lock()
		switch m := response.(type) {
		case moqlite.SubscribeStart:
			sub.first = m.Group
		case moqlite.SubscribeDrop:
			sub.seen += m.Last - m.First + 1
		case moqlite.SubscribeEnd:
			sub.last = m.Group
		}
		sub.mu.Unlock()
	}
}

// end is called once the publisher has ended the stream or reset it.
func (sub *Subscription) end(err error) {
	sub.stream.finish()
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		sub.cancel(err)
		return
	}
	sub.mu.Lock()
	sub.ended = time.Now()
	sub.mu.Unlock()
	sub.ring()
}

// Info returns what the track is like; before 05, only a timescale of microseconds.
func (sub *Subscription) Info() moqlite.TrackInfo { return sub.info }

// Context ends with the subscription; its cause says why.
func (sub *Subscription) Context() context.Context { return sub.ctx }

// Dropped returns how many groups were dropped because nobody read them.
func (sub *Subscription) Dropped() uint64 {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	return sub.dropped
}

// Update changes how groups are delivered.
func (sub *Subscription) Update(want moqlite.Delivery) error {
	return sub.stream.send(moqlite.SubscribeUpdate{Delivery: want}, sub.session.version)
}

// Close ends the subscription and drops what was not read.
func (sub *Subscription) Close() {
	sub.session.receivers.remove(sub.id)
	sub.cancel(ErrClosed)
	// A track that has ended already needs no reset.
	_ = sub.stream.Close()
}

// NextGroup waits for the next group in order of arrival. io.EOF: the track
// ended and every group that came has been returned.
func (sub *Subscription) NextGroup(ctx context.Context) (*Group, error) {
	for {
		g, wait := sub.take()
		switch {
		case g != nil:
			return g, nil
		case wait <= 0:
			return nil, io.EOF
		}
		timer := time.NewTimer(wait)
		select {
		case <-sub.more:
		case <-timer.C:
		case <-sub.ctx.Done():
			timer.Stop()
			return nil, context.Cause(sub.ctx) //nolint:contextcheck // why the subscription ended
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
		timer.Stop()
	}
}

// take returns the oldest group in the queue, or else how long to wait for one;
// zero: none will come.
func (sub *Subscription) take() (*Group, time.Duration) {
	arriving := sub.session.receivers.arriving(sub)
	sub.mu.Lock()
	defer sub.mu.Unlock()
	switch {
	case len(sub.queue) > 0:
		g := sub.queue[0]
		sub.queue = sub.queue[1:]
		return g, 0
	case sub.ended.IsZero() || arriving:
		return nil, time.Hour // until the bell
	case sub.last > 0 && sub.first+sub.seen >= sub.last:
		return nil, 0
	}
	return nil, time.Until(sub.ended.Add(stragglers))
}

// Next waits for the next object: those of one group after another. A group that
// was reset ends early, and the next begins. io.EOF: the track ended.
func (sub *Subscription) Next(ctx context.Context) (Object, error) {
	for {
		if sub.current == nil {
			g, err := sub.NextGroup(ctx)
			if err != nil {
				return Object{}, err
			}
			sub.current = g
		}
		object, err := sub.current.Next(ctx)
		if err == nil {
			return object, nil
		}
		if ctx.Err() != nil {
			return Object{}, context.Cause(ctx)
		}
		if sub.ctx.Err() != nil {
			return Object{}, context.Cause(sub.ctx) //nolint:contextcheck // why the subscription ended
		}
		sub.current.Close()
		sub.current = nil
	}
}

// push queues a group that begins to arrive.
func (sub *Subscription) push(g *Group) {
	sub.mu.Lock()
	sub.seen++
	sub.queue = append(sub.queue, g)
	var oldest *Group
	if len(sub.queue) > maxQueuedGroups {
		oldest, sub.queue = sub.queue[0], sub.queue[1:]
		sub.dropped++
	}
	sub.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	sub.ring()
}

func (sub *Subscription) ring() {
	select {
	case sub.more <- struct{}{}:
	default: // it will look anyway
	}
}
