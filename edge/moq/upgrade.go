package moq

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"trellis/internal/auth"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// serveHTTP turns an extended CONNECT into a session and serves it to its end.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "this port speaks MoQ over WebTransport", http.StatusNotFound)
		return
	}
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	if c == nil {
		http.Error(w, "not a connection of this server", http.StatusInternalServerError)
		return
	}
	first := false
	c.once.Do(func() { first = true })
	if !first {
		http.Error(w, "one session for each connection", http.StatusTooManyRequests)
		return
	}
	close(c.begun)
	defer close(c.over)

	log := s.cfg.Log.With(slog.String("remote", r.RemoteAddr), slog.String("path", r.URL.Path))
	root, err := wire.ParsePrefix(moqlite.CleanPath(r.URL.Path))
	switch {
	case err != nil:
		s.refuseConnect(w, log, http.StatusBadRequest, refuseName, "the path is no valid name")
		return
	case !s.allowsOrigin(r):
		s.refuseConnect(w, log, http.StatusForbidden, refuseOrigin, "origin not allowed")
		return
	case !offersVersion(r.Header):
		s.refuseConnect(w, log, http.StatusNotAcceptable, refuseVersion, "no protocol in common; spoken here: moq-lite-05, moq-lite-04, moq-lite-03")
		return
	}
	// A refused CONNECT is a bare "Opening handshake failed" to the page, and
	// clients try it again for ever. So a session is opened even for a bad token
	// and closed at once, with a code and a sentence that the page can show.
	grant, denied := s.cfg.Verifier.Verify(auth.QueryToken(r.URL), s.cfg.Clock())

	wt, id, err := s.upgrade(w, r)
	if err != nil {
		log.Debug("upgrade", slog.Any("err", err))
		return
	}
	protocol := wt.SessionState().ApplicationProtocol
	version, ok := moqlite.ParseVersion(protocol)
	if protocol == "" {
		version, ok = moqlite.Version02, true // to be agreed on when the session runs
	}
	ss := newSession(s, c.conn, wt, id, version, root, grant, log)
	ss.at = r.URL.RequestURI()
	err = s.add(ss)
	switch {
	case denied != nil:
		// The client learns no more than the error's text, our log all of it.
		log.Info("token refused", slog.String("cause", auth.Explain(denied)))
		s.metrics.refuse(refuseToken)
		ss.close(wire.CodeUnauthorized, denied.Error())
	case !ok:
		s.metrics.refuse(refuseVersion)
		ss.close(wire.CodeVersion, "no protocol in common")
	case err != nil:
		s.countRefusal(err)
		ss.farewell(c.ctx) //nolint:contextcheck // the caller's of ServeConn, as below
		ss.close(codeOf(err), err.Error())
	}
	if err == nil {
		defer s.remove(ss)
	}
	if denied != nil || !ok || err != nil {
		return
	}
	s.metrics.sessions[version].Inc()
	ss.run(c.ctx) //nolint:contextcheck // the caller's of ServeConn; the request's ends only with the connection
}

func (s *Server) refuseConnect(w http.ResponseWriter, log *slog.Logger, status int, reason refuseReason, text string) {
	s.metrics.refuse(reason)
	log.Info("session refused", slog.String("reason", reason.String()))
	http.Error(w, text, status)
}

func (s *Server) countRefusal(err error) {
	if r, ok := asRefusal(err); ok {
		s.metrics.refuse(r.reason)
	}
}

// allowsOrigin reports whether the page that a request comes from may connect.
func (s *Server) allowsOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(s.cfg.Origins, "*") || slices.Contains(s.cfg.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// offersVersion reports whether the client offers a version spoken here, or offers
// none at all: browsers that know no subprotocols, such as Firefox 153, cannot, and
// their clients agree on one later. The choice itself is the library's: the client's
// first that we speak.
func offersVersion(h http.Header) bool {
	if len(h.Values("WT-Available-Protocols")) == 0 {
		return true
	}
	for _, line := range h.Values("WT-Available-Protocols") {
		// A list of strings, perhaps with parameters. RFC 8941, Section 3.1
		for item := range strings.SplitSeq(line, ",") {
			item, _, _ = strings.Cut(item, ";")
			if _, ok := moqlite.ParseVersion(strings.Trim(strings.TrimSpace(item), `"`)); ok {
				return true
			}
		}
	}
	return false
}

// upgrade opens the WebTransport session and tells the id of its CONNECT stream,
// which group streams name that are opened below the library.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (*webtransport.Session, quic.StreamID, error) {
	tap := &streamTap{ResponseWriter: w}
	wt, err := s.wt.Upgrade(tap, r)
	if err != nil {
		return nil, 0, err
	}
	return wt, tap.id, nil
}

// streamTap remembers the stream that is taken out of a ResponseWriter.
type streamTap struct {
	http.ResponseWriter
	id quic.StreamID
}

var (
	_ http3.HTTPStreamer = (*streamTap)(nil)
	_ http3.Settingser   = (*streamTap)(nil)
	_ http.Flusher       = (*streamTap)(nil)
)

// HTTPStream implements http3.HTTPStreamer.
func (t *streamTap) HTTPStream() *http3.Stream {
	str := t.ResponseWriter.(http3.HTTPStreamer).HTTPStream()
	t.id = str.StreamID()
	return str
}

// ReceivedSettings implements http3.Settingser.
func (t *streamTap) ReceivedSettings() <-chan struct{} {
	return t.ResponseWriter.(http3.Settingser).ReceivedSettings()
}

// Settings implements http3.Settingser.
func (t *streamTap) Settings() *http3.Settings {
	return t.ResponseWriter.(http3.Settingser).Settings()
}

// Flush implements http.Flusher.
func (t *streamTap) Flush() { t.ResponseWriter.(http.Flusher).Flush() }
