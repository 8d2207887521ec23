package moq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

// pull is one track that we subscribed to at the client.
type pull struct {
	session   *session
	publisher *publisher
	track     *relay.Track
	id        uint64
	document  *hang.Document // the catalog, if that is what the track is
	mu        sync.Mutex     // guards document

	facts trackFacts    // fixed when ready is closed
	ready chan struct{} // closed when the relay knows what the track is like

	arrivals arrivals
}

// pulls are the subscriptions of ours at the client, by id.
type pulls struct {
	mu   sync.Mutex // guards what follows
	max  int
	next uint64
	byID map[uint64]*pull
}

func (p *pulls) init(most int) { p.max, p.byID = most, map[uint64]*pull{} }

// add gives pl its id. False: there are too many.
func (p *pulls) add(pl *pull) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byID) >= p.max {
		return false
	}
	pl.id = p.next
	p.next++
	p.byID[pl.id] = pl
	return true
}

func (p *pulls) remove(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byID, id)
}

// find returns the pull of a group that comes in. Without one, issued says
// whether there ever was one.
func (p *pulls) find(id uint64) (pl *pull, issued bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[id], id < p.next
}

// stragglers is how long groups may come in after the client ended the track.
const stragglers = time.Second

func newPull(p *publisher, t *relay.Track) *pull {
	return &pull{
		session: p.session, publisher: p, track: t,
		ready: make(chan struct{}), arrivals: arrivals{news: make(chan struct{}, 1)},
	}
}

// run subscribes, and returns when the track has ended or nobody wants it.
func (pl *pull) run() {
	ss := pl.session
	if !ss.pulls.add(pl) {
		ss.metrics.refuse(refuseSubscriptions)
		pl.track.Close(refuse(wire.CodeTooMany, refuseSubscriptions, "too many tracks pulled from one client"))
		return
	}
	ctx, cancel := context.WithCancelCause(ss.ctx)
	defer context.AfterFunc(pl.track.Context(), func() { cancel(context.Cause(pl.track.Context())) })()
	err := pl.subscribe(ctx)
	if err == nil {
		pl.awaitStragglers(ctx)
	}
	ss.pulls.remove(pl.id)
	cancel(err)
	pl.track.Close(err)
	if err != nil && ss.ctx.Err() == nil && pl.track.Context().Err() == nil {
		ss.log.Debug("track ended", slog.String("track", pl.track.Name().String()), slog.Any("cause", err))
	}
}

// subscribe returns nil when the client has ended the track in order.
func (pl *pull) subscribe(ctx context.Context) error {
	ss := pl.session
	name := pl.track.Name().Track
	kind := pl.publisher.tracks.of(name).kind
	m := moqlite.Subscribe{ID: pl.id, Broadcast: pl.publisher.path, Track: name, Delivery: moqlite.Delivery{
		Priority: kind.DefaultPriority(), MaxLatency: ss.cfg.PullLatency,
	}}
	st, err := ss.open(ctx, moqlite.StreamSubscribe, m)
	if err != nil {
		return fmt.Errorf("subscribe at the publisher: %w", err)
	}
	defer st.resetOn(ctx)()
	if ss.version.HasTimestamps() {
		// Asked for at the same time, so that the first viewer waits one round
		// trip and not two.
		err = pl.askInfo(ctx)
	} else {
		err = pl.awaitOK(st)
	}
	if err == nil {
		err = pl.readResponses(st)
	}
	if err != nil {
		st.reset(wire.CodeCancel)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	st.finish()
	return nil
}

// askInfo is for 05.
func (pl *pull) askInfo(ctx context.Context) error {
	ss := pl.session
	st, err := ss.open(ctx, moqlite.StreamTrack, moqlite.Track{Broadcast: pl.publisher.path, Name: pl.track.Name().Track})
	if err != nil {
		return fmt.Errorf("track information: %w", err)
	}
	defer st.finish()
	defer st.resetOn(ctx)()
	body, err := st.message(ss.cfg.AnswerTimeout)
	if err != nil {
		return fmt.Errorf("track information: %w", err)
	}
	info, err := moqlite.ParseTrackInfo(body, ss.version)
	if err != nil {
		return err
	}
	return pl.setInfo(wire.TrackInfo{Ordered: info.Ordered, MaxLatency: info.MaxLatency, Timescale: info.Timescale})
}

// synthesised is what a 04 track is said to be like on 05: the clients' defaults,
// with the microseconds that its payloads or our clock tell.
var synthesised = wire.TrackInfo{MaxLatency: 5 * time.Second, Timescale: wire.MicrosecondTimescale}

// awaitOK is for 03 and 04.
func (pl *pull) awaitOK(st *stream) error {
	st.expect(pl.session.cfg.AnswerTimeout)
	m, err := st.in.Response(pl.session.version)
	if err != nil {
		return fmt.Errorf("subscribe at the publisher: %w", err)
	}
	if _, ok := m.(moqlite.SubscribeOK); !ok {
		return &moqlite.ProtocolError{Code: wire.CodeUnexpected, Reason: "a response before SUBSCRIBE_OK"}
	}
	return pl.setInfo(synthesised)
}

func (pl *pull) setInfo(info wire.TrackInfo) error {
	pl.facts = pl.publisher.tracks.of(pl.track.Name().Track)
	info.Kind = pl.facts.kind
	info.Priority = pl.facts.priority()
	if pl.track.Name().Track == hang.CatalogTrack {
		pl.document = &hang.Document{}
	}
	if err := pl.track.SetInfo(info); err != nil {
		return err
	}
	close(pl.ready)
	return nil
}

// readResponses returns nil when the client ends the stream in order.
func (pl *pull) readResponses(st *stream) error {
	st.expect(0)
	for {
		m, err := st.in.Response(pl.session.version)
		if endOfStream(err) {
			return nil
		}
		if err != nil {
			if _, ok := errors.AsType[*moqlite.ProtocolError](err); ok {
				pl.session.metrics.refuse(refuseMalformed)
			}
			return err
		}
		switch m := m.(type) {
		case moqlite.SubscribeStart:
			pl.arrivals.expect(m.Group)
		case moqlite.SubscribeEnd:
			pl.arrivals.end(m.Group)
		case moqlite.SubscribeDrop:
			pl.arrivals.skip(m.Last - m.First + 1)
		case moqlite.SubscribeOK:
			return &moqlite.ProtocolError{Code: wire.CodeUnexpected, Reason: "a second SUBSCRIBE_OK"}
		}
	}
}

// awaitStragglers gives groups on streams of their own the time to come in that
// the end of the track may have overtaken. Before 05 nobody says how many.
func (pl *pull) awaitStragglers(ctx context.Context) {
	timer := time.NewTimer(stragglers)
	defer timer.Stop()
	for !pl.arrivals.complete() {
		select {
		case <-pl.arrivals.news:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
