package moq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/quic-go/webtransport-go"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

// receiveGroup takes a group stream of the client.
func (ss *session) receiveGroup(wt *webtransport.ReceiveStream, in *moqlite.Reader) error {
	body, err := in.Message()
	if err != nil {
		return headerError(err)
	}
	m, err := moqlite.ParseGroup(body, ss.version)
	if err != nil {
		return err
	}
	pl, issued := ss.pulls.find(m.SubscribeID)
	if pl == nil {
		if issued {
			// It crossed our unsubscribing.
			wt.CancelRead(streamCode(wire.CodeCancel))
			return nil
		}
		return refuse(wire.CodeNotFound, refuseUnknown, "a group of no subscription")
	}
	pl.arrivals.begin()
	defer pl.arrivals.done()
	// Nobody wants the track any more, or the session is over.
	defer context.AfterFunc(pl.track.Context(), func() { cancelRead(wt, wire.CodeCancel) })()
	if err := pl.awaitReady(); err != nil {
		return err
	}
	pl.arrivals.awaitTurn(pl.track.Context(), m.Sequence)
	group, err := pl.track.Group(m.Sequence)
	pl.arrivals.passed(m.Sequence)
	if err != nil {
		wt.CancelRead(streamCode(codeOf(err)))
		return nil // too old, or the track is over: nothing that the client did wrong
	}
	reader := groupReader{pull: pl, stream: wt, in: in, group: group, timed: true} // the header's deadline
	err = reader.run()
	if endOfStream(err) {
		group.Close()
		return nil
	}
	group.Abort(abortReason(err))
	if pl.track.Context().Err() != nil || errors.Is(err, relay.ErrOld) {
		wt.CancelRead(streamCode(codeOf(err)))
		return nil
	}
	return err
}

func abortReason(err error) relay.DropReason {
	var stream *webtransport.StreamError
	var protocol *moqlite.ProtocolError
	switch {
	case errors.As(err, &stream):
		return relay.DropUpstreamReset
	case errors.Is(err, relay.ErrTooLarge):
		return relay.DropObjectTooLarge
	case errors.As(err, &protocol) && protocol.Code == wire.CodeTooLarge:
		return relay.DropObjectTooLarge
	case errors.As(err, &protocol), errors.Is(err, io.ErrUnexpectedEOF):
		return relay.DropMalformed
	default:
		return relay.DropUpstreamLost
	}
}

// awaitReady waits until it is known what the track is like: on 05 the groups
// may come before TRACK_INFO.
func (pl *pull) awaitReady() error {
	select {
	case <-pl.ready:
		return nil
	default:
	}
	timer := time.NewTimer(pl.session.cfg.AnswerTimeout)
	defer timer.Stop()
	select {
	case <-pl.ready:
		return nil
	case <-pl.track.Context().Done():
		return context.Cause(pl.track.Context())
	case <-timer.C:
		return refuse(wire.CodeTimeout, refuseHeader, "a group without track information")
	}
}

// groupReader writes one group stream into the relay, chunk by chunk.
type groupReader struct {
	pull   *pull
	stream readDeadliner
	in     *moqlite.Reader
	group  *relay.Group
	at     int64 // presentation time of the frame before
	timed  bool  // a deadline is set
}

type readDeadliner interface{ SetReadDeadline(t time.Time) error }

// run returns io.EOF when the group is complete.
func (r *groupReader) run() error {
	ss := r.pull.session
	for index := uint64(0); ; index++ {
		// The next frame may take its time: a catalog's may be minutes away.
		r.expect(0)
		h, err := r.in.FrameHeader(ss.version, ss.cfg.MaxFrameBytes)
		if err != nil {
			if refusedSize(err) {
				ss.metrics.refuse(refuseFrameSize)
			}
			return err
		}
		if r.at, err = moqlite.NextTime(r.at, h.Delta); err != nil {
			return err
		}
		ingress := ss.cfg.Clock()
		if r.in.Buffered() < int(h.Size) {
			r.expect(ss.cfg.StallTimeout)
		}
		err = r.frame(index, int(h.Size), relay.ObjectHeader{Time: r.at, Ingress: ingress.UnixMicro()})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return refuse(wire.CodeTimeout, refuseStall, "a frame stayed half sent")
		}
		if err != nil {
			return err
		}
		ss.metrics.bytesIn.Add(float64(h.Size))
	}
}

func refusedSize(err error) bool {
	var protocol *moqlite.ProtocolError
	return errors.As(err, &protocol) && protocol.Code == wire.CodeTooLarge
}

// expect sets how long the next reads may take; zero: for ever.
func (r *groupReader) expect(limit time.Duration) {
	if limit == 0 && !r.timed {
		return
	}
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	r.timed = limit > 0
	// A stream that is closed already says so on reading.
	_ = r.stream.SetReadDeadline(deadline)
}

// Pieces of a frame that is arriving: what a packet holds at first, and more as
// the bytes that came in justify it.
const (
	firstPiece = 2 << 10
	lastPiece  = 32 << 10
)

// frame reads a payload of size bytes. Each piece goes to the relay, and so to
// the viewers, before the next one is there.
func (r *groupReader) frame(index uint64, size int, h relay.ObjectHeader) error {
	track := r.pull.track
	if size <= firstPiece {
		payload := track.Alloc(size)
		if _, err := io.ReadFull(r.in, payload); err != nil {
			return inside(err)
		}
		r.stamp(&h, payload)
		r.learn(index, payload)
		return r.group.Write(index, h, payload)
	}
	var whole []byte // a catalog's, which is small but may be larger than a piece
	var room []byte
	for got := 0; got < size; {
		if len(room) == 0 {
			room = track.Alloc(min(size-got, min(max(got, firstPiece), lastPiece)))
			r.expect(r.pull.session.cfg.StallTimeout) // it goes on
		}
		// The first bytes may hold the time that the header must have.
		n, err := io.ReadAtLeast(r.in, room, min(len(room), legacyHeader))
		if err != nil {
			return inside(err)
		}
		piece := room[:n:n]
		room = room[n:]
		if got == 0 {
			r.stamp(&h, piece)
			if err := r.group.Begin(index, h, size); err != nil {
				return err
			}
		}
		if r.pull.document != nil && size <= hang.MaxCatalogBytes {
			whole = append(whole, piece...)
		}
		if err := r.group.Append(piece); err != nil {
			return err
		}
		got += n
	}
	r.learn(index, whole)
	return nil
}

// legacyHeader is the longest that the legacy container puts before a payload.
const legacyHeader = 8

func inside(err error) error {
	if endOfStream(err) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// stamp sets the presentation time of a frame that came without one: from the
// container where it tells, else the time of arrival.
func (r *groupReader) stamp(h *relay.ObjectHeader, first []byte) {
	if r.pull.session.version.HasTimestamps() {
		return
	}
	h.Time = h.Ingress
	if !r.pull.facts.legacy {
		return
	}
	if frame, err := hang.ParseLegacy(first); err == nil && frame.PTSMicros <= moqlite.MaxTime {
		h.Time = int64(frame.PTSMicros)
	}
}

// learn looks into the catalog for what the other tracks are.
func (r *groupReader) learn(index uint64, payload []byte) {
	pl := r.pull
	if pl.document == nil || len(payload) == 0 {
		return
	}
	pl.mu.Lock()
	catalog, err := pl.document.Apply(r.group.Seq(), index, payload)
	pl.mu.Unlock()
	if err != nil {
		pl.session.log.Debug("catalog not understood", slog.String("track", pl.track.Name().String()), slog.Any("err", err))
		return
	}
	pl.publisher.tracks.learn(catalog)
}

// receiveDatagrams takes groups of one frame that came without a stream.
func (ss *session) receiveDatagrams() {
	for {
		b, err := ss.wt.ReceiveDatagram(ss.ctx)
		if err != nil {
			return // the session is over, and its cause says why
		}
		if err := ss.receiveDatagram(b); err != nil {
			ss.note(err)
			ss.log.Debug("datagram dropped", slog.Any("err", err))
		}
	}
}

func (ss *session) receiveDatagram(b []byte) error {
	m, err := moqlite.ParseDatagram(b, ss.version)
	if err != nil {
		return err
	}
	if m.Time > moqlite.MaxTime {
		return &moqlite.ProtocolError{Code: wire.CodeBounds, Reason: fmt.Sprintf("datagram time %d", m.Time)}
	}
	pl, _ := ss.pulls.find(m.SubscribeID)
	if pl == nil {
		return nil // it crossed our unsubscribing, or is made up
	}
	select {
	case <-pl.ready:
	default:
		return nil // it beat the track information
	}
	pl.arrivals.begin()
	defer pl.arrivals.done()
	group, err := pl.track.Group(m.Sequence)
	pl.arrivals.passed(m.Sequence)
	if err != nil {
		return nil // a duplicate, or too old: what datagrams may be
	}
	h := relay.ObjectHeader{Time: int64(m.Time), Ingress: ss.cfg.Clock().UnixMicro()}
	if err := group.Write(0, h, m.Payload); err != nil {
		group.Abort(relay.DropMalformed)
		return nil // its stream was faster
	}
	ss.metrics.bytesIn.Add(float64(len(m.Payload)))
	group.Close()
	return nil
}
