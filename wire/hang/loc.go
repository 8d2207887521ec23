package hang

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/quic-go/quic-go/quicvarint"
)

// LOC is moq-dev's form of the low overhead container:
//
//	loc { props_len varint, props, payload }
//
// props are key-value pairs. A key is the difference to the key before it; an
// even key has a varint as its value, an odd one a length and bytes.
type LOC struct {
	// Time is the presentation time in units of Timescale per second.
	Time uint64
	// Timescale is never zero; where the frame does not say it is a million.
	Timescale uint64
	// Payload is the codec's bytes.
	Payload []byte
}

// Keys of LOC properties; others are skipped.
const (
	locTimestampOld = 0x06 // older drafts' key, accepted on reading
	locTimescale    = 0x08
	locTimestamp    = 0x10
)

const defaultLOCTimescale = 1_000_000

// PTSMicros returns Time in microseconds.
func (f LOC) PTSMicros() uint64 {
	switch f.Timescale {
	case 0:
		return 0 // the zero LOC of an error
	case defaultLOCTimescale:
		return f.Time
	}
	hi, lo := bits.Mul64(f.Time, 1_000_000)
	if hi >= f.Timescale {
		return quicvarint.Max // beyond every clock
	}
	micros, _ := bits.Div64(hi, lo, f.Timescale)
	return min(micros, quicvarint.Max)
}

// Append writes the object.
func (f LOC) Append(b []byte) []byte {
	var props []byte
	key := uint64(0)
	if f.Timescale != defaultLOCTimescale {
		props = quicvarint.Append(quicvarint.Append(props, locTimescale), f.Timescale)
		key = locTimescale
	}
	props = quicvarint.Append(quicvarint.Append(props, locTimestamp-key), f.Time)
	b = quicvarint.Append(b, uint64(len(props)))
	return append(append(b, props...), f.Payload...)
}

// ParseLOC reads an object. Payload aliases b.
func ParseLOC(b []byte) (LOC, error) {
	size, n, err := quicvarint.Parse(b)
	if err != nil {
		return LOC{}, errors.Join(ErrFrame, err)
	}
	if size > uint64(len(b)-n) {
		return LOC{}, fmt.Errorf("%w: properties of %d bytes, %d there", ErrFrame, size, len(b)-n)
	}
	props := b[n : n+int(size)]
	f := LOC{Timescale: defaultLOCTimescale, Payload: b[n+int(size):]}
	key, timed := uint64(0), false
	for len(props) > 0 {
		var delta, value uint64
		if delta, props, err = takeVarint(props); err != nil {
			return LOC{}, err
		}
		if value, props, err = takeVarint(props); err != nil {
			return LOC{}, err
		}
		if key += delta; key > quicvarint.Max {
			return LOC{}, fmt.Errorf("%w: property key beyond 62 bits", ErrFrame)
		}
		switch {
		case key%2 == 1: // value is the length of bytes that nobody here reads
			if value > uint64(len(props)) {
				return LOC{}, fmt.Errorf("%w: property of %d bytes, %d there", ErrFrame, value, len(props))
			}
			props = props[value:]
		case key == locTimestamp, key == locTimestampOld && !timed:
			f.Time, timed = value, true
		case key == locTimescale:
			f.Timescale = value
		}
	}
	if !timed || f.Timescale == 0 {
		return LOC{}, fmt.Errorf("%w: no timestamp, or timescale zero", ErrFrame)
	}
	return f, nil
}

func takeVarint(b []byte) (uint64, []byte, error) {
	v, n, err := quicvarint.Parse(b)
	if err != nil {
		return 0, nil, errors.Join(ErrFrame, err)
	}
	return v, b[n:], nil
}
