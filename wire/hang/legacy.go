package hang

import (
	"errors"

	"github.com/quic-go/quic-go/quicvarint"
)

// ErrFrame is wrapped by every error about the container of an object.
var ErrFrame = errors.New("invalid media frame")

// Legacy is the container that browsers publish and that our own edges write:
//
//	legacy { pts varint, payload }
type Legacy struct {
	// PTSMicros is the presentation time in microseconds, below 2^62.
	PTSMicros uint64
	// Payload is the codec's bytes. Empty: a marker that decodes to nothing.
	Payload []byte
}

// Append writes the object.
func (f Legacy) Append(b []byte) []byte {
	return append(AppendLegacyHeader(b, f.PTSMicros), f.Payload...)
}

// AppendLegacyHeader writes what goes before the payload, for frames that are
// passed on while they are still arriving.
func AppendLegacyHeader(b []byte, ptsMicros uint64) []byte { return quicvarint.Append(b, ptsMicros) }

// ParseLegacy reads an object. Payload aliases b.
func ParseLegacy(b []byte) (Legacy, error) {
	pts, n, err := quicvarint.Parse(b)
	if err != nil {
		return Legacy{}, errors.Join(ErrFrame, err)
	}
	return Legacy{PTSMicros: pts, Payload: b[n:]}, nil
}
