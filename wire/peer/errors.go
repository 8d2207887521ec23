package peer

import (
	"errors"

	"trellis/wire"
)

// What is wrong with bytes that do not parse.
var (
	// ErrShort: the bytes end before the message does. A reader of a stream
	// comes back with more.
	ErrShort = errors.New("message is truncated")
	// ErrBounds: a value is beyond its limit (docs/wire.md, section 10).
	ErrBounds = errors.New("value out of bounds")
	// ErrMalformed: a value has no meaning.
	ErrMalformed = errors.New("malformed message")
)

// CodeOf returns what to tell a peer whose bytes did not parse.
func CodeOf(err error) wire.Code {
	if errors.Is(err, ErrBounds) {
		return wire.CodeBounds
	}
	return wire.CodeDecode
}
