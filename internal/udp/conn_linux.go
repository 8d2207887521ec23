package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a socket of the host's. Its methods are safe for concurrent use, but for
// ReadBatch, which belongs to one goroutine.
type Conn struct {
	*net.UDPConn
	raw     syscall.RawConn
	six     bool // an IPv6 socket
	batch   batchReader
	senders sync.Pool // of *Sender
	readers sync.Pool // of *reader
}

// Open returns conn with other calls below. conn stays the owner of the socket.
func Open(conn *net.UDPConn) (*Conn, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("UDP socket: %w", err)
	}
	var domain int
	var optErr error
	err = raw.Control(func(fd uintptr) { domain, optErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN) })
	if err = errors.Join(err, optErr); err != nil {
		return nil, fmt.Errorf("UDP socket: %w", err)
	}
	c := &Conn{UDPConn: conn, raw: raw, six: domain == unix.AF_INET6}
	c.batch.init()
	c.senders.New = func() any { return c.NewSender() }
	c.readers.New = func() any { return newReader() }
	return c, nil
}

// Wrap returns conn as quic-go should have it: it reads batches and writes packets
// with their control messages, since there are ReadBatch and WriteMsgUDP.
func Wrap(conn *net.UDPConn) (net.PacketConn, error) { return Open(conn) }

// Addr returns an address in the form that the kernel takes it in. One that the socket cannot
// reach makes an Addr that the kernel refuses.
func (c *Conn) Addr(to netip.AddrPort) (a Addr) {
	a.put(to, c.six)
	return a
}

// WriteMsgUDP is that of net.UDPConn: it waits while the socket's buffer is full.
func (c *Conn) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	if err := c.write(b, oob, to.AddrPort()); err != nil {
		return 0, 0, err
	}
	return len(b), len(oob), nil
}

// WriteToUDPAddrPort is that of net.UDPConn.
func (c *Conn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if err := c.write(b, nil, to); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *Conn) write(b, oob []byte, to netip.AddrPort) error {
	s := c.senders.Get().(*Sender)
	defer c.senders.Put(s)
	if !s.own.put(to, c.six) {
		return c.failed("write", "sendmsg", to, unix.EAFNOSUPPORT)
	}
	s.waits = true
	if err := s.do(&s.own, b, oob); err != nil {
		return c.failed("write", "sendmsg", to, err)
	}
	return nil
}

// TrySend writes a packet, and does not wait: what the kernel has no room for is an error.
func (c *Conn) TrySend(to *Addr, b []byte) error {
	s := c.senders.Get().(*Sender)
	defer c.senders.Put(s)
	s.waits = false
	return s.do(to, b, nil)
}

// failed puts an error of a call into the form of net's: quic-go learns from it that
// the kernel does not segment.
func (c *Conn) failed(op, call string, to netip.AddrPort, err error) error {
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // it is what the call returned, or RawConn's own
		err = os.NewSyscallError(call, errno)
	} else if already, ok := err.(*net.OpError); ok { //nolint:errorlint // as above
		err = already.Err
	}
	e := &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Err: err}
	if to.IsValid() {
		e.Addr = net.UDPAddrFromAddrPort(to)
	}
	return e
}

// Segments reports whether the kernel knows UDP_SEGMENT (Linux 4.18).
func (c *Conn) Segments() bool {
	var optErr error
	err := c.raw.Control(func(fd uintptr) { _, optErr = unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT) })
	return err == nil && optErr == nil
}

// Unsegmentable tells that segmentation does not work from other errors: EIO is what
// a device without checksum offload makes of it, EINVAL an old kernel.
func Unsegmentable(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EOPNOTSUPP)
}

// errnoOf is nil for zero, so that no call allocates its error.
func errnoOf(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// recv makes one call that reads, again where a signal came between. done is false
// where there is nothing: the poller says when there is.
func recv(call func() (uintptr, unix.Errno)) (n int, err error, done bool) { //nolint:revive // err is the call's, and done says whether it counts
	for {
		switch n, errno := call(); errno {
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil, false
		default:
			return int(n), errnoOf(errno), true
		}
	}
}

// reader makes one call that reads a packet. Its function value is made once, so that
// a call allocates nothing.
type reader struct {
	b    []byte
	from sockaddr
	size uint32
	n    int
	err  error
	call func(fd uintptr) bool
}

func newReader() *reader {
	r := &reader{}
	r.call = func(fd uintptr) (done bool) {
		r.n, r.err, done = recv(func() (uintptr, unix.Errno) {
			r.size = uint32(unsafe.Sizeof(r.from))
			n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(r.b))), uintptr(len(r.b)),
				unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&r.from)), uintptr(unsafe.Pointer(&r.size)))
			return n, errno
		})
		return done
	}
	return r
}

// ReadFromUDPAddrPort is that of net.UDPConn.
func (c *Conn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	r := c.readers.Get().(*reader)
	defer c.readers.Put(r)
	r.b = b
	err := c.raw.Read(r.call)
	r.b = nil
	if err == nil {
		err = r.err
	}
	if err != nil {
		return 0, netip.AddrPort{}, c.failed("read", "recvfrom", netip.AddrPort{}, err)
	}
	return r.n, r.from.get(), nil
}
