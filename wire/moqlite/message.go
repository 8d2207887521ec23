package moqlite

import (
	"slices"

	"github.com/quic-go/quic-go/quicvarint"
)

// Message is a message that goes behind its length.
type Message interface {
	// Append writes the body of the message, without its length.
	Append(b []byte, v Version) []byte
}

// AppendMessage appends m behind its length.
func AppendMessage(b []byte, m Message, v Version) []byte {
	start := len(b)
	b = m.Append(append(b, 0), v)
	size := len(b) - start - 1
	if size < 1<<6 {
		b[start] = byte(size)
		return b
	}
	// The length takes more than the byte kept for it: few messages do this.
	var length [8]byte
	n := quicvarint.Append(length[:0], uint64(size))
	return slices.Replace(b, start, start+1, n...)
}

// AppendStream appends what opens a bidirectional stream: its type and its
// first message.
func AppendStream(b []byte, t StreamType, m Message, v Version) []byte {
	return AppendMessage(quicvarint.Append(b, uint64(t)), m, v)
}

// AppendUniStream appends what opens a unidirectional stream.
func AppendUniStream(b []byte, t UniStreamType, m Message, v Version) []byte {
	return AppendMessage(quicvarint.Append(b, uint64(t)), m, v)
}

func appendString(b []byte, s string) []byte {
	return append(quicvarint.Append(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
