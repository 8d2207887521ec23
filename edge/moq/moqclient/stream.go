package moqclient

import (
	"context"
	"io"
	"time"

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
	cancelRead(s, code)
	s.CancelWrite(streamCode(code))
	_ = s.SetWriteDeadline(time.Now()) // see cancelRead
}

// cancelRead gives up reading, whoever is reading. A Read that has learned that
// the node ended the session waits inside the library for the session's end, of
// which a stream that was cancelled is never told: only a deadline gets it out.
func cancelRead(s interface {
	CancelRead(code webtransport.StreamErrorCode)
	SetReadDeadline(at time.Time) error
}, code wire.Code,
) {
	s.CancelRead(streamCode(code))
	_ = s.SetReadDeadline(time.Now()) // an error says that the stream is closed
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
