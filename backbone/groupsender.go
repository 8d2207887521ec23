package backbone

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/wire"
	"trellis/wire/peer"
)

// Urgencies of streams: quic-go sends the lowest first, and strictly so
// (docs/wire.md, section 6).
const (
	urgencyControl   = 0
	urgencyCatalog   = 1
	urgencyAudio     = 2
	urgencyData      = 3
	urgencyVideo     = 4
	urgencyVideoPast = 5 // older groups
	urgencyLayer     = 6 // enhancement layers
	urgencyLayerPast = 7
	urgencyPadding   = 7
)

// urgency returns when a group is sent, relative to others.
func urgency(info wire.TrackInfo, superseded bool) int8 {
	switch info.Kind {
	case wire.KindCatalog:
		return urgencyCatalog
	case wire.KindAudio:
		return urgencyAudio
	case wire.KindVideo:
		switch past := superseded && !info.Ordered; {
		case past && enhancement(info):
			return urgencyLayerPast
		case enhancement(info):
			return urgencyLayer
		case past:
			return urgencyVideoPast
		default:
			return urgencyVideo
		}
	case wire.KindData:
	}
	return urgencyData
}

// groupSender writes one group to one child, as it comes.
type groupSender struct {
	queue  *groupQueue
	reader *relay.GroupReader
	seq    uint64
	cancel context.CancelCauseFunc

	// Owned by the queue.
	superseded time.Time // since when a newer group waits behind it
	given      bool      // it was given up
	slow       bool      // it has been behind for too long

	lag  atomic.Int64 // since when it has had more to send: since link.up, 0 if it has not
	met  atomic.Bool  // it has caught up with its track at least once
	past atomic.Int64 // superseded, for run: since link.up

	urgency atomic.Int32
	stream  atomic.Pointer[quic.SendStream]
	lane    *lane // set before the stream
	credit  int64 // of the lane's backlog, not used up yet; owned by run

	// Owned by run.
	frames  peer.FrameCoder
	begun   bool   // the header is in the buffer, or sent
	sent    bool   // the header is sent
	next    uint64 // one more than the last object's index
	chunked bool   // the object being sent is of unknown size
	bytes   int64  // written
	whole   bool   // sent to its end; for the queue once run has returned
}

// giveUp ends it, for a reason.
func (s *groupSender) giveUp(why error) {
	s.given = true
	s.cancel(why)
}

// behind returns for how long the group has had more to send than was sent, and
// for how long it may.
func (s *groupSender) behind(now time.Time) (behind, limit time.Duration) {
	limit = behindLimit
	if !s.met.Load() {
		limit = catchLimit
	}
	if since := s.lag.Load(); since > 0 {
		behind = now.Sub(s.queue.child.link.up) - time.Duration(since)
	}
	return behind, limit
}

// waited returns for how long a newer group has waited behind it.
func (s *groupSender) waited(now time.Time) time.Duration {
	if past := s.past.Load(); past > 0 {
		return now.Sub(s.queue.child.link.up) - time.Duration(past)
	}
	return 0
}

// supersede says that a newer group waits behind it.
func (s *groupSender) supersede(now time.Time) {
	s.superseded = now
	s.past.Store(int64(now.Sub(s.queue.child.link.up)))
}

// caughtUp says whether all that is there has been sent.
func (s *groupSender) caughtUp(is bool) {
	if is {
		s.lag.Store(0)
		s.met.Store(true)
		return
	}
	if s.lag.Load() == 0 {
		s.lag.Store(max(int64(time.Since(s.queue.child.link.up)), 1))
	}
}

// demote lets newer groups go first.
func (s *groupSender) demote() {
	u := urgency(s.queue.info, true)
	s.urgency.Store(int32(u))
	if stream := s.stream.Load(); stream != nil {
		stream.SetPriority(u, true)
	}
}

// sendBytes is how much is gathered for one write. Larger objects are written
// from where they are.
const sendBytes = 32 << 10

// A pool is a cache of the process, not state.
var sendBuffers = sync.Pool{New: func() any { b := make([]byte, 0, sendBytes+peer.MaxFrameBytes); return &b }}

// run sends the group to its end, or gives it up and counts why.
func (s *groupSender) run(ctx context.Context) {
	defer s.reader.Close()
	l := s.queue.child.link
	s.caughtUp(false)
	stream, err := s.openStream()
	if err != nil {
		s.lane = l.lane0
		drop := DropLeft
		if _, ok := errors.AsType[quic.StreamLimitReachedError](err); ok {
			drop = DropStreamLimit
		}
		s.count(drop, time.Now())
		return
	}
	s.queue.child.opened.Add(1)
	l.stats.open.Add(1)
	defer s.leaveLane()
	defer l.stats.open.Add(-1)
	l.stats.out.groups[s.queue.info.Kind].Inc()
	l.prober.hurry()
	// A write that waits for the window ends when the group is given up.
	stop := context.AfterFunc(ctx, func() {
		code := wire.CodeCancel
		if _, shed := errors.AsType[shedError](context.Cause(ctx)); shed || errors.Is(context.Cause(ctx), errLate) {
			code = wire.CodeLagged
		}
		stream.CancelWrite(quic.StreamErrorCode(code))
	})
	defer stop()

	err = s.copy(ctx, stream)
	if err == nil {
		s.whole = true
		return
	}
	drop, code := s.dropped(ctx, err)
	stream.CancelWrite(quic.StreamErrorCode(code))
	s.count(drop, time.Now())
}

// count counts a group that is dropped, and remembers it with its numbers. That a
// child has left, or has the group already, is no event.
func (s *groupSender) count(drop Drop, now time.Time) {
	l, sub := s.queue.child.link, s.queue.child.sub
	l.stats.dropped[drop].Inc()
	switch drop {
	case DropLate, DropLayer, DropOld, DropBase:
		sub.Track().Drop(relay.DropTooLate)
	case DropStreamLimit:
		sub.Track().Drop(relay.DropStreamLimit)
	case DropRefused, DropLeft:
		return
	case DropUpstream, DropEvicted, numDrops:
	}
	name := s.queue.child.name
	behind, _ := s.behind(now)
	l.mesh.cfg.Events.Add(telemetry.Event{
		At: now, Kind: telemetry.GroupDropped, Reason: drop.String(), Track: name.String(), Peer: l.peer.Node, Group: s.seq, DelayMs: millis(behind),
	})
	l.drops.add(DropEvent{
		At: now, Broadcast: string(name.Broadcast), Track: name.Track, Group: s.seq, Reason: drop.String(),
		Priority: s.queue.info.Priority, Lane: int(s.lane.index), Objects: s.next, Bytes: s.bytes, BehindMs: millis(behind),
		WaitingMs: millis(s.waited(now)), LinkBps: l.rate(), OpenGroups: l.stats.open.Load(),
	})
}

// openStream opens a stream on the lane for the track, if there is credit.
func (s *groupSender) openStream() (*quic.SendStream, error) {
	l := s.queue.child.link
	ln := l.pick(s.queue.info.Kind)
	stream, err := ln.conn.OpenUniStream()
	if err != nil && ln != l.lane0 && ln.dead() {
		ln = l.lane0 // the other has just ended
		stream, err = ln.conn.OpenUniStream()
	}
	if err != nil {
		return nil, err
	}
	s.lane, s.credit = ln, s.queue.likely.Load()
	ln.open.Add(1)
	ln.backlog.Add(s.credit)
	s.stream.Store(stream)
	stream.SetPriority(int8(s.urgency.Load()), true)
	return stream, nil
}

// write writes through the lane, which learns what is still to come.
func (s *groupSender) write(stream *quic.SendStream, b []byte) error {
	err := s.lane.write(stream, b)
	used := min(int64(len(b)), s.credit)
	s.credit -= used
	s.lane.backlog.Add(-used)
	s.bytes += int64(len(b))
	return err
}

func (s *groupSender) leaveLane() {
	s.lane.open.Add(-1)
	s.lane.backlog.Add(-s.credit)
}

func (s *groupSender) dropped(ctx context.Context, err error) (Drop, wire.Code) {
	var reset *relay.ResetError
	var refused *quic.StreamError
	var shed shedError
	switch {
	case errors.As(err, &reset):
		switch reset.Reason {
		case relay.DropCacheAge, relay.DropCacheBytes, relay.DropCacheGroups:
			return DropEvicted, wire.CodeEvicted
		default:
			return DropUpstream, wire.CodeOld
		}
	case errors.Is(context.Cause(ctx), errLate):
		return DropLate, wire.CodeLagged
	case errors.As(context.Cause(ctx), &shed):
		return shed.order.drop(), wire.CodeLagged
	case errors.As(err, &refused) && refused.Remote:
		return DropRefused, wire.CodeCancel
	default:
		return DropLeft, wire.CodeCancel
	}
}

// copy writes what the reader yields. What is there at one moment goes out in
// one write: an object that is whole, with its frame, or the chunks of one that
// is still arriving.
func (s *groupSender) copy(ctx context.Context, stream *quic.SendStream) error {
	pooled := sendBuffers.Get().(*[]byte)
	defer sendBuffers.Put(pooled)
	b := (*pooled)[:0]
	for {
		c, ok, err := s.reader.TryNext()
		switch {
		case ok:
			s.caughtUp(false)
			if b, err = s.add(stream, b, &c); err != nil {
				return err
			}
			continue
		case errors.Is(err, io.EOF):
			b = s.header(b, s.next)
			b = peer.AppendEnd(b, s.next)
			if err := s.flush(stream, b); err != nil {
				return err
			}
			s.queue.likely.Store(s.bytes)
			return stream.Close()
		case err != nil:
			return err
		}
		if len(b) > 0 {
			if err := s.flush(stream, b); err != nil {
				return err
			}
			b = b[:0]
			continue // more may have come meanwhile
		}
		s.caughtUp(true)
		select {
		case <-s.reader.Ready():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// header begins the stream, once.
func (s *groupSender) header(b []byte, object uint64) []byte {
	if s.begun {
		return b
	}
	s.begun, s.next = true, object
	return peer.GroupHeader{Subscription: s.queue.child.id, Group: s.seq, Object: object}.Append(b)
}

// add appends a chunk to b, writing when b is full.
func (s *groupSender) add(stream *quic.SendStream, b []byte, c *relay.Chunk) ([]byte, error) {
	if len(b) > sendBytes-peer.MaxGroupHeaderBytes-peer.MaxFrameBytes {
		if err := s.flush(stream, b); err != nil {
			return nil, err
		}
		b = b[:0]
	}
	b = s.header(b, c.Object)
	if c.First {
		s.chunked = c.Size < 0
		f := peer.Frame{Time: c.Time, Ingress: c.Ingress, IngressErr: c.IngressErr, Chunked: s.chunked, Size: c.Size}
		if c.Ingress == 0 {
			f.IngressErr = -1
		}
		b = s.frames.AppendObject(b, f)
	}
	if s.chunked && len(c.Payload) > 0 {
		b = peer.AppendChunkSize(b, len(c.Payload))
	}
	n := copy(b[len(b):sendBytes], c.Payload)
	b = b[:len(b)+n]
	if n < len(c.Payload) {
		if err := s.flush(stream, b); err != nil {
			return nil, err
		}
		if err := s.write(stream, c.Payload[n:]); err != nil {
			return nil, err
		}
		b = b[:0]
	}
	stats, kind := &s.queue.child.link.stats.out, s.queue.info.Kind
	stats.bytes[kind].Add(len(c.Payload))
	if c.Last {
		if s.chunked {
			b = peer.AppendChunkSize(b, 0)
		}
		s.next = c.Object + 1
		stats.objects[kind].Inc()
	}
	return b, nil
}

// smallFirst is a first write that may be delivered reliably as a whole: it costs
// one packet.
const smallFirst = 1000

// flush writes b. The header is marked so that a reset does not take it back:
// the child learns which group was given up (docs/wire.md, section 6).
func (s *groupSender) flush(stream *quic.SendStream, b []byte) error {
	if !s.sent {
		s.sent = true
		head := len(b)
		if head > smallFirst {
			head = peer.MaxGroupHeaderBytes
		}
		if err := s.write(stream, b[:head]); err != nil {
			return err
		}
		stream.SetReliableBoundary()
		b = b[head:]
	}
	if len(b) == 0 {
		return nil
	}
	return s.write(stream, b)
}
