package moqlite

import (
	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// Group is the header of a group stream:
//
//	GROUP { subscribe_id varint, sequence varint }
type Group struct {
	SubscribeID uint64
	Sequence    uint64
}

// Append writes the body of GROUP.
func (m Group) Append(b []byte, _ Version) []byte {
	return quicvarint.Append(quicvarint.Append(b, m.SubscribeID), m.Sequence)
}

// ParseGroup reads the body of GROUP.
func ParseGroup(b []byte, _ Version) (Group, error) {
	c := cursor{b: b}
	m := Group{SubscribeID: c.varint("group subscribe id"), Sequence: c.varint("group sequence")}
	if err := c.end("group"); err != nil {
		return Group{}, err
	}
	return m, nil
}

// FrameHeader goes before each payload of a group stream or a FETCH reply:
//
//	03, 04: { size varint }
//	05:     { delta varint (zigzag), size varint }
type FrameHeader struct {
	// Delta is the presentation time less that of the frame before, in units
	// of the track's timescale; for the first frame, the time itself. It is
	// zero before 05 and must stay within ±MaxTime.
	Delta int64
	// Size is the length of the payload in bytes.
	Size uint64
}

// MaxTime bounds timestamps, either side of zero: the integers that are exact
// in JavaScript. The difference of two such times always fits a frame header.
const MaxTime = 1<<53 - 1

// maxDelta is the largest difference whose zigzag form fits a varint.
const maxDelta = 1<<61 - 1

// Append writes the header.
func (h FrameHeader) Append(b []byte, v Version) []byte {
	if v.HasTimestamps() {
		b = quicvarint.Append(b, zigzag(h.Delta))
	}
	return quicvarint.Append(b, h.Size)
}

// ParseFrameHeader reads a header from the front of b and returns the bytes it
// took. A header that is not whole yet is an error with CodeWrongSize.
func ParseFrameHeader(b []byte, v Version) (FrameHeader, int, error) {
	c := cursor{b: b}
	var h FrameHeader
	if v.HasTimestamps() {
		h.Delta = unzigzag(c.varint("frame delta"))
	}
	h.Size = c.varint("frame size")
	if c.err != nil {
		return FrameHeader{}, 0, c.err
	}
	return h, len(b) - len(c.b), nil
}

// NextTime adds the delta of a frame to the time of the frame before it.
func NextTime(previous, delta int64) (int64, error) {
	// Neither bound alone can overflow: both are below 2^62.
	if delta > maxDelta || delta < -maxDelta {
		return 0, protocolErrorf(wire.CodeBounds, "frame delta %d", delta)
	}
	next := previous + delta
	if next > MaxTime || next < -MaxTime {
		return 0, protocolErrorf(wire.CodeBounds, "frame time %d", next)
	}
	return next, nil
}

// zigzag folds the sign into the lowest bit: 0, -1, 1, -2 become 0, 1, 2, 3.
func zigzag(d int64) uint64 { return uint64(d<<1) ^ uint64(d>>63) }

func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }
