package backbone

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/peer"
)

// acceptGroups takes unidirectional streams from a lane until it ends.
func (l *link) acceptGroups(ctx context.Context, ln *lane) error {
	for {
		s, err := ln.conn.AcceptUniStream(ctx)
		if err != nil {
			return err
		}
		ln.receiving.Add(1)
		if !l.tasks.start(func(ctx context.Context) {
			defer ln.receiving.Add(-1)
			l.receive(ctx, s)
		}) {
			s.CancelRead(quic.StreamErrorCode(wire.CodeCancel))
			return errLeft
		}
	}
}

// headerLimit is how long a stream may take to say what it is.
const headerLimit = 10 * time.Second

// receive reads one unidirectional stream.
func (l *link) receive(ctx context.Context, s *quic.ReceiveStream) {
	r := groupReaders.Get().(*groupReader)
	defer groupReaders.Put(r)
	r.reset(s, l.prober)
	_ = s.SetReadDeadline(time.Now().Add(headerLimit)) // fails only if the stream has ended
	t, err := r.streamType()
	switch {
	case err != nil: // reset, or the lane ended, before it said anything
		s.CancelRead(quic.StreamErrorCode(wire.CodeCancel))
	case t == peer.StreamPadding:
		if err := discardPadding(r); err != nil || !r.eof {
			s.CancelRead(quic.StreamErrorCode(wire.CodeCancel))
		}
	case t != peer.StreamGroup:
		s.CancelRead(quic.StreamErrorCode(wire.CodeUnexpectedStream))
	default:
		if code, err := l.receiveGroup(ctx, s, r); err != nil {
			s.CancelRead(quic.StreamErrorCode(code))
		}
	}
}

// receiveGroup writes a group into its track as it comes. The code is what to
// tell the sender if there is an error.
func (l *link) receiveGroup(ctx context.Context, s *quic.ReceiveStream, r *groupReader) (wire.Code, error) {
	h, err := r.groupHeader()
	if err != nil {
		return wire.CodeDecode, err
	}
	_ = s.SetReadDeadline(time.Time{}) // a group lasts as long as it lasts
	f := l.feed(h.Subscription)
	if f == nil || !f.enter(s) {
		return wire.CodeUnexpectedStream, errLeft
	}
	defer f.exit(s)
	// Group streams may overtake SUBSCRIBE_OK, which says what the track is like.
	select {
	case <-f.ready:
	case <-f.over:
		return wire.CodeCancel, errLeft
	case <-ctx.Done():
		return wire.CodeCancel, context.Cause(ctx)
	}
	f.flowing.Store(true)
	g, err := f.track.Group(h.Group)
	if err != nil { // it has all of it, or had given it up
		f.pos.finish(h.Group)
		return wire.CodeCancel, err
	}
	f.pos.begin(g)
	l.stats.in.groups[f.kind].Inc()
	l.prober.hurry()
	err = r.objects(l, f, g, h.Object)
	var reset *quic.StreamError
	switch {
	case err == nil:
		g.Close()
		f.pos.finish(h.Group)
		return wire.CodeProtocol, r.drain()
	case errors.Is(err, relay.ErrOld):
		g.Detach() // another feed was faster, or the track gave the group up
		f.pos.finish(h.Group)
		return wire.CodeCancel, err
	case errors.Is(err, peer.ErrMalformed), errors.Is(err, peer.ErrBounds), errors.Is(err, errFraming):
		l.stats.malformed.Inc()
		g.Abort(relay.DropMalformed)
		f.pos.finish(h.Group)
		return peer.CodeOf(err), err
	case errors.Is(err, relay.ErrGap):
		// The parent starts behind what we have: the hole cannot be filled here.
		l.stats.malformed.Inc()
		g.Abort(relay.DropUpstreamLost)
		f.pos.finish(h.Group)
		return wire.CodeOld, err
	case errors.Is(err, relay.ErrTooLarge):
		g.Abort(relay.DropObjectTooLarge)
		f.pos.finish(h.Group)
		return wire.CodeTooLarge, err
	case (errors.As(err, &reset) && givenUp(reset) || errors.Is(err, io.ErrUnexpectedEOF)) && f.alone():
		g.Abort(relay.DropUpstreamReset)
		f.pos.finish(h.Group)
		return wire.CodeCancel, err
	default:
		// The parent or the link is gone, or we have left: whoever comes next
		// goes on with this group.
		g.Detach()
		return wire.CodeCancel, err
	}
}

// givenUp reports whether the sender will not send the rest of a group. One that
// is cancelled was only not wanted from there: we have left, or paused.
func givenUp(reset *quic.StreamError) bool {
	return reset.Remote && wire.Code(reset.ErrorCode) != wire.CodeCancel
}

// errFraming: what cannot be put right inside a group stream.
var errFraming = errors.New("group stream breaks the protocol")

// groupReader reads the frames of one group stream, and knows where it is.
type groupReader struct {
	s          *quic.ReceiveStream
	life       *prober // is told when something came
	frames     peer.FrameCoder
	start, end int // buf[start:end] is read and not yet used
	eof        bool
	buf        [2 << 10]byte
}

// A pool is a cache of the process, not state.
var groupReaders = sync.Pool{New: func() any { return new(groupReader) }}

func (r *groupReader) reset(s *quic.ReceiveStream, life *prober) {
	r.s, r.life, r.frames, r.start, r.end, r.eof = s, life, peer.FrameCoder{}, 0, 0, false
}

// fill reads more into the buffer, behind what is not used yet.
func (r *groupReader) fill() error {
	if r.eof {
		return io.ErrUnexpectedEOF
	}
	if r.start > 0 {
		copy(r.buf[:], r.buf[r.start:r.end])
		r.start, r.end = 0, r.end-r.start
	}
	n, err := r.s.Read(r.buf[r.end:])
	if n > 0 {
		r.life.stamp()
	}
	r.end += n
	if errors.Is(err, io.EOF) {
		r.eof = true
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	return err
}

// Read gives what is buffered first.
func (r *groupReader) Read(p []byte) (int, error) {
	if r.start < r.end {
		n := copy(p, r.buf[r.start:r.end])
		r.start += n
		return n, nil
	}
	if r.eof {
		return 0, io.EOF
	}
	n, err := r.s.Read(p)
	if n > 0 {
		r.life.stamp()
	}
	if errors.Is(err, io.EOF) {
		r.eof = true
		if n > 0 {
			err = nil
		}
	}
	return n, err
}

func (r *groupReader) streamType() (uint64, error) {
	for {
		t, n, err := peer.ParseStreamType(r.buf[r.start:r.end])
		if !errors.Is(err, peer.ErrShort) {
			r.start += n
			return t, err
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

func (r *groupReader) groupHeader() (peer.GroupHeader, error) {
	for {
		h, n, err := peer.ParseGroupHeader(r.buf[r.start:r.end])
		if !errors.Is(err, peer.ErrShort) {
			r.start += n
			return h, err
		}
		if err := r.fill(); err != nil {
			return peer.GroupHeader{}, err
		}
	}
}

func (r *groupReader) frame() (peer.Frame, error) {
	for {
		f, n, err := r.frames.Parse(r.buf[r.start:r.end])
		if !errors.Is(err, peer.ErrShort) {
			r.start += n
			return f, err
		}
		if err := r.fill(); err != nil {
			return peer.Frame{}, err
		}
	}
}

func (r *groupReader) chunkSize() (int, error) {
	for {
		size, n, err := peer.ParseChunkSize(r.buf[r.start:r.end])
		if !errors.Is(err, peer.ErrShort) {
			r.start += n
			return size, err
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// objects writes the objects from index on, to the End mark. A group without
// its End mark is not complete, however its stream ends.
func (r *groupReader) objects(l *link, f *feed, g *relay.Group, index uint64) error {
	bytes, objects := &l.stats.in.bytes[f.kind], &l.stats.in.objects[f.kind]
	for {
		frame, err := r.frame()
		if err != nil {
			return err
		}
		if frame.End {
			if frame.Objects != index {
				return errFraming
			}
			return nil
		}
		h := l.translate(frame)
		f.ages.add(h, l.mesh.cfg.WallClock(), time.Now())
		var n int
		if frame.Chunked {
			n, err = r.chunked(f, g, index, h)
		} else {
			n, err = frame.Size, r.sized(f, g, index, h, frame.Size)
		}
		if err != nil {
			return err
		}
		objects.Inc()
		bytes.Add(n)
		index++
	}
}

// translate puts an object's ingress time on our clock.
func (l *link) translate(f peer.Frame) relay.ObjectHeader {
	h := relay.ObjectHeader{Time: f.Time, Ingress: f.Ingress, IngressErr: -1}
	if off := l.clock.Load(); off != nil {
		h.Ingress -= off.offset
		if f.IngressErr >= 0 {
			h.IngressErr = f.IngressErr + off.err
		}
	}
	return h
}

// pieceBytes bounds what is allocated for bytes that were announced but have not
// come.
const pieceBytes = 64 << 10

// sized reads an object of known size. One that is here already is written whole;
// of another each piece is written as it comes, for whoever forwards it.
func (r *groupReader) sized(f *feed, g *relay.Group, index uint64, h relay.ObjectHeader, size int) error {
	piece := f.track.Alloc(min(size, pieceBytes))
	n, err := r.some(piece)
	if err != nil {
		return err
	}
	if n == size {
		return g.Write(index, h, piece)
	}
	if err := g.Begin(index, h, size); err != nil {
		return err
	}
	for left := size; ; {
		if err := g.Append(piece[:n:n]); err != nil {
			return err
		}
		if left -= n; left == 0 {
			return nil
		}
		if piece = piece[n:]; len(piece) == 0 {
			piece = f.track.Alloc(min(left, pieceBytes))
		}
		if n, err = r.some(piece); err != nil {
			return err
		}
	}
}

// some reads at least one byte of p, unless p is empty.
func (r *groupReader) some(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.Read(p)
	switch {
	case n > 0:
		return n, nil // an error comes again
	case errors.Is(err, io.EOF):
		return 0, io.ErrUnexpectedEOF
	default:
		return 0, err
	}
}

// drain reads the end of a stream whose content has ended, without which QUIC
// does not let go of it.
func (r *groupReader) drain() error {
	if r.start < r.end {
		return errFraming
	}
	switch n, err := r.Read(r.buf[:1]); {
	case n > 0:
		return errFraming
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// chunked reads an object of unknown size, and returns its size.
func (r *groupReader) chunked(f *feed, g *relay.Group, index uint64, h relay.ObjectHeader) (int, error) {
	if err := g.Begin(index, h, -1); err != nil {
		return 0, err
	}
	total := 0
	for {
		size, err := r.chunkSize()
		if err != nil {
			return total, err
		}
		if size == 0 {
			return total, g.End()
		}
		if total += size; total > peer.MaxObjectBytes {
			return total, relay.ErrTooLarge
		}
		for left := size; left > 0; {
			piece := f.track.Alloc(min(left, pieceBytes))
			n, err := r.some(piece)
			if err != nil {
				return total, err
			}
			if err := g.Append(piece[:n:n]); err != nil {
				return total, err
			}
			left -= n
		}
	}
}
