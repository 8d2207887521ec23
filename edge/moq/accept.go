package moq

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/quic-go/webtransport-go"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// acceptStreams serves what the client asks, each stream by a goroutine.
func (ss *session) acceptStreams() {
	for {
		wt, err := ss.wt.AcceptStream(ss.ctx)
		if err != nil {
			ss.end(ss.wtError())
			return
		}
		ss.start(func() { ss.serveStream(ss.newStream(wt)) })
	}
}

func (ss *session) serveStream(st *stream) {
	defer st.resetOn(ss.ctx)()
	st.expect(ss.cfg.HeaderTimeout)
	typ, err := st.in.Varint()
	if err != nil {
		ss.answer(st, "", headerError(err))
		return
	}
	t := moqlite.StreamType(typ)
	serve, count := ss.handler(t)
	switch {
	case serve == nil:
		err = refuse(wire.CodeUnexpectedStream, refuseUnknown, "unknown stream")
	case !count.take():
		reason := refuseRequests
		if t == moqlite.StreamSubscribe {
			reason = refuseSubscriptions
		}
		err = refuse(wire.CodeTooMany, reason, "too many at once")
	default:
		err = serve(st)
		count.give()
	}
	ss.answer(st, t.String(), err)
}

// handler returns what serves a type of stream in the session's version, nil for
// none, and what it counts against.
func (ss *session) handler(t moqlite.StreamType) (serve func(*stream) error, count *limit) {
	switch t {
	case moqlite.StreamAnnounce:
		return ss.serveAnnounce, &ss.requests
	case moqlite.StreamSubscribe:
		return ss.serveSubscribe, &ss.views
	case moqlite.StreamFetch:
		if ss.version.HasProbe() {
			return ss.serveFetch, &ss.requests
		}
	case moqlite.StreamProbe:
		if ss.version.HasProbe() {
			return ss.serveProbe, &ss.requests
		}
	case moqlite.StreamGoaway:
		if ss.version.HasGoaway() {
			return ss.serveGoaway, &ss.requests
		}
	case moqlite.StreamTrack:
		if ss.version.HasTimestamps() {
			return ss.serveTrack, &ss.requests
		}
	}
	return nil, nil
}

// answer ends a stream: in order without an error, else by a reset that says why.
func (ss *session) answer(st *stream, kind string, err error) {
	if err == nil {
		st.finish()
		return
	}
	if ss.ctx.Err() == nil {
		ss.note(err)
		ss.log.Debug("stream refused", slog.String("stream", kind), slog.Any("err", err))
	}
	st.reset(codeOf(err))
}

// note counts what a client did wrong.
func (ss *session) note(err error) {
	if r, ok := asRefusal(err); ok {
		ss.metrics.refuse(r.reason)
	} else if _, ok := errors.AsType[*moqlite.ProtocolError](err); ok {
		ss.metrics.refuse(refuseMalformed)
	}
}

// headerError names a timeout on a stream's first bytes for what it is.
func headerError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refuse(wire.CodeTimeout, refuseHeader, "the stream did not say in time what it is")
	}
	return err
}

// request reads the first message of a stream.
func request[M any](ss *session, st *stream, parse func([]byte, moqlite.Version) (M, error)) (M, error) {
	var none M
	body, err := st.in.Message() // within the limit set when the stream was accepted
	if err != nil {
		return none, headerError(err)
	}
	st.expect(0)
	return parse(body, ss.version)
}

// acceptUniStreams receives what the client sends, each stream by a goroutine.
func (ss *session) acceptUniStreams() {
	for {
		in, err := ss.wt.AcceptUniStream(ss.ctx)
		if err != nil {
			ss.end(ss.wtError())
			return
		}
		ss.start(func() { ss.receiveStream(in) })
	}
}

func (ss *session) receiveStream(wt *webtransport.ReceiveStream) {
	in := moqlite.NewReader(wt)
	// A stream that is closed already says so on reading.
	_ = wt.SetReadDeadline(time.Now().Add(ss.cfg.HeaderTimeout))
	typ, err := in.Varint()
	if err == nil {
		switch t := moqlite.UniStreamType(typ); {
		case t == moqlite.UniStreamGroup:
			err = ss.receiveGroup(wt, in)
		case t == moqlite.UniStreamSetup && ss.version.HasSetup():
			err = ss.receiveSetup(in)
		default:
			err = refuse(wire.CodeUnexpectedStream, refuseUnknown, "unknown stream")
		}
	} else {
		err = headerError(err)
	}
	if err == nil {
		return
	}
	if ss.ctx.Err() == nil {
		ss.note(err)
		ss.log.Debug("stream refused", slog.Any("err", err))
	}
	wt.CancelRead(streamCode(codeOf(err)))
}

// receiveSetup takes the client's SETUP. What is wrong with it is wrong with the
// whole session.
func (ss *session) receiveSetup(in *moqlite.Reader) error {
	body, err := in.Message()
	if err != nil {
		return headerError(err)
	}
	setup, err := moqlite.ParseSetup(body, ss.version)
	if err == nil && setup.Path != "" {
		err = refuse(wire.CodeProtocol, refuseMalformed, "SETUP with a path: over WebTransport the URL has it")
	}
	ss.mu.Lock()
	second := ss.setupSeen
	ss.setupSeen, ss.role = true, setup.Role
	ss.mu.Unlock()
	if second {
		err = refuse(wire.CodeProtocol, refuseMalformed, "a second SETUP")
	}
	if err != nil {
		ss.end(err)
	}
	return err
}

// serveGoaway takes note that the client will leave.
func (ss *session) serveGoaway(st *stream) error {
	goaway, err := request(ss, st, moqlite.ParseGoaway)
	if err != nil {
		return err
	}
	ss.log.Debug("client will leave", slog.String("uri", goaway.URI))
	return nil
}
