package moqclient

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
	"github.com/quic-go/webtransport-go"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// ErrClosed is the cause of everything that ended because Close was called.
var ErrClosed = errors.New("session closed")

// requestTimeout bounds the wait for an answer to TRACK and SUBSCRIBE, as in
// other clients.
const requestTimeout = 10 * time.Second

// Session is one connection to a node. All methods are safe for concurrent use.
type Session struct {
	cfg     Config
	wt      *webtransport.Session
	version moqlite.Version
	log     *slog.Logger

	ctx    context.Context // of everything the session runs
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup

	setup    chan struct{} // closed when the peer's SETUP is there, on 05
	draining chan struct{} // closed when the peer said GOAWAY

	publications publications
	receivers    receivers

	mu        sync.Mutex // guards what follows
	peerSetup moqlite.Setup
	setupSeen bool
	goaway    bool
	elsewhere string
	closed    bool
}

func newSession(cfg Config, wt *webtransport.Session, version moqlite.Version) *Session {
	s := &Session{
		cfg:      cfg,
		wt:       wt,
		version:  version,
		log:      cfg.Log.With(slog.String("version", version.String())),
		setup:    make(chan struct{}),
		draining: make(chan struct{}),
	}
	s.publications.init()
	s.receivers.init()
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	context.AfterFunc(wt.Context(), func() { s.cancel(s.wtError()) })
	s.tasks.Go(s.acceptStreams)
	s.tasks.Go(s.acceptUniStreams)
	if version.HasDatagrams() {
		s.tasks.Go(s.receiveDatagrams)
	}
	if version.HasSetup() {
		s.tasks.Go(s.sendSetup)
	}
	return s
}

// wtError finds out why the WebTransport session ended: the library tells only
// those who use it.
func (s *Session) wtError() error {
	_, err := s.wt.OpenUniStream()
	if err == nil {
		return ErrClosed
	}
	return err
}

// Version returns the version that was agreed on.
func (s *Session) Version() moqlite.Version { return s.version }

// Context ends with the session; its cause says why. CodeOf finds the code in
// the cause where the node closed it.
func (s *Session) Context() context.Context { return s.ctx }

// Draining is closed when the node says that it will close the session soon.
func (s *Session) Draining() <-chan struct{} { return s.draining }

// Elsewhere returns the URL that the node named when it said GOAWAY, empty for
// none. It holds the token of the session's own URL.
func (s *Session) Elsewhere() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.elsewhere
}

// HopID returns the hop id that the session was given or has made up.
func (s *Session) HopID() uint64 { return s.cfg.HopID }

// Close ends the session and waits until its goroutines are gone.
func (s *Session) Close() error { return s.CloseWithCode(wire.CodeCancel, "") }

// CloseWithCode is Close with a code and a reason for the node's log.
func (s *Session) CloseWithCode(code wire.Code, reason string) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	var err error
	if first {
		s.cancel(ErrClosed)
		err = closeSession(s.wt, code, reason)
	}
	s.tasks.Wait()
	return err
}

// fail ends the session because of what the peer did.
func (s *Session) fail(err error) {
	code, ok := CodeOf(err)
	if !ok {
		code = wire.CodeProtocol
	}
	s.cancel(err)
	// The session is over either way.
	_ = closeSession(s.wt, code, err.Error())
}

// start runs f as one of the session's goroutines, unless the session is over.
func (s *Session) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ctx.Err() != nil {
		return false
	}
	s.tasks.Go(f)
	return true
}

// open begins a transaction: it opens a stream, writes its type and first
// message and returns it for the answer.
func (s *Session) open(ctx context.Context, t moqlite.StreamType, m moqlite.Message) (*stream, error) {
	wt, err := s.wt.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	st := newStream(wt)
	var first []byte
	if m != nil {
		first = moqlite.AppendStream(nil, t, m, s.version)
	} else {
		first = quicvarint.Append(nil, uint64(t))
	}
	if _, err := st.Write(first); err != nil {
		st.reset(wire.CodeCancel)
		return nil, err
	}
	return st, nil
}

func (s *Session) sendSetup() {
	stream, err := s.wt.OpenUniStreamSync(s.ctx)
	if err != nil {
		return // the session is over
	}
	setup := moqlite.Setup{Origin: s.cfg.HopID}
	if _, err := stream.Write(moqlite.AppendUniStream(nil, moqlite.UniStreamSetup, setup, s.version)); err != nil {
		return
	}
	// What Close reports, the session's context reports as well.
	_ = stream.Close()
}
