package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// ListenerConfig bounds the TCP connections of a node. All fields are required.
type ListenerConfig struct {
	// Max is how many there may be, and MaxPerAddr how many from one address (IPv6:
	// one /64).
	Max, MaxPerAddr int
	// First is how long the first frame may take, and any frame once it has begun.
	First time.Duration
	// Silence is how long a client may send nothing.
	Silence time.Duration
}

// Listener accepts ICE over TCP for the multiplexer, which is given only
// connections whose first frame is a check that proves a session's password: it
// makes a session for whatever name it is told, and waits for ever for the second
// frame.
type Listener struct {
	net.Listener
	demux *Demux
	cfg   ListenerConfig

	ready chan net.Conn
	quit  chan struct{}
	wg    sync.WaitGroup

	mu   sync.Mutex
	open map[*framed]struct{}
	from map[netip.Prefix]int
	err  error // why no more come
}

// NewListener returns a Listener over another, which it closes. Close must be called.
func NewListener(l net.Listener, d *Demux, cfg ListenerConfig) *Listener {
	t := &Listener{
		Listener: l, demux: d, cfg: cfg, ready: make(chan net.Conn), quit: make(chan struct{}),
		open: map[*framed]struct{}{}, from: map[netip.Prefix]int{},
	}
	t.wg.Go(t.run)
	return t
}

// Accept implements net.Listener.
func (t *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-t.ready:
		return c, nil
	case <-t.quit:
		t.mu.Lock()
		defer t.mu.Unlock()
		return nil, t.err
	}
}

// Close implements net.Listener. It also closes the connections that were not
// accepted, and waits for all of it to end.
func (t *Listener) Close() error {
	t.stop(net.ErrClosed)
	err := t.Listener.Close()
	t.wg.Wait()
	return err
}

// stop lets Accept return, and takes back what it has not returned.
func (t *Listener) stop(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return
	}
	t.err = err
	close(t.quit)
	for c := range t.open {
		if !c.accepted {
			_ = c.Conn.Close() // whoever waits for its first frame closes the rest
		}
	}
}

func (t *Listener) run() {
	for {
		conn, err := t.Listener.Accept()
		if err != nil {
			t.stop(err)
			return
		}
		c := &framed{Conn: conn, listener: t, prefix: prefixOf(conn.RemoteAddr())}
		if why := t.place(c); why != NumRefusals {
			t.demux.refused.add(why)
			_ = conn.Close() // nobody hears of it
			continue
		}
		t.wg.Go(func() { t.greet(c) })
	}
}

// prefixOf returns what counts as one address.
func prefixOf(a net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{} // all of these are one
	}
	addr := ap.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // within the length of the address
	return p
}

// place takes a place for a connection, or says why there is none.
func (t *Listener) place(c *framed) Refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil || len(t.open) >= t.cfg.Max:
		return RefusedTCPLimit
	case t.from[c.prefix] >= t.cfg.MaxPerAddr:
		return RefusedTCPAddress
	}
	t.open[c] = struct{}{}
	t.from[c.prefix]++
	return NumRefusals
}

func (t *Listener) leave(c *framed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.open[c]; !ok {
		return
	}
	delete(t.open, c)
	if t.from[c.prefix]--; t.from[c.prefix] == 0 {
		delete(t.from, c.prefix)
	}
}

// greet reads the first frame of a connection, and hands it on if that is a check.
func (t *Listener) greet(c *framed) {
	if err := c.fill(t.cfg.First); err != nil || !t.accept(c) {
		_ = c.Close() // nobody hears of it
		return
	}
	select {
	case t.ready <- c:
	case <-t.quit:
		_ = c.Close() // as above
	}
}

func (t *Listener) accept(c *framed) bool {
	client := t.demux.check(c.frame[frameHeader:], netip.AddrPort{}, time.Now())
	t.mu.Lock()
	defer t.mu.Unlock()
	c.client, c.accepted = client, client != nil && t.err == nil
	return c.accepted
}

// framed is a connection that is read frame by frame (RFC 4571), so that what is
// half a frame, or a flood of checks, ends here.
type framed struct {
	net.Conn
	listener *Listener
	prefix   netip.Prefix
	accepted bool    // guarded by the listener's lock
	client   *Client // set before it is handed on

	frame []byte // read, with its header
	at    int    // of it, what was handed on
	once  sync.Once
}

const frameHeader = 2

var errFrame = errors.New("a frame that is larger than any packet")

// Read implements net.Conn.
func (c *framed) Read(b []byte) (int, error) {
	for c.at == len(c.frame) {
		if err := c.fill(c.listener.cfg.Silence); err != nil {
			return 0, err
		}
		if p := c.frame[frameHeader:]; len(p) > 0 && p[0] < 4 &&
			c.listener.demux.check(p, netip.AddrPort{}, time.Now()) != c.client {
			c.at = len(c.frame) // refused, and counted
		}
	}
	n := copy(b, c.frame[c.at:])
	c.at += n
	return n, nil
}

// fill reads the next frame, whose beginning is waited for.
func (c *framed) fill(wait time.Duration) error {
	if cap(c.frame) == 0 {
		c.frame = make([]byte, 0, frameHeader+receiveMTU)
	}
	c.at, c.frame = 0, c.frame[:frameHeader]
	err := c.read(c.frame[:1], wait)
	if err == nil {
		err = c.read(c.frame[1:], c.listener.cfg.First)
	}
	if err == nil {
		size := int(binary.BigEndian.Uint16(c.frame))
		if size > receiveMTU {
			c.listener.demux.refused.add(RefusedTCPFrame)
			err = errFrame
		} else {
			c.frame = c.frame[:frameHeader+size]
			err = c.read(c.frame[frameHeader:], c.listener.cfg.First)
		}
	}
	if err != nil {
		c.frame = c.frame[:0]
		return fmt.Errorf("read frame: %w", err)
	}
	return nil
}

// read fills b in time.
func (c *framed) read(b []byte, within time.Duration) error {
	if err := c.Conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := io.ReadFull(c.Conn, b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.listener.demux.refused.add(RefusedTCPSilent)
	}
	return err
}

// SetReadDeadline implements net.Conn: the deadlines are ours.
func (c *framed) SetReadDeadline(time.Time) error { return nil }

// Close implements net.Conn, and gives the place back.
func (c *framed) Close() error {
	c.once.Do(func() { c.listener.leave(c) })
	return c.Conn.Close()
}
