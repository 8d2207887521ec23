package sim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v4"
)

// socketQueue is how many datagrams wait in a socket for their reader, as 5 MB
// of receive buffer would hold; more are dropped and counted.
const socketQueue = 4096

// Conn is a UDP socket of a simulated host. It serves quic-go as a
// net.PacketConn and pion as a transport.UDPConn.
type Conn struct {
	host   *Host
	port   uint16
	remote netip.AddrPort // of a connected socket

	incoming chan datagram
	overflow atomic.Uint64
	off      atomic.Bool // the host is without power

	holdMu sync.Mutex
	frozen bool
	held   []datagram // came while frozen

	deadline *deadline

	closing sync.Once
	closed  chan struct{}
}

var (
	_ net.PacketConn    = (*Conn)(nil)
	_ transport.UDPConn = (*Conn)(nil)
)

var errNotConnected = errors.New("socket has no remote address")

type datagram struct {
	from netip.AddrPort
	data []byte
}

func newConn(h *Host, port uint16, remote netip.AddrPort) *Conn {
	return &Conn{
		host:     h,
		port:     port,
		remote:   remote,
		incoming: make(chan datagram, socketQueue),
		deadline: newDeadline(),
		closed:   make(chan struct{}),
	}
}

// Overflow returns how many datagrams were dropped because the reader was slow.
func (c *Conn) Overflow() uint64 { return c.overflow.Load() }

// deliver implements receiver.
func (c *Conn) deliver(from netip.AddrPort, data []byte) {
	if c.remote.IsValid() && from != c.remote || c.off.Load() {
		return
	}
	c.holdMu.Lock()
	defer c.holdMu.Unlock()
	if c.frozen {
		if len(c.held) < socketQueue {
			c.held = append(c.held, datagram{from, data})
		} else {
			c.overflow.Add(1)
		}
		return
	}
	c.put(datagram{from, data})
}

func (c *Conn) put(d datagram) {
	select {
	case c.incoming <- d:
	default:
		c.overflow.Add(1)
	}
}

// setFrozen holds back what comes, or lets it in.
func (c *Conn) setFrozen(frozen bool) {
	c.holdMu.Lock()
	defer c.holdMu.Unlock()
	c.frozen = frozen
	for _, d := range c.held {
		c.put(d)
	}
	c.held = nil
}

func (c *Conn) read(b []byte) (int, netip.AddrPort, error) {
	select { // a deadline that has passed comes first, as with real sockets
	case <-c.closed:
		return 0, netip.AddrPort{}, c.opError("read", net.ErrClosed)
	case <-c.deadline.passed():
		return 0, netip.AddrPort{}, c.opError("read", os.ErrDeadlineExceeded)
	default:
	}
	select {
	case d := <-c.incoming:
		return copy(b, d.data), d.from, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, c.opError("read", net.ErrClosed)
	case <-c.deadline.passed():
		return 0, netip.AddrPort{}, c.opError("read", os.ErrDeadlineExceeded)
	}
}

func (c *Conn) write(b []byte, to netip.AddrPort) (int, error) {
	select {
	case <-c.closed:
		return 0, c.opError("write", net.ErrClosed)
	default:
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if err := c.host.net.sendDatagram(c.host, c.host.AddrPort(c.port), to, b); err != nil {
		return 0, c.opError("write", err)
	}
	return len(b), nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Addr: c.LocalAddr(), Err: err}
}

// ReadFrom implements net.PacketConn.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.read(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDP is ReadFrom with the address's own type.
func (c *Conn) ReadFromUDP(b []byte) (int, *net.UDPAddr, error) {
	n, from, err := c.read(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without an allocation.
func (c *Conn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) { return c.read(b) }

// ReadMsgUDP is ReadFromUDP; there is never out-of-band data.
func (c *Conn) ReadMsgUDP(b, _ []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	n, addr, err = c.ReadFromUDP(b)
	return n, 0, 0, addr, err
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	n, _, err := c.read(b)
	return n, err
}

// WriteTo implements net.PacketConn. It never blocks: what does not fit into
// the link's queue is lost.
func (c *Conn) WriteTo(b []byte, addr net.Addr) (int, error) {
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, c.opError("write", fmt.Errorf("%T is not a UDP address", addr))
	}
	return c.write(b, udp.AddrPort())
}

// WriteToUDP is WriteTo with the address's own type.
func (c *Conn) WriteToUDP(b []byte, addr *net.UDPAddr) (int, error) {
	return c.write(b, addr.AddrPort())
}

// WriteToUDPAddrPort is WriteTo with a netip address.
func (c *Conn) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	return c.write(b, addr)
}

// WriteMsgUDP is WriteToUDP, or Write where addr is nil.
func (c *Conn) WriteMsgUDP(b, _ []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if addr == nil {
		n, err = c.Write(b)
	} else {
		n, err = c.WriteToUDP(b, addr)
	}
	return n, 0, err
}

// Write implements net.Conn for a socket that was dialled.
func (c *Conn) Write(b []byte) (int, error) {
	if !c.remote.IsValid() {
		return 0, c.opError("write", errNotConnected)
	}
	return c.write(b, c.remote)
}

// Close implements net.PacketConn.
func (c *Conn) Close() error {
	err := c.opError("close", net.ErrClosed)
	c.closing.Do(func() {
		close(c.closed)
		c.host.forget(c)
		c.deadline.set(time.Time{})
		err = nil
	})
	return err
}

// LocalAddr implements net.PacketConn.
func (c *Conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.host.AddrPort(c.port)) }

// RemoteAddr returns the address that a connected socket speaks to, else nil.
func (c *Conn) RemoteAddr() net.Addr {
	if !c.remote.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(c.remote)
}

// SetDeadline implements net.PacketConn. Writes never wait.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadline.set(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writes never wait.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer accepts any size; the socket's is fixed.
func (c *Conn) SetReadBuffer(int) error { return nil }

// SetWriteBuffer accepts any size; writes do not wait in the socket.
func (c *Conn) SetWriteBuffer(int) error { return nil }
