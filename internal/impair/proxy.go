package impair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ProxyConfig describes a proxy. A zero field means its default.
type ProxyConfig struct {
	// Listen is where clients send to. Default: a free port of 127.0.0.1.
	Listen netip.AddrPort
	// Target is where the proxy forwards to. Required.
	Target netip.AddrPort
	// Forward is the direction to the target, Back the one from it.
	Forward, Back Config
	// Seed makes loss and jitter repeatable; each direction has its own
	// generator.
	Seed uint64
	// MaxClients bounds the clients at one time; each has a socket of its own
	// towards the target. Default 64.
	MaxClients int
	// IdleTimeout is how long a silent client keeps its socket. Default 2 min.
	IdleTimeout time.Duration
	// Log is told what the proxy cannot do. Default: nobody.
	Log *slog.Logger
	// Watch is told of each datagram from the target. It must be quick and must not
	// keep the payload, and is called from one goroutine at a time. May be nil.
	Watch func(Passage)
}

// Passage is what becomes of one datagram.
type Passage struct {
	At      time.Time // when it came to the path
	Took    time.Duration
	Drop    Drop
	Payload []byte
}

const (
	maxUnderWay   = 1 << 16 // datagrams: 90 MB, a second at 700 Mbit/s
	maxDatagram   = 1 << 16
	socketBuffers = 4 << 20 // asked for; the kernel gives what it allows

	// A datagram due within this time is sent with those that are due now: a
	// wake-up costs more than the precision is worth.
	early = 20 * time.Microsecond
)

// Proxy puts the behaviour of a path between clients and one target, all of
// them real UDP sockets. To its target each client has an address of its own;
// to a client the target has the proxy's address.
type Proxy struct {
	// Fixed at construction.
	cfg   ProxyConfig
	log   *slog.Logger
	front *net.UDPConn
	alarm *alarm

	mu            sync.Mutex
	forward, back *Link
	underWay      Queue[datagram]
	clients       map[netip.AddrPort]*client
	readers       sync.WaitGroup // one for each client
	closed        bool
}

// client is the proxy's side of one client: the socket that speaks to the
// target on its behalf.
type client struct {
	addr   netip.AddrPort
	conn   *net.UDPConn
	active time.Time // guarded by Proxy.mu
}

// datagram is on its way to the target if client is set, else to addr.
type datagram struct {
	buf    *buffer
	client *client
	addr   netip.AddrPort
}

// NewProxy opens the proxy's sockets. Call Run, which closes them, or Close.
func NewProxy(cfg ProxyConfig) (*Proxy, error) {
	if !cfg.Target.IsValid() {
		return nil, errors.New("impair: a proxy needs a target")
	}
	if !cfg.Listen.IsValid() {
		cfg.Listen = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	}
	if cfg.MaxClients == 0 {
		cfg.MaxClients = 64
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 2 * time.Minute
	}
	p := &Proxy{cfg: cfg, log: cfg.Log, clients: make(map[netip.AddrPort]*client)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if p.forward, err = NewLink(cfg.Forward, rand.New(rand.NewPCG(cfg.Seed, 0))); err != nil {
		return nil, err
	}
	if p.back, err = NewLink(cfg.Back, rand.New(rand.NewPCG(cfg.Seed, 1))); err != nil {
		return nil, err
	}
	if p.alarm, err = newAlarm(); err != nil {
		return nil, fmt.Errorf("impair: timer: %w", err)
	}
	if p.front, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(cfg.Listen)); err != nil {
		p.alarm.close()
		return nil, fmt.Errorf("impair: %w", err)
	}
	setBuffers(p.front)
	return p, nil
}

// Addr is where clients send to.
func (p *Proxy) Addr() netip.AddrPort {
	return unmapped(p.front.LocalAddr().(*net.UDPAddr).AddrPort())
}

// SetForward changes the direction to the target, for datagrams to come.
func (p *Proxy) SetForward(cfg Config) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forward.Set(cfg)
}

// SetBack changes the direction from the target, for datagrams to come.
func (p *Proxy) SetBack(cfg Config) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.back.Set(cfg)
}

// Rebind gives every client another address towards the target, with its next
// datagram, as a NAT does that has forgotten its bindings. What is sent to the old
// ones is lost.
func (p *Proxy) Rebind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for addr, c := range p.clients {
		delete(p.clients, addr)
		closeSocket(c.conn)
	}
}

// Counts returns what happened to the datagrams of each direction.
func (p *Proxy) Counts() (forward, back Counts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forward.Counts(), p.back.Counts()
}

// Run carries datagrams until ctx ends, whose cause it returns, and closes the
// proxy. What is under way then is lost.
func (p *Proxy) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.Close() }) // Close cannot fail
	defer stop()
	var running sync.WaitGroup
	running.Go(p.deliver)
	p.readFront()
	_ = p.Close() // where reading ended by itself
	running.Wait()
	p.readers.Wait()
	return context.Cause(ctx)
}

// Close closes the sockets and thereby ends Run.
func (p *Proxy) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.alarm.close()
	for _, c := range p.clients {
		closeSocket(c.conn)
	}
	closeSocket(p.front)
	return nil
}

// readFront takes datagrams from clients until the socket is closed.
func (p *Proxy) readFront() {
	scratch := make([]byte, maxDatagram)
	for {
		n, from, err := p.front.ReadFromUDPAddrPort(scratch)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP answer to something sent earlier; the socket is fine
		}
		p.fromClient(unmapped(from), scratch[:n])
	}
}

func (p *Proxy) fromClient(from netip.AddrPort, b []byte) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clientLocked(from)
	if c == nil {
		p.forward.count(len(b), DropClients)
		return
	}
	c.active = now
	p.sendLocked(p.forward, now, b, datagram{client: c})
}

// clientLocked returns the client of that address, new if need be, or nil if
// there can be no more.
func (p *Proxy) clientLocked(addr netip.AddrPort) *client {
	if c := p.clients[addr]; c != nil {
		return c
	}
	if p.closed || len(p.clients) >= p.cfg.MaxClients {
		return nil
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.cfg.Target))
	if err != nil {
		p.log.Warn("no socket for a client", slog.String("client", addr.String()), slog.Any("err", err))
		return nil
	}
	setBuffers(conn)
	c := &client{addr: addr, conn: conn}
	p.clients[addr] = c
	p.readers.Go(func() { p.readBack(c) })
	return c
}

// readBack takes the target's datagrams to one client, until the client has
// been silent for the idle timeout or the proxy is closed.
func (p *Proxy) readBack(c *client) {
	scratch := make([]byte, maxDatagram)
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(p.cfg.IdleTimeout)); err != nil {
			return // closed
		}
		n, err := c.conn.Read(scratch)
		now := time.Now()
		var timeout net.Error
		switch {
		case err == nil:
			p.fromTarget(c, now, scratch[:n])
		case errors.Is(err, net.ErrClosed):
			return
		case errors.As(err, &timeout) && timeout.Timeout():
			if p.forget(c, now) {
				return
			}
		default: // nobody listens at the target: the client learns by silence
		}
	}
}

func (p *Proxy) fromTarget(c *client, now time.Time, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sendLocked(p.back, now, b, datagram{addr: c.addr})
}

// forget closes the socket of a client that has been silent for too long.
func (p *Proxy) forget(c *client, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[c.addr] != c {
		return true // it has another socket by now
	}
	if now.Sub(c.active) < p.cfg.IdleTimeout {
		return false
	}
	delete(p.clients, c.addr)
	closeSocket(c.conn)
	return true
}

// sendLocked puts a copy of b onto the link.
func (p *Proxy) sendLocked(l *Link, now time.Time, b []byte, d datagram) {
	if p.closed {
		return
	}
	if p.underWay.Len() >= maxUnderWay {
		l.count(len(b), DropQueue)
		return
	}
	at, drop := l.Send(now, len(b))
	if p.cfg.Watch != nil && l == p.back {
		p.cfg.Watch(Passage{now, at.Sub(now), drop, b})
	}
	if drop != DropNone {
		return
	}
	d.buf = newBuffer(b)
	if p.underWay.Push(at, d) {
		p.alarm.set(at)
	}
}

// deliver sends what is due, and sleeps until more is, until the proxy closes.
func (p *Proxy) deliver() {
	var due []datagram
	for p.alarm.wait() {
		due = p.takeDue(due[:0])
		for i, d := range due {
			p.write(d)
			d.buf.release()
			due[i] = datagram{}
		}
	}
}

func (p *Proxy) takeDue(due []datagram) []datagram {
	now := time.Now().Add(early)
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		d, ok := p.underWay.Pop(now)
		if !ok {
			break
		}
		due = append(due, d)
	}
	if next, ok := p.underWay.Next(); ok && !p.closed {
		p.alarm.set(next)
	}
	return due
}

// write sends one datagram. An error is a loss on the path like any other: the
// socket was closed, its buffer is full, or nobody listens at the other end.
func (p *Proxy) write(d datagram) {
	if d.client != nil {
		_, _ = d.client.conn.Write(d.buf.bytes()) // see above
		return
	}
	_, _ = p.front.WriteToUDPAddrPort(d.buf.bytes(), d.addr) // see above
}
