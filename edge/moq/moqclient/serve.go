package moqclient

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// acceptStreams serves what the node asks of us.
func (s *Session) acceptStreams() {
	for {
		wt, err := s.wt.AcceptStream(s.ctx)
		if err != nil {
			s.cancel(err)
			return
		}
		st := newStream(wt)
		s.start(func() { s.handleStream(st) })
	}
}

func (s *Session) handleStream(st *stream) {
	stop := st.resetOn(s.ctx, wire.CodeCancel)
	defer stop()
	typ, err := st.in.Varint()
	if err != nil {
		st.reset(wire.CodeCancel)
		return
	}
	t := moqlite.StreamType(typ)
	switch t {
	case moqlite.StreamAnnounce:
		err = s.serveAnnounce(st)
	case moqlite.StreamTrack:
		err = s.serveTrack(st)
	case moqlite.StreamSubscribe:
		err = s.serveSubscribe(st)
	case moqlite.StreamFetch:
		err = s.serveFetch(st)
	case moqlite.StreamGoaway:
		err = s.serveGoaway(st)
	case moqlite.StreamProbe:
		err = refuse(wire.CodeUnsupported, "nothing to report")
	default:
		err = refuse(wire.CodeUnexpectedStream, "unknown stream")
	}
	if err == nil {
		st.finish()
		return
	}
	s.log.Debug("request ended", slog.String("stream", t.String()), slog.Any("err", err))
	code, ok := CodeOf(err)
	if !ok {
		code = wire.CodeCancel
	}
	st.reset(code)
}

// refuse makes the error with which a request is answered by a reset.
func refuse(code wire.Code, reason string) error {
	return &moqlite.ProtocolError{Code: code, Reason: reason}
}

// serveAnnounce tells the node what this session publishes, for as long as it
// wants to know.
func (s *Session) serveAnnounce(st *stream) error {
	body, err := st.in.Message()
	if err != nil {
		return err
	}
	request, err := moqlite.ParseAnnounceRequest(body, s.version)
	if err != nil {
		return err
	}
	gone := s.watchEnd(st)
	told := map[string]*Broadcast{} // by suffix
	live, changed := s.publications.names()
	now := below(live, request.Prefix)
	if s.version >= moqlite.Version05 {
		if err := st.send(moqlite.AnnounceOK{Hop: s.cfg.HopID, Active: uint64(len(now))}, s.version); err != nil {
			return err
		}
	}
	for {
		for suffix, b := range told {
			// A successor under the same name replaces in place on 05 only.
			if now[suffix] != b && (now[suffix] == nil || s.version < moqlite.Version05) {
				if err := st.send(moqlite.Announce{Suffix: suffix}, s.version); err != nil {
					return err
				}
				delete(told, suffix)
			}
		}
		for suffix, b := range now {
			if told[suffix] != b {
				if err := st.send(moqlite.Announce{Active: true, Suffix: suffix, Hops: s.hops()}, s.version); err != nil {
					return err
				}
				told[suffix] = b
			}
		}
		select {
		case <-changed:
		case <-gone:
			return nil
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
		live, changed = s.publications.names()
		now = below(live, request.Prefix)
	}
}

// hops is the chain of our own broadcasts: on 05 ANNOUNCE_OK has named us.
func (s *Session) hops() []uint64 {
	if s.version >= moqlite.Version05 {
		return nil
	}
	return []uint64{s.cfg.HopID}
}

// below keeps the broadcasts under prefix, by what follows it.
func below(live map[string]*Broadcast, prefix string) map[string]*Broadcast {
	kept := make(map[string]*Broadcast, len(live))
	for name, b := range live {
		if suffix, ok := wire.Broadcast(name).Suffix(wire.Prefix(prefix)); ok {
			kept[suffix] = b
		}
	}
	return kept
}

// watchEnd returns a channel that is closed when the peer ends its direction.
func (s *Session) watchEnd(st *stream) <-chan struct{} {
	gone := make(chan struct{})
	if !s.start(func() {
		defer close(gone)
		// Nothing is expected; whatever comes, the read ends with the stream.
		_, _ = io.Copy(io.Discard, st.in)
	}) {
		close(gone)
	}
	return gone
}

func (s *Session) serveTrack(st *stream) error {
	body, err := st.in.Message()
	if err != nil {
		return err
	}
	request, err := moqlite.ParseTrack(body, s.version)
	if err != nil {
		return err
	}
	t := s.publications.lookup(request.Broadcast, request.Name)
	if t == nil {
		return refuse(wire.CodeNotFound, "no such track")
	}
	return st.send(t.info, s.version)
}

func (s *Session) serveFetch(st *stream) error {
	body, err := st.in.Message()
	if err != nil {
		return err
	}
	request, err := moqlite.ParseFetch(body, s.version)
	if err != nil {
		return err
	}
	t := s.publications.lookup(request.Broadcast, request.Track)
	if t == nil {
		return refuse(wire.CodeNotFound, "no such track")
	}
	g := t.find(request.Group)
	if g == nil {
		return refuse(wire.CodeNotFound, "no such group")
	}
	return writeFrames(s.ctx, st, g, s.version)
}

func (s *Session) serveGoaway(st *stream) error {
	body, err := st.in.Message()
	if err != nil {
		return err
	}
	goaway, err := moqlite.ParseGoaway(body, s.version)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.goaway {
		s.goaway, s.elsewhere = true, goaway.URI
		close(s.draining)
	}
	return nil
}

// errAborted ends the stream of a group that its writer gave up.
var errAborted = &moqlite.ProtocolError{Code: abortCode, Reason: "given up by the publisher"}

// writeFrames writes the frames of a group as they come, until it is complete.
func writeFrames(ctx context.Context, w io.Writer, g *groupLog, v moqlite.Version) error {
	var at int64
	var buf []byte
	for index := 0; ; {
		frames, end, changed := g.from(index)
		for _, f := range frames {
			buf = moqlite.FrameHeader{Delta: f.at - at, Size: uint64(len(f.payload))}.Append(buf[:0], v)
			at = f.at
			if _, err := w.Write(append(buf, f.payload...)); err != nil {
				return err
			}
		}
		if index += len(frames); len(frames) > 0 {
			continue
		}
		switch end {
		case endComplete:
			return nil
		case endAborted:
			return errAborted
		case endOpen:
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// isEnd reports whether err is the end of a stream between two messages.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}
