package moq

import (
	"context"
	"time"

	"github.com/quic-go/webtransport-go"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// stream is a bidirectional stream, with the reader of what comes in and time
// limits on what goes out.
type stream struct {
	*webtransport.Stream
	in      *moqlite.Reader
	version moqlite.Version
	stall   time.Duration
}

func (ss *session) newStream(wt *webtransport.Stream) *stream {
	return &stream{Stream: wt, in: moqlite.NewReader(wt), version: ss.version, stall: ss.cfg.StallTimeout}
}

// open begins a transaction with the client.
func (ss *session) open(ctx context.Context, t moqlite.StreamType, m moqlite.Message) (*stream, error) {
	wt, err := ss.wt.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	st := ss.newStream(wt)
	if err := st.write(moqlite.AppendStream(nil, t, m, ss.version)); err != nil {
		st.reset(wire.CodeCancel)
		return nil, err
	}
	return st, nil
}

// message reads the next message. With a limit, it must be there by then.
func (st *stream) message(limit time.Duration) ([]byte, error) {
	st.expect(limit)
	return st.in.Message()
}

// expect sets how long the next reads may take; zero: for ever.
func (st *stream) expect(limit time.Duration) {
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	// A stream that is closed already says so on reading.
	_ = st.SetReadDeadline(deadline)
}

// write sends control messages. These are small and rare, so a client that does
// not take them is not there, and the error ends more than the stream.
func (st *stream) write(b []byte) error {
	// A stream that is closed already says so on writing.
	_ = st.SetWriteDeadline(time.Now().Add(st.stall))
	_, err := st.Write(b)
	return err
}

func (st *stream) send(m moqlite.Message) error {
	return st.write(moqlite.AppendMessage(nil, m, st.version))
}

func (st *stream) respond(m moqlite.Response) error {
	return st.write(moqlite.AppendResponse(nil, m, st.version))
}

// reset gives up both directions.
func (st *stream) reset(code wire.Code) {
	cancelRead(st, code)
	st.CancelWrite(streamCode(code))
	_ = st.SetWriteDeadline(time.Now()) // see cancelRead
}

// cancelRead gives up reading, whoever is reading. A Read that has learned that
// the client ended the session waits inside the library for the session's end,
// of which a stream that was cancelled is never told: only a deadline gets it
// out.
func cancelRead(st interface {
	CancelRead(code webtransport.StreamErrorCode)
	SetReadDeadline(at time.Time) error
}, code wire.Code,
) {
	st.CancelRead(streamCode(code))
	_ = st.SetReadDeadline(time.Now()) // an error says that the stream is closed
}

// resetOn resets the stream when ctx ends, with the code of its cause. The
// function returned takes that back.
func (st *stream) resetOn(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { st.reset(codeOf(context.Cause(ctx))) })
}

// finish ends our direction in order and lets go of the other.
func (st *stream) finish() {
	// A reset by the client is as good an end as ours.
	_ = st.Close()
	st.CancelRead(streamCode(wire.CodeCancel))
}

// sendSetup tells what we are, once, on 05. The client waits for it before it
// decides whether to probe.
func (ss *session) sendSetup() {
	out, err := ss.wt.OpenUniStreamSync(ss.ctx)
	if err != nil {
		return // the session is over
	}
	setup := moqlite.Setup{Probe: moqlite.ProbeReport, Origin: ss.server.hop}
	b := moqlite.AppendUniStream(nil, moqlite.UniStreamSetup, setup, ss.version)
	if _, err := out.Write(b); err != nil {
		return // refused, or the session is over: nothing depends on it
	}
	_ = out.Close()
}
