package moq

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/internal/relay"
	"trellis/wire/moqlite"
)

// outGroup is one group on its way to a viewer: first in the outbox's queue, then
// on a stream of its own.
type outGroup struct {
	// Fixed at construction.
	outbox *outbox
	view   *view
	reader *relay.GroupReader
	seq    uint64
	ctx    context.Context // ends when the group is given up; its cause says why
	cancel context.CancelCauseFunc

	// Guarded by outbox.mu.
	begun   mark
	passed  time.Time        // when a newer group of the view came, zero before
	expiry  *time.Timer      // looks again when it has held that up for too long
	stream  *quic.SendStream // nil while it waits
	urgency urgency

	// Owned by the goroutine that sends.
	headers []byte // of the stream, where they could not be written at once
	at      int64  // presentation time of the frame before
	unsized []relay.Chunk
	joined  *[]byte // to be written together, nil for nothing
}

// giveUp ends a group that is off the outbox's lists. Its sender, if there is
// one, does the rest.
func (g *outGroup) giveUp(cause error) {
	g.cancel(cause)
	g.outbox.mu.Lock()
	waiting := g.stream == nil
	g.outbox.mu.Unlock()
	if waiting {
		g.finish()
	}
}

// finish lets go of everything, once.
func (g *outGroup) finish() {
	g.cancel(nil)
	g.reader.Close()
	g.view.pending.Done()
}

// begin writes the headers, without waiting, so that streams begin in the order
// in which they are opened.
func (g *outGroup) begin(stream *quic.SendStream) {
	o := g.outbox
	o.mu.Lock()
	g.urgency = g.urgencyLocked()
	first := reprioritised{stream, g.urgency}
	o.mu.Unlock()
	apply([]reprioritised{first})
	b := append(make([]byte, 0, 40), o.header...)
	b = moqlite.AppendUniStream(b, moqlite.UniStreamGroup, moqlite.Group{SubscribeID: g.view.id, Sequence: g.seq}, o.version)
	if err := stream.TryWriteAll(b); err != nil {
		g.headers = b // no credit just now, or the stream is gone: send finds out
		return
	}
	// If the stream is reset later, the viewer still learns which group it was.
	stream.SetReliableBoundary()
}

// send writes the group until it is complete or given up.
func (g *outGroup) send(stream *quic.SendStream) {
	o := g.outbox
	stop := context.AfterFunc(g.ctx, func() { stream.CancelWrite(rawStreamCode(codeOf(context.Cause(g.ctx)))) })
	err := g.copy(stream)
	if stop() {
		if err == nil {
			// A viewer that no longer wants the group has said so by a reset.
			_ = stream.Close()
		} else {
			stream.CancelWrite(rawStreamCode(codeOf(err)))
		}
	}
	g.count(err)
	o.done(g)
	g.finish()
}

// count says what became of the group, unless whoever gave it up has counted it.
func (g *outGroup) count(err error) {
	m := g.outbox.metrics
	var stopped *quic.StreamError
	var reset *relay.ResetError
	switch {
	case err == nil:
		m.groupsOut.Inc()
	case errors.Is(err, os.ErrDeadlineExceeded):
		m.drop(dropStalled)
		g.view.sub.Track().Drop(relay.DropTooLate)
	case g.ctx.Err() != nil:
	case errors.As(err, &stopped) && stopped.Remote:
		m.drop(dropRefused)
	case errors.As(err, &reset):
		m.drop(dropUpstream)
	}
}

// copy returns nil when the group is complete. What is there is written at once: each
// Write wakes the connection, which sends as many packets in one call as it finds.
func (g *outGroup) copy(stream *quic.SendStream) error {
	defer g.release()
	if len(g.headers) > 0 {
		// Not marked as reliable: quic-go would promise these bytes on a reset
		// without the credit for them, and the client end the connection.
		if err := g.writeRaw(stream, g.headers); err != nil {
			return err
		}
	}
	for {
		chunk, ok, err := g.reader.TryNext()
		if ok {
			if err := g.write(stream, chunk); err != nil {
				return err
			}
			continue
		}
		if err := g.flush(stream); err != nil {
			return err
		}
		switch {
		case endOfStream(err):
			return nil
		case err != nil:
			return err
		}
		more := g.reader.Ready
		if len(g.unsized) > 0 {
			more = g.reader.ReadyWhole
		}
		select {
		case <-more():
		case <-g.ctx.Done():
			return context.Cause(g.ctx)
		case <-stream.Context().Done():
			return context.Cause(stream.Context())
		}
	}
}

// writeStream is what writing needs of a stream.
type writeStream interface {
	Write(b []byte) (int, error)
	SetWriteDeadline(t time.Time) error
}

// write joins a chunk to what is to be sent. The size goes before the payload, so an
// object whose size is not known yet is collected first.
func (g *outGroup) write(stream writeStream, c relay.Chunk) error {
	if c.First && c.Object == 0 {
		g.outbox.timed(g, c.Time)
	}
	if c.Size < 0 {
		return g.collect(stream, c)
	}
	if c.First {
		if err := g.joinHeader(stream, c.ObjectHeader, c.Size); err != nil {
			return err
		}
	}
	if err := g.join(stream, c.Payload); err != nil {
		return err
	}
	if c.Last {
		g.view.sub.Track().ObserveAge(c.ObjectHeader, g.outbox.cfg.Clock())
	}
	return nil
}

func (g *outGroup) collect(stream writeStream, c relay.Chunk) error {
	g.unsized = append(g.unsized, c)
	if !c.Last {
		return nil
	}
	size := 0
	for _, c := range g.unsized {
		size += len(c.Payload)
	}
	if err := g.joinHeader(stream, g.unsized[0].ObjectHeader, size); err != nil {
		return err
	}
	for _, c := range g.unsized {
		if err := g.join(stream, c.Payload); err != nil {
			return err
		}
	}
	clear(g.unsized)
	g.unsized = g.unsized[:0]
	g.view.sub.Track().ObserveAge(c.ObjectHeader, g.outbox.cfg.Clock())
	return nil
}

// maxJoined is the most that is copied to be written together: what one call into the
// kernel takes. keepJoined is the largest memory that is kept for others: more would
// in time grow to the size of key frames for each viewer.
const (
	maxJoined  = 64 << 10
	keepJoined = 16 << 10
)

var joinPool = sync.Pool{New: func() any { return new([]byte) }}

// joinHeader adds the header of a frame.
func (g *outGroup) joinHeader(stream writeStream, h relay.ObjectHeader, size int) error {
	at := min(max(h.Time, -moqlite.MaxTime), moqlite.MaxTime) // ours never are beyond
	header := moqlite.FrameHeader{Delta: at - g.at, Size: uint64(size)}
	g.at = at
	if err := g.makeRoom(stream, maxFrameHeader); err != nil {
		return err
	}
	*g.joined = header.Append(*g.joined, g.outbox.version)
	return nil
}

// maxFrameHeader is two varints.
const maxFrameHeader = 16

// join adds bytes to what flush writes, and writes what is more than fits.
func (g *outGroup) join(stream writeStream, b []byte) error {
	for len(b) > maxJoined {
		if err := g.flush(stream); err != nil {
			return err
		}
		if err := g.writeBytes(stream, b[:maxJoined]); err != nil {
			return err
		}
		b = b[maxJoined:]
	}
	if err := g.makeRoom(stream, len(b)); err != nil {
		return err
	}
	*g.joined = append(*g.joined, b...)
	return nil
}

// makeRoom sees to it that n bytes more fit, of at most maxJoined.
func (g *outGroup) makeRoom(stream writeStream, n int) error {
	if g.joined != nil && len(*g.joined)+n > maxJoined {
		if err := g.flush(stream); err != nil {
			return err
		}
	}
	if g.joined == nil {
		g.joined = joinPool.Get().(*[]byte) //nolint:forcetypeassert // there is nothing else in the pool
	}
	return nil
}

// flush writes what was joined.
func (g *outGroup) flush(stream writeStream) error {
	if g.joined == nil {
		return nil
	}
	err := g.writeBytes(stream, *g.joined)
	g.release()
	return err
}

// release gives the memory of what was joined to others.
func (g *outGroup) release() {
	if g.joined == nil {
		return
	}
	if cap(*g.joined) <= keepJoined {
		*g.joined = (*g.joined)[:0]
		joinPool.Put(g.joined)
	}
	g.joined = nil
}

func (g *outGroup) writeBytes(stream writeStream, b []byte) error {
	if err := g.writeRaw(stream, b); err != nil {
		return err
	}
	g.outbox.metrics.bytesOut.Add(float64(len(b)))
	return nil
}

func (g *outGroup) writeRaw(stream writeStream, b []byte) error {
	// A stream that is closed already says so on writing.
	_ = stream.SetWriteDeadline(time.Now().Add(g.outbox.cfg.StallTimeout))
	_, err := stream.Write(b)
	return err
}
