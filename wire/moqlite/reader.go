package moqlite

import (
	"errors"
	"io"

	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// MaxMessage bounds the body of a message. The longest legal one is an
// announcement of a 1024-byte name over 32 hops, far below.
const MaxMessage = 16 << 10

// firstBuffer is what a Reader allocates at first: one QUIC packet holds
// little more, and most streams begin with less than a hundred bytes.
const firstBuffer = 256

// Reader takes varints, messages, frame headers and payloads off a stream. Its
// memory grows only with bytes that have arrived, up to MaxMessage: a length on
// the wire reserves nothing.
//
// All methods return io.EOF where the stream ends between two items and
// io.ErrUnexpectedEOF where it ends inside one. A Reader is for one goroutine.
type Reader struct {
	src io.Reader
	buf []byte // buf[pos:] has arrived and is not consumed
	pos int
}

// NewReader returns a Reader of src. It reads ahead, so src must not be read
// by anybody else afterwards.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Varint reads a number.
func (r *Reader) Varint() (uint64, error) {
	if err := r.fill(1); err != nil {
		return 0, err
	}
	// RFC 9000, Section 16: the two highest bits give the length.
	size := 1 << (r.buf[r.pos] >> 6)
	if err := r.fill(size); err != nil {
		return 0, inside(err)
	}
	n, _, err := quicvarint.Parse(r.buf[r.pos : r.pos+size])
	if err != nil {
		return 0, inside(err)
	}
	r.pos += size
	return n, nil
}

// Message reads a length and the body behind it. The body is valid until the
// next call of any method.
func (r *Reader) Message() ([]byte, error) {
	size, err := r.Varint()
	if err != nil {
		return nil, err
	}
	if size > MaxMessage {
		return nil, protocolErrorf(wire.CodeTooLarge, "message of %d bytes, at most %d", size, MaxMessage)
	}
	if err := r.fill(int(size)); err != nil {
		return nil, inside(err)
	}
	body := r.buf[r.pos : r.pos+int(size)]
	r.pos += int(size)
	return body, nil
}

// Response reads a response on a Subscribe stream.
func (r *Reader) Response(v Version) (Response, error) {
	if !v.HasDelivery() {
		body, err := r.Message()
		if err != nil {
			return nil, err
		}
		return ParseResponse(0, body, v)
	}
	typ, err := r.Varint()
	if err != nil {
		return nil, err
	}
	body, err := r.Message()
	if err != nil {
		return nil, inside(err)
	}
	return ParseResponse(typ, body, v)
}

// FrameHeader reads the header of the next frame; the payload, of Size bytes,
// is then to be taken with Read. A frame of more than maxSize bytes is refused.
func (r *Reader) FrameHeader(v Version, maxSize uint64) (FrameHeader, error) {
	var h FrameHeader
	n, err := r.Varint()
	if err != nil {
		return h, err
	}
	if v.HasTimestamps() {
		h.Delta = unzigzag(n)
		if n, err = r.Varint(); err != nil {
			return h, inside(err)
		}
	}
	if n > maxSize {
		return h, protocolErrorf(wire.CodeTooLarge, "frame of %d bytes, at most %d", n, maxSize)
	}
	h.Size = n
	return h, nil
}

// Read takes raw bytes: what was read ahead first, then from the stream.
func (r *Reader) Read(p []byte) (int, error) {
	if r.pos < len(r.buf) {
		n := copy(p, r.buf[r.pos:])
		r.pos += n
		return n, nil
	}
	return r.src.Read(p)
}

// Buffered returns how many bytes Read returns without waiting.
func (r *Reader) Buffered() int { return len(r.buf) - r.pos }

// fill waits until n bytes are there. n is at most MaxMessage.
func (r *Reader) fill(n int) error {
	for len(r.buf)-r.pos < n {
		r.makeRoom(n)
		m, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+m]
		switch {
		case len(r.buf)-r.pos >= n:
		case err != nil && errors.Is(err, io.EOF) && len(r.buf) > r.pos:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}

// makeRoom leaves at least one byte of capacity behind what has arrived. It
// doubles the buffer only when arrived bytes fill it.
func (r *Reader) makeRoom(n int) {
	if r.pos == len(r.buf) {
		r.buf, r.pos = r.buf[:0], 0
	}
	if len(r.buf) < cap(r.buf) {
		return
	}
	if r.pos > 0 {
		// Slide down what is left, which is less than one item.
		r.buf, r.pos = r.buf[:copy(r.buf, r.buf[r.pos:])], 0
		return
	}
	size := min(max(2*cap(r.buf), firstBuffer), max(n, firstBuffer))
	r.buf = append(make([]byte, 0, size), r.buf...)
}

// inside turns the end of the stream into an unexpected one.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
