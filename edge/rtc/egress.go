package rtc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"trellis/edge/rtc/transport"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/wire/hang"
)

// egress owns the lanes: one for each picture and each sound that viewers of this
// node receive, however many they are.
type egress struct {
	table   *relay.Table
	port    *transport.Port // nil where viewers bring their own transports, in tests
	metrics *metrics
	events  *telemetry.Events
	log     *slog.Logger
	wall    func(time.Time) time.Time // Config.wall; nil: the process's clock is right

	wg sync.WaitGroup

	mu    sync.Mutex
	lanes map[laneKey]*laneHold
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

// hold returns the lane with that key, a new one with these layers if there is
// none. The caller lets go of it with release.
func (e *egress) hold(key laneKey, all []rendition) (*laneHold, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.lanes[key]; h != nil {
		h.holders++
		return h, nil
	}
	l, err := e.open(key, all)
	if err != nil {
		return nil, err
	}
	h := &laneHold{lane: l, key: key, holders: 1}
	e.lanes[key] = h
	e.metrics.lanes.Inc()
	e.wg.Go(func() { e.run(h) })
	return h, nil
}

// run runs a lane to its end.
func (e *egress) run(h *laneHold) {
	l := h.lane
	ctx, cancel := context.WithCancel(context.Background())
	var ladder sync.WaitGroup
	ladder.Go(func() { e.watch(ctx, l) })
	err := l.run()
	cancel()
	e.forget(h)
	switch {
	case err == nil, errors.Is(err, io.EOF):
		l.log.Info("lane ended")
	default:
		l.log.Info("lane ended", slog.Any("cause", err))
	}
	l.err = err
	l.die()
	ladder.Wait()
	e.metrics.lanes.Dec()
}

// watch tells a lane what its broadcast's catalog says of its layers, until ctx ends.
func (e *egress) watch(ctx context.Context, l *lane) {
	sub, err := e.table.Subscribe(l.trackName(hang.CatalogTrack), relay.SubscribeOptions{Kind: relay.ReaderWebRTC, Viewers: 1})
	if err != nil {
		l.log.Debug("catalog", slog.Any("err", err))
		return // the lane goes on with the layers that it was opened with
	}
	defer sub.Close()
	var doc hang.Document
	for {
		c, _, err := nextCatalog(ctx, sub, &doc)
		switch {
		case errors.Is(err, hang.ErrCatalog):
			continue // of what it said before, nothing is known to be wrong
		case err != nil:
			return // it ends with the broadcast, and so does the lane
		}
		if all := renditionsOf(c, l.key); len(all) > 0 {
			l.show(all)
		}
	}
}

// open makes a lane with its best layer open, so that it is known whether the
// broadcast is still there.
func (e *egress) open(key laneKey, all []rendition) (*lane, error) {
	l := &lane{
		key: key, metrics: e.metrics, events: e.events, wall: e.wall,
		log:      e.log.With(slog.String("broadcast", string(key.broadcast)), slog.String("codec", key.codec.String())),
		commands: make(chan laneCommand, laneCommands),
		quit:     make(chan struct{}),
	}
	l.life, l.die = context.WithCancel(context.Background())
	l.subscribe = func(track string) (*relay.Subscription, error) {
		return e.table.Subscribe(l.trackName(track), relay.SubscribeOptions{Kind: relay.ReaderWebRTC, Viewers: 1})
	}
	if e.port != nil {
		l.batch = e.port.NewBatch()
	}
	if err := l.climb(all); err != nil {
		return nil, errNoLayer(key)
	}
	if err := l.layers[len(l.layers)-1].open(); err != nil {
		return nil, fmt.Errorf("lane: %w", err)
	}
	l.log.Info("lane opened", slog.Int("layers", len(l.layers)))
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
