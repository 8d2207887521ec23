package moqclient

import (
	"context"
	"io"

	"github.com/quic-go/webtransport-go"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// stream is a bidirectional stream and the reader of what comes in on it.
type stream struct {
	*webtransport.Stream
	in *moqlite.Reader
}

func newStream(wt *webtransport.Stream) *stream {
	return &stream{Stream: wt, in: moqlite.NewReader(wt)}
}

// reset gives up both directions.
func (s *stream) reset(code wire.Code) {
	s.CancelRead(streamCode(code))
	s.CancelWrite(streamCode(code))
}

// resetOn resets the stream when ctx ends. The function returned takes that
// back; it reports false if the reset has happened.
func (s *stream) resetOn(ctx context.Context, code wire.Code) (stop func() bool) {
	return context.AfterFunc(ctx, func() { s.reset(code) })
}

// finish ends our direction in order and lets go of the other.
func (s *stream) finish() {
	// A reset by the peer is as good an end as ours.
	_ = s.Close()
	s.CancelRead(streamCode(wire.CodeCancel))
}

// send writes one message.
func (s *stream) send(m moqlite.Message, v moqlite.Version) error {
	_, err := s.Write(moqlite.AppendMessage(nil, m, v))
	return err
}

// readFrame reads the payload of a frame. Memory grows with what arrives.
func readFrame(r io.Reader, size uint64) ([]byte, error) {
	const step = 64 << 10
	payload := make([]byte, 0, min(size, step))
	for uint64(len(payload)) < size {
		start := len(payload)
		n := min(size-uint64(start), step)
		payload = append(payload, make([]byte, n)...)
		if _, err := io.ReadFull(r, payload[start:]); err != nil {
			return nil, err
		}
	}
	return payload, nil
}
