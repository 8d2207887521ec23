package backbone

import (
	"io"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire/peer"
)

// sendPadding sends n bytes that mean nothing (docs/wire.md, section 8).
func sendPadding(conn *quic.Conn, n int) error {
	s, err := conn.OpenUniStream()
	if err != nil {
		return err
	}
	s.SetPriority(urgencyPadding, false)
	chunk := quicvarint.Append(make([]byte, 0, 8<<10), peer.StreamPadding)
	chunk = chunk[:cap(chunk)]
	for n > 0 {
		k := min(n, len(chunk))
		if _, err := s.Write(chunk[:k]); err != nil {
			return err
		}
		clear(chunk[:8]) // the type stands only at the beginning
		n -= k
	}
	return s.Close()
}

// discardPadding reads a stream of padding to its end.
func discardPadding(r io.Reader) error {
	_, err := io.Copy(io.Discard, io.LimitReader(r, maxWarmUp))
	return err
}
