package moqclient

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/quic-go/webtransport-go"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// receivers are the subscriptions of a session by id.
type receivers struct {
	mu      sync.Mutex // guards what follows
	next    uint64
	byID    map[uint64]*Subscription
	reading map[*Subscription]int // groups that are arriving
}

func (r *receivers) init() {
	r.byID = map[uint64]*Subscription{}
	r.reading = map[*Subscription]int{}
}

func (r *receivers) add(sub *Subscription) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.next
	r.next++
	r.byID[id] = sub
	return id
}

func (r *receivers) remove(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byID, id)
}

// begin finds the subscription of a group that begins to arrive, nil if there is
// none any more.
func (r *receivers) begin(id uint64) *Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	sub := r.byID[id]
	if sub != nil {
		r.reading[sub]++
	}
	return sub
}

func (r *receivers) done(sub *Subscription) {
	r.mu.Lock()
	if r.reading[sub]--; r.reading[sub] == 0 {
		delete(r.reading, sub)
	}
	r.mu.Unlock()
	sub.ring() // it may be waiting for the last of them
}

func (r *receivers) arriving(sub *Subscription) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reading[sub] > 0
}

// Group is a group that arrives. Next is for one goroutine at a time.
type Group struct {
	sequence uint64
	objects  chan Object
	ctx      context.Context // ends when nobody wants the rest
	cancel   context.CancelFunc
	err      error // why there are no more; set before objects is closed
}

// queuedObjects is how far the network may run ahead of whoever reads a group.
const queuedObjects = 32

// Sequence returns the group's sequence number.
func (g *Group) Sequence() uint64 { return g.sequence }

// Next waits for the group's next object. io.EOF: it is complete. Otherwise it
// was given up, and CodeOf tells why.
func (g *Group) Next(ctx context.Context) (Object, error) {
	select {
	case object, ok := <-g.objects:
		if !ok {
			return Object{}, g.err
		}
		return object, nil
	case <-ctx.Done():
		return Object{}, context.Cause(ctx)
	}
}

// Close tells the node that the rest of the group is not wanted.
func (g *Group) Close() { g.cancel() }

func (s *Session) acceptUniStreams() {
	for {
		stream, err := s.wt.AcceptUniStream(s.ctx)
		if err != nil {
			s.cancel(err)
			return
		}
		s.start(func() { s.handleUniStream(stream) })
	}
}

func (s *Session) handleUniStream(stream *webtransport.ReceiveStream) {
	in := moqlite.NewReader(stream)
	typ, err := in.Varint()
	if err != nil {
		return // reset before it said what it is
	}
	switch moqlite.UniStreamType(typ) {
	case moqlite.UniStreamGroup:
		err = s.receiveGroup(stream, in)
	case moqlite.UniStreamSetup:
		err = s.receiveSetup(in)
	default:
		err = &moqlite.ProtocolError{Code: wire.CodeUnexpectedStream, Reason: "unknown stream"}
	}
	if err != nil {
		s.log.Debug("stream refused", slog.Any("err", err))
		code, ok := CodeOf(err)
		if !ok {
			code = wire.CodeCancel
		}
		stream.CancelRead(streamCode(code))
	}
}

func (s *Session) receiveGroup(stream *webtransport.ReceiveStream, in *moqlite.Reader) error {
	body, err := in.Message()
	if err != nil {
		return err
	}
	header, err := moqlite.ParseGroup(body, s.version)
	if err != nil {
		return err
	}
	sub := s.receivers.begin(header.SubscribeID)
	if sub == nil {
		stream.CancelRead(streamCode(wire.CodeCancel))
		return nil
	}
	defer s.receivers.done(sub)
	g := newGroup(sub, header.Sequence)
	stop := context.AfterFunc(g.ctx, func() { cancelRead(stream, wire.CodeCancel) })
	defer stop()
	sub.push(g)
	err = s.receiveFrames(g, in)
	g.err = err
	close(g.objects)
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || g.ctx.Err() != nil {
		return nil
	}
	return err
}

func newGroup(sub *Subscription, sequence uint64) *Group {
	g := &Group{sequence: sequence, objects: make(chan Object, queuedObjects)}
	g.ctx, g.cancel = context.WithCancel(sub.ctx)
	return g
}

func (s *Session) receiveFrames(g *Group, in *moqlite.Reader) error {
	var at int64
	for index := uint64(0); ; index++ {
		h, err := in.FrameHeader(s.version, s.cfg.MaxFrameBytes)
		if err != nil {
			return err
		}
		begun := time.Now()
		if at, err = moqlite.NextTime(at, h.Delta); err != nil {
			return err
		}
		payload, err := readFrame(in, h.Size)
		if err != nil {
			return err
		}
		object := Object{Group: g.sequence, Index: index, Time: at, Payload: payload, Begun: begun, Arrived: time.Now()}
		if !s.version.HasTimestamps() {
			object.Time = object.Arrived.UnixMicro()
		}
		select {
		case g.objects <- object:
		case <-g.ctx.Done():
			return context.Cause(g.ctx)
		}
	}
}

func (s *Session) receiveSetup(in *moqlite.Reader) error {
	body, err := in.Message()
	if err != nil {
		return err
	}
	setup, err := moqlite.ParseSetup(body, s.version)
	if err != nil {
		return err
	}
	s.mu.Lock()
	second := s.setupSeen
	s.peerSetup, s.setupSeen = setup, true
	s.mu.Unlock()
	if second {
		err := &moqlite.ProtocolError{Code: wire.CodeProtocol, Reason: "a second SETUP"}
		s.fail(err)
		return err
	}
	close(s.setup)
	return nil
}

func (s *Session) receiveDatagrams() {
	for {
		b, err := s.wt.ReceiveDatagram(s.ctx)
		if err != nil {
			return // the session is over, and its context says why
		}
		d, err := moqlite.ParseDatagram(b, s.version)
		if err != nil {
			s.log.Debug("datagram dropped", slog.Any("err", err))
			continue
		}
		sub := s.receivers.begin(d.SubscribeID)
		if sub == nil {
			continue
		}
		g := newGroup(sub, d.Sequence)
		now := time.Now()
		g.objects <- Object{Group: d.Sequence, Time: int64(d.Time), Payload: d.Payload, Begun: now, Arrived: now}
		g.err = io.EOF
		close(g.objects)
		sub.push(g)
		s.receivers.done(sub)
	}
}
