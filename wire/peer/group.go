package peer

import (
	"fmt"

	"github.com/quic-go/quic-go/quicvarint"
)

// Types of unidirectional streams, their first field.
const (
	StreamGroup   uint64 = 0x01
	StreamPadding uint64 = 0x02
)

// GroupHeader begins a group stream, after its type.
type GroupHeader struct {
	Subscription uint64
	Group        uint64
	Object       uint64 // index of the first object that follows
}

// MaxGroupHeaderBytes holds the stream's type and header.
const MaxGroupHeaderBytes = 4 * 8

// ParseStreamType splits the type of a unidirectional stream off b.
func ParseStreamType(b []byte) (t uint64, n int, err error) {
	c := cursor{b: b}
	t = c.varint()
	if c.err != nil {
		return 0, 0, c.err
	}
	return t, len(b) - len(c.b), nil
}

// Append appends the stream's type and the header.
//
//	Type (i), Subscription (i), Group (i), Object (i)
func (h GroupHeader) Append(b []byte) []byte {
	b = quicvarint.Append(b, StreamGroup)
	b = quicvarint.Append(b, h.Subscription)
	b = quicvarint.Append(b, h.Group)
	return quicvarint.Append(b, h.Object)
}

// ParseGroupHeader parses what follows the stream's type, and returns how many
// bytes it took.
func ParseGroupHeader(b []byte) (h GroupHeader, n int, err error) {
	c := cursor{b: b}
	h = GroupHeader{Subscription: c.varint(), Group: c.varint(), Object: c.varint()}
	if c.err != nil {
		return GroupHeader{}, 0, c.err
	}
	return h, len(b) - len(c.b), nil
}

// Flags of a frame.
const (
	frameEnd     = 0x00
	frameObject  = 0x01
	frameChunked = 0x02
	frameError   = 0x04
	frameKnown   = frameObject | frameChunked | frameError
)

// Frame is what stands before a payload on a group stream, or the End mark.
type Frame struct {
	End     bool
	Objects uint64 // End: how many objects the whole group has

	Time       int64
	Ingress    int64 // µs since 1970 on the sender's clock
	IngressErr int64 // µs; negative: unsynchronised
	Chunked    bool  // the size is not known; chunks follow
	Size       int   // bytes of payload, if not chunked
}

// MaxFrameBytes holds a frame without payload.
const MaxFrameBytes = 1 + 4*8

// FrameCoder writes or reads the frames of one group stream, whose fields are
// differences. The zero value stands before the first frame.
type FrameCoder struct {
	time    int64
	ingress int64
	err     int64
	begun   bool
}

// AppendObject appends an object's frame; payload or chunks follow it.
//
//	Flags (8), Time (z), Ingress (z), [Error (i)], [Size (i)]
func (f *FrameCoder) AppendObject(b []byte, o Frame) []byte {
	flags := byte(frameObject)
	if o.Chunked {
		flags |= frameChunked
	}
	// Publishers choose Time; what the wire cannot say must not panic here.
	o.Time = min(max(o.Time, -maxStamp), maxStamp)
	o.Ingress = min(max(o.Ingress, -maxStamp), maxStamp)
	o.IngressErr = min(max(o.IngressErr, -1), maxTime-1)
	if !f.begun || o.IngressErr != f.err {
		flags |= frameError
	}
	b = append(b, flags)
	b = appendZigzag(b, o.Time-f.time)
	b = appendZigzag(b, o.Ingress-f.ingress)
	if flags&frameError != 0 {
		b = quicvarint.Append(b, uint64(o.IngressErr+1))
	}
	f.time, f.ingress, f.err, f.begun = o.Time, o.Ingress, o.IngressErr, true
	if o.Chunked {
		return b
	}
	return quicvarint.Append(b, uint64(o.Size))
}

// AppendEnd appends the mark of a complete group of so many objects.
//
//	Flags (8) = 0, Objects (i)
func AppendEnd(b []byte, objects uint64) []byte {
	return quicvarint.Append(append(b, frameEnd), objects)
}

// Parse parses the frame at the front of b and returns how many bytes it took.
// After ErrShort the coder is unchanged, and Parse may be called with more.
func (f *FrameCoder) Parse(b []byte) (o Frame, n int, err error) {
	c := cursor{b: b}
	flags := c.octet()
	if c.err == nil && (flags&^frameKnown != 0 || flags != frameEnd && flags&frameObject == 0) {
		c.fail(fmt.Errorf("%w: frame flags %#x", ErrMalformed, flags))
	}
	if flags == frameEnd {
		o = Frame{End: true, Objects: c.varint()}
		return o, len(b) - len(c.b), c.err
	}
	o.Chunked = flags&frameChunked != 0
	o.Time = f.time + c.zigzag()
	o.Ingress = f.ingress + c.zigzag()
	o.IngressErr = f.err
	switch {
	case flags&frameError != 0:
		o.IngressErr = int64(c.upTo(maxTime, "error")) - 1
	case !f.begun:
		c.fail(fmt.Errorf("%w: first object without an error", ErrMalformed))
	}
	if !o.Chunked {
		o.Size = int(c.upTo(MaxObjectBytes, "object size"))
	}
	if c.err == nil && (o.Time > maxStamp || o.Time < -maxStamp || o.Ingress > maxStamp || o.Ingress < -maxStamp) {
		c.fail(fmt.Errorf("%w: object time %d, ingress %d", ErrBounds, o.Time, o.Ingress))
	}
	if c.err != nil {
		return Frame{}, 0, c.err
	}
	f.time, f.ingress, f.err, f.begun = o.Time, o.Ingress, o.IngressErr, true
	return o, len(b) - len(c.b), nil
}

// AppendChunkSize appends the size that stands before a chunk; 0 ends the object.
//
//	Size (i)
func AppendChunkSize(b []byte, size int) []byte { return quicvarint.Append(b, uint64(size)) }

// ParseChunkSize parses a chunk's size, and returns how many bytes it took.
func ParseChunkSize(b []byte) (size, n int, err error) {
	c := cursor{b: b}
	size = int(c.upTo(MaxObjectBytes, "chunk size"))
	if c.err != nil {
		return 0, 0, c.err
	}
	return size, len(b) - len(c.b), nil
}
