package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// maxStreamBytes bounds what waits for a stream's reader. Streams carry
// signalling; one that holds more has a reader that will never come.
const maxStreamBytes = 16 << 20

var (
	errLinkDown   = errors.New("link is down")
	errNoListener = errors.New("connection refused")
	errFull       = errors.New("the reader is too far behind")
)

// Listener accepts streams at a port of a host, as TCP would.
type Listener struct {
	host    *Host
	port    uint16
	backlog chan *stream

	closing sync.Once
	closed  chan struct{}
}

var _ net.Listener = (*Listener)(nil)

// Listen opens a port for streams; port zero means any free one.
//
// A stream stands for TCP on a good day: its bytes take the link's delay and
// arrive whole and in order; the link's rate and loss do not touch them. When
// the link is down, it breaks at the next write.
func (h *Host) Listen(port uint16) (*Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.closed {
		return nil, net.ErrClosed
	}
	if port == 0 {
		port = h.freePortLocked()
	}
	if h.listeners[port] != nil {
		return nil, fmt.Errorf("%s: tcp port %d is taken", h.name, port)
	}
	l := &Listener{host: h, port: port, backlog: make(chan *stream, 128), closed: make(chan struct{})}
	h.listeners[port] = l
	return l, nil
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case s := <-l.backlog:
		return s, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.host.AddrPort(l.port)) }

// Close implements net.Listener. Streams that nobody accepted are closed.
func (l *Listener) Close() error {
	l.closing.Do(func() {
		close(l.closed)
		l.host.net.mu.Lock()
		delete(l.host.listeners, l.port)
		l.host.net.mu.Unlock()
		for {
			select {
			case s := <-l.backlog:
				_ = s.Close() // cannot fail
			default:
				return
			}
		}
	})
	return nil
}

// DialContext opens a stream to host:port, which takes one round trip. It has
// the signature of net.Dialer's, for http.Transport.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	rtt, err := h.net.roundTrip(h, to.Addr())
	if err != nil {
		return fail(err)
	}
	timer := time.NewTimer(rtt)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
	s, err := h.net.connect(h, to)
	if err != nil {
		return fail(err)
	}
	return s, nil
}

func (n *Network) roundTrip(h *Host, to netip.Addr) (time.Duration, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dst := n.byAddr[to]
	if dst == nil {
		return 0, errNoListener
	}
	there, err := n.delayLocked(h, dst)
	if err != nil {
		return 0, err
	}
	back, err := n.delayLocked(dst, h)
	return there + back, err
}

// connect makes both ends of a stream and gives one to the listener.
func (n *Network) connect(h *Host, to netip.AddrPort) (*stream, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dst := n.byAddr[to.Addr()]
	if dst == nil || dst.listeners[to.Port()] == nil {
		return nil, errNoListener
	}
	l := dst.listeners[to.Port()]
	near := newStream(h, h.AddrPort(h.freePortLocked()), to)
	far := newStream(dst, to, near.local)
	near.peer, far.peer = far, near
	select {
	case l.backlog <- far:
		return near, nil
	default:
		return nil, errNoListener
	}
}

// delayLocked is the time that a stream's bytes take from one host to another.
func (n *Network) delayLocked(from, to *Host) (time.Duration, error) {
	if from == to {
		return 0, nil
	}
	l, err := n.linkLocked(from, to)
	if err != nil {
		return 0, err
	}
	cfg := l.Config()
	if cfg.Down || from.off || to.off {
		return 0, errLinkDown
	}
	return cfg.Delay, nil
}

// stream is one end of a stream.
type stream struct {
	host          *Host
	local, remote netip.AddrPort
	peer          *stream
	deadline      *deadline
	closing       sync.Once
	closed        chan struct{}
	readable      chan struct{} // holds a token when there may be more to read

	lastSent time.Time // arrival of what was written last; guarded by host.net.mu

	mu       sync.Mutex
	received []byte
	end      error // after received: io.EOF, or why there is no more
}

func newStream(h *Host, local, remote netip.AddrPort) *stream {
	return &stream{
		host: h, local: local, remote: remote,
		deadline: newDeadline(),
		closed:   make(chan struct{}),
		readable: make(chan struct{}, 1),
	}
}

// deliver implements receiver; no data is the end.
func (s *stream) deliver(_ netip.AddrPort, data []byte) {
	s.mu.Lock()
	switch {
	case s.end != nil:
	case len(data) == 0:
		s.end = io.EOF
	case len(s.received)+len(data) > maxStreamBytes:
		s.end = errFull
	default:
		s.received = append(s.received, data...)
	}
	s.mu.Unlock()
	select {
	case s.readable <- struct{}{}:
	default:
	}
}

// Read implements net.Conn.
func (s *stream) Read(b []byte) (int, error) {
	for {
		select {
		case <-s.closed:
			return 0, s.opError("read", net.ErrClosed)
		case <-s.deadline.passed():
			return 0, s.opError("read", os.ErrDeadlineExceeded)
		default:
		}
		s.mu.Lock()
		n := copy(b, s.received)
		s.received = s.received[n:]
		end := s.end
		s.mu.Unlock()
		if n > 0 || len(b) == 0 {
			return n, nil
		}
		if end != nil {
			return 0, end
		}
		select {
		case <-s.readable:
		case <-s.closed:
		case <-s.deadline.passed():
		}
	}
}

// Write implements net.Conn. It does not wait for the reader.
func (s *stream) Write(b []byte) (int, error) {
	select {
	case <-s.closed:
		return 0, s.opError("write", net.ErrClosed)
	default:
	}
	if len(b) == 0 {
		return 0, nil
	}
	if err := s.send(append([]byte(nil), b...)); err != nil {
		return 0, s.opError("write", err)
	}
	return len(b), nil
}

func (s *stream) send(data []byte) error {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return net.ErrClosed
	}
	delay, err := n.delayLocked(s.host, s.peer.host)
	if err != nil && len(data) > 0 {
		return err // the end comes through: no stream waits for a timeout of TCP's
	}
	at := time.Now().Add(delay)
	if at.Before(s.lastSent) { // the delay became less: keep the order
		at = s.lastSent
	}
	s.lastSent = at
	n.pushLocked(at, delivery{to: s.peer, from: s.local, data: data})
	return nil
}

// Close implements net.Conn. The other end reads what was written, then the end.
func (s *stream) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.deadline.set(time.Time{})
		if err := s.send(nil); err != nil {
			s.peer.deliver(s.local, nil) // the network is closed
		}
	})
	return nil
}

func (s *stream) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// LocalAddr implements net.Conn.
func (s *stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(s.local) }

// RemoteAddr implements net.Conn.
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// SetDeadline implements net.Conn. Writes never wait.
func (s *stream) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.deadline.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn. Writes never wait.
func (s *stream) SetWriteDeadline(time.Time) error { return nil }
