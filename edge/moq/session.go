package moq

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"trellis/internal/auth"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// session is one client. Both sides may publish and watch on it.
type session struct {
	// Fixed at construction.
	server   *Server
	cfg      *Config
	metrics  *metrics
	conn     *quic.Conn
	wt       *webtransport.Session
	version  moqlite.Version
	root     wire.Prefix // names on the wire are below it
	grant    auth.Grant
	log      *slog.Logger
	mintedID uint64 // names the publisher where the client does not
	at       string // path and query of its URL, for another node's

	ctx    context.Context // of all that the session runs; its cause is why it ended
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup

	outbox   *outbox
	requests limit
	views    limit
	pulls    pulls

	mu         sync.Mutex // guards what follows
	over       bool       // no more tasks
	role       moqlite.Role
	setupSeen  bool
	publishing map[wire.Broadcast]*publisher
}

// hopIDMask keeps hop ids exact in a JavaScript number. Current clients read 62
// bits, older ones fail above 53.
const hopIDMask = 1<<53 - 1

func newSession(s *Server, conn *quic.Conn, wt *webtransport.Session, id quic.StreamID, v moqlite.Version,
	root wire.Prefix, grant auth.Grant, log *slog.Logger,
) *session {
	ss := &session{
		server: s, cfg: &s.cfg, metrics: s.metrics, conn: conn, wt: wt, version: v, root: root, grant: grant,
		log:        log.With(slog.String("version", v.String()), slog.String("client", grant.ID)),
		mintedID:   1 + rand.Uint64N(hopIDMask),
		requests:   limit{max: s.cfg.MaxRequests},
		views:      limit{max: s.cfg.MaxSubscriptions},
		publishing: map[wire.Broadcast]*publisher{},
	}
	ss.pulls.init(s.cfg.MaxSubscriptions)
	ss.ctx, ss.cancel = context.WithCancelCause(context.Background())
	ss.outbox = newOutbox(&s.cfg, s.metrics, v, id, conn.OpenUniStream, conn.OpenUniStreamSync)
	return ss
}

// run serves the session until it ends: because of ctx, the client, the token's
// expiry or Drain. It returns when nothing of the session is running any more.
func (ss *session) run(ctx context.Context) {
	ss.log.Info("session began")
	defer context.AfterFunc(ctx, func() {
		ss.end(errGoingAway)
	})()
	//nolint:contextcheck // the connection's own context says why it ended
	defer context.AfterFunc(ss.wt.Context(), func() { ss.end(ss.wtError()) })()
	if !ss.grant.Expires.IsZero() {
		left := ss.grant.Expires.Sub(ss.cfg.Clock())
		expiry := time.AfterFunc(left, func() { ss.end(refuse(wire.CodeUnauthorized, refuseToken, "token expired")) })
		defer expiry.Stop()
	}
	if ss.version == moqlite.Version02 {
		if err := ss.agree(); err != nil { //nolint:contextcheck // it ends with the session
			if _, counted := asRefusal(err); !counted { // below, as the cause
				ss.note(err)
			}
			ss.end(err)
		}
	}
	ss.start(ss.acceptStreams)
	ss.start(ss.acceptUniStreams)
	ss.start(func() { ss.outbox.run(ss.ctx) })
	if ss.version.HasSetup() {
		ss.start(ss.sendSetup)
	}
	if ss.version.HasDatagrams() {
		ss.start(ss.receiveDatagrams)
	}
	if len(ss.grant.Publish) > 0 {
		ss.start(ss.discover)
	}

	<-ss.ctx.Done()
	cause := context.Cause(ss.ctx) //nolint:contextcheck // why the session ended, whatever ctx says
	ss.close(codeOf(cause), cause.Error())
	ss.mu.Lock()
	ss.over = true
	ss.mu.Unlock()
	ss.tasks.Wait()
	if r, ok := asRefusal(cause); ok {
		ss.metrics.refuse(r.reason)
	}
	ss.log.Info("session ended", slog.String("code", codeOf(cause).String()), slog.Any("cause", cause))
}

// start runs f as one of the session's goroutines. False: the session is over.
func (ss *session) start(f func()) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.over || ss.ctx.Err() != nil {
		return false
	}
	ss.tasks.Go(f)
	return true
}

// end ends the session; the first cause counts. It does not wait.
func (ss *session) end(cause error) { ss.cancel(cause) }

// close tells the client that the session is over.
func (ss *session) close(code wire.Code, reason string) {
	ss.cancel(errors.New(reason)) // where it was never run
	// The session is over, whether or not this reaches the client.
	_ = ss.wt.CloseWithError(webtransport.SessionErrorCode(code), reason)
}

// wtError finds out why the WebTransport session ended: the library says it only
// to those who use the session.
func (ss *session) wtError() error {
	_, err := ss.wt.OpenUniStream()
	if _, ok := errors.AsType[*webtransport.SessionError](err); ok {
		return err
	}
	if cause := context.Cause(ss.conn.Context()); cause != nil {
		return cause
	}
	if err == nil {
		return errors.New("closed by the client")
	}
	return err
}

// leftInOrder reports whether cause is that the client closed the session, or
// its connection without an error.
func leftInOrder(cause error) bool {
	var closed *webtransport.SessionError
	var app *quic.ApplicationError
	return errors.As(cause, &closed) && closed.Remote ||
		errors.As(cause, &app) && app.Remote && app.ErrorCode == quic.ApplicationErrorCode(http3.ErrCodeNoError)
}

// absolute turns a name as the client writes it into the broadcast's name.
func (ss *session) absolute(path string) (wire.Broadcast, error) {
	return wire.ParseBroadcast(moqlite.CleanPath(string(ss.root) + "/" + path))
}

// owns reports whether the broadcast with that epoch is the client's own.
func (ss *session) owns(b wire.Broadcast, epoch uint64) bool {
	ss.mu.Lock()
	p := ss.publishing[b]
	ss.mu.Unlock()
	if p == nil {
		return false
	}
	// Not known yet: the broadcast is being announced just now, by us.
	own := p.epoch()
	return own == 0 || own == epoch
}

// trackName checks a track that the client asks for.
func (ss *session) trackName(path, track string) (wire.TrackName, error) {
	b, err := ss.absolute(path)
	if err != nil {
		return wire.TrackName{}, refuse(wire.CodeDecode, refuseName, err.Error())
	}
	if err := wire.CheckTrack(track); err != nil {
		return wire.TrackName{}, refuse(wire.CodeDecode, refuseName, err.Error())
	}
	if ss.currentRole() == moqlite.RolePublisher || !ss.grant.CanSubscribe(b) {
		return wire.TrackName{}, refuse(wire.CodeUnauthorized, refuseScope, "not covered by the token")
	}
	return wire.TrackName{Broadcast: b, Track: track}, nil
}

func (ss *session) currentRole() moqlite.Role {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.role
}

// limit counts things of which a client may have so many at once.
type limit struct {
	max int

	mu sync.Mutex // guards what follows
	n  int
}

func (l *limit) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= l.max {
		return false
	}
	l.n++
	return true
}

func (l *limit) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n--
}
