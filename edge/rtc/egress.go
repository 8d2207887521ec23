package rtc

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"trellis/edge/framing"
	"trellis/edge/rtc/transport"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/wire"
	"trellis/wire/hang"
)

// egress owns the lanes: one for each track that viewers of this node receive,
// however many they are.
type egress struct {
	table   *relay.Table
	port    *transport.Port // nil where viewers bring their own transports, in tests
	metrics *metrics
	events  *telemetry.Events
	log     *slog.Logger

	wg sync.WaitGroup

	mu    sync.Mutex
	lanes map[laneKey]*laneHold
}

// laneKey tells lanes apart. The codec is part of it because it comes from a
// catalog, and another publisher may give the same name to another codec.
type laneKey struct {
	name      wire.TrackName
	codec     framing.Codec
	container hang.Container
}

// laneHold is a lane with the number of those who hold it.
type laneHold struct {
	*lane
	key     laneKey
	holders int
}

func newEgress(table *relay.Table, port *transport.Port, m *metrics, log *slog.Logger) *egress {
	return &egress{table: table, port: port, metrics: m, log: log, lanes: map[laneKey]*laneHold{}}
}

// hold returns the lane of a track, a new one if there is none. The caller lets
// go of it with release.
func (e *egress) hold(key laneKey) (*laneHold, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.lanes[key]; h != nil {
		h.holders++
		return h, nil
	}
	l, err := e.open(key)
	if err != nil {
		return nil, err
	}
	h := &laneHold{lane: l, key: key, holders: 1}
	e.lanes[key] = h
	e.metrics.lanes.Inc()
	e.wg.Go(func() {
		err := l.run()
		e.forget(h)
		switch {
		case err == nil, errors.Is(err, io.EOF):
			l.log.Info("lane ended")
		default:
			l.log.Info("lane ended", slog.Any("cause", err))
		}
		l.err = err
		close(l.done)
		e.metrics.lanes.Dec()
	})
	return h, nil
}

func (e *egress) open(key laneKey) (*lane, error) {
	packetizer, err := framing.NewPacketizer(key.codec, framing.PacketizerConfig{})
	if err != nil {
		return nil, err
	}
	sub, err := e.table.Subscribe(key.name, relay.SubscribeOptions{Kind: relay.ReaderWebRTC, Viewers: 1})
	if err != nil {
		return nil, fmt.Errorf("lane: %w", err)
	}
	l := &lane{
		codec: key.codec, container: key.container, metrics: e.metrics,
		log:      e.log.With(slog.String("track", key.name.String())),
		events:   e.events,
		track:    sub.Track(),
		sub:      sub,
		commands: make(chan laneCommand, laneCommands),
		quit:     make(chan struct{}), done: make(chan struct{}),
		packets: *newLaneLog(), packetizer: packetizer,
	}
	if e.port != nil {
		l.batch = e.port.NewBatch()
	}
	l.reader = laneReader{sub: sub, skip: l.skip}
	l.log.Info("lane opened", slog.String("codec", key.codec.String()))
	return l, nil
}

// release lets go of a lane, and ends it with its last holder.
func (e *egress) release(h *laneHold) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h.holders--; h.holders == 0 {
		e.forgetLocked(h)
		close(h.quit)
	}
}

// forget makes sure that nobody else gets a lane that has ended.
func (e *egress) forget(h *laneHold) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forgetLocked(h)
}

func (e *egress) forgetLocked(h *laneHold) {
	if e.lanes[h.key] == h {
		delete(e.lanes, h.key)
	}
}

// wait returns when all lanes have ended. Their holders have let go before.
func (e *egress) wait() { e.wg.Wait() }

// join adds a viewer to the lane, unless that has ended.
func (l *lane) join(v *viewer) {
	select {
	case l.commands <- laneCommand{kind: commandJoin, viewer: v}:
	case <-l.done:
	}
}

// leave takes a viewer off the lane. The lane may still write to it for a moment.
func (l *lane) leave(v *viewer) {
	select {
	case l.commands <- laneCommand{kind: commandLeave, viewer: v}:
	case <-l.done:
	}
}

// feedback passes on what a viewer wants, if the lane has room for it.
func (l *lane) feedback(c laneCommand) {
	select {
	case l.commands <- c:
	default:
		l.skip(skipFeedback)
	}
}
