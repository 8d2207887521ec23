package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a socket of the host's. Its methods are safe for concurrent use, but for
// ReadBatch and ReadMsgUDP, which belong to one goroutine.
type Conn struct {
	file    *os.File // the socket, which Go's poller does not know
	raw     syscall.RawConn
	bell    *bell
	local   net.Addr
	six     bool // an IPv6 socket
	closed  atomic.Bool
	full    sync.Mutex // of who waits for room in the socket's buffer
	batch   batchReader
	senders sync.Pool // of *Sender
	readers sync.Pool // of *reader
}

// Open takes over the socket of conn, which nobody may be reading from, and closes conn. If it
// fails, conn is as it was.
func Open(conn *net.UDPConn) (*Conn, error) {
	c, err := takeOver(conn)
	if err != nil {
		return nil, fmt.Errorf("UDP socket: %w", err)
	}
	if err := conn.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("UDP socket: %w", err), c.Close())
	}
	return c, nil
}

func takeOver(conn *net.UDPConn) (*Conn, error) {
	c := &Conn{local: conn.LocalAddr()}
	given, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd, domain int
	var optErr error
	if err := given.Control(func(old uintptr) {
		if domain, optErr = unix.GetsockoptInt(int(old), unix.SOL_SOCKET, unix.SO_DOMAIN); optErr != nil {
			return
		}
		// What blocks is not for Go's poller: os.NewFile. No call of ours does.
		if optErr = unix.SetNonblock(int(old), false); optErr == nil {
			fd, optErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
		}
	}); err != nil || optErr != nil {
		return nil, errors.Join(err, optErr)
	}
	c.six = domain == unix.AF_INET6
	c.file = os.NewFile(uintptr(fd), "udp")
	if c.raw, err = c.file.SyscallConn(); err == nil {
		c.bell, err = newBell(fd)
	}
	if err != nil {
		return nil, errors.Join(err, c.file.Close())
	}
	c.batch.init(c)
	c.senders.New = func() any { return c.NewSender() }
	c.readers.New = func() any { return newReader(c) }
	return c, nil
}

// socket calls f with the socket, unless that is closed.
func (c *Conn) socket(f func(fd uintptr)) error {
	if c.raw.Control(f) != nil {
		return net.ErrClosed
	}
	return nil
}

// Close closes the socket. Who reads or writes is told net.ErrClosed.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return c.failed("close", "close", netip.AddrPort{}, net.ErrClosed)
	}
	return errors.Join(c.bell.file.Close(), c.file.Close())
}

// LocalAddr is that of net.UDPConn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// SetReadDeadline is that of net.UDPConn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if err := c.bell.file.SetReadDeadline(t); err != nil {
		return c.failed("set", "deadline", netip.AddrPort{}, err)
	}
	return nil
}

// SetWriteDeadline is an error: a packet is written or lost.
func (c *Conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// SetDeadline is an error, too.
func (c *Conn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SyscallConn gives the socket to those who set its options.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// SetReadBuffer is that of net.UDPConn.
func (c *Conn) SetReadBuffer(bytes int) error { return c.setOption(unix.SO_RCVBUF, bytes) }

// SetWriteBuffer is that of net.UDPConn.
func (c *Conn) SetWriteBuffer(bytes int) error { return c.setOption(unix.SO_SNDBUF, bytes) }

func (c *Conn) setOption(option, value int) error {
	var optErr error
	err := c.socket(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, value) })
	if err = errors.Join(err, os.NewSyscallError("setsockopt", optErr)); err != nil {
		return c.failed("set", "setsockopt", netip.AddrPort{}, err)
	}
	return nil
}

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

// WriteTo implements net.PacketConn.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, c.failed("write", "sendmsg", netip.AddrPort{}, unix.EAFNOSUPPORT)
	}
	return c.WriteToUDPAddrPort(b, u.AddrPort())
}

func (c *Conn) write(b, oob []byte, to netip.AddrPort) error {
	s := c.senders.Get().(*Sender)
	defer c.senders.Put(s)
	if !s.own.put(to, c.six) {
		return c.failed("write", "sendmsg", to, unix.EAFNOSUPPORT)
	}
	for {
		err := s.do(&s.own, b, oob)
		if err == unix.EAGAIN { //nolint:errorlint // it is what the call returned
			err = c.waitForRoom()
			if err == nil {
				continue
			}
		}
		if err != nil {
			return c.failed("write", "sendmsg", to, err)
		}
		return nil
	}
}

// waitForRoom waits until the socket's buffer is less than full. It happens seldom enough for a
// thread, of which there is only one at a time.
func (c *Conn) waitForRoom() error {
	const look = 10 // ms, until it is seen that the socket was closed
	c.full.Lock()
	defer c.full.Unlock()
	for {
		fds := []unix.PollFd{{Events: unix.POLLOUT}}
		var n int
		var pollErr error
		if err := c.socket(func(fd uintptr) {
			fds[0].Fd = int32(fd)
			n, pollErr = unix.Poll(fds, look)
		}); err != nil {
			return err
		}
		switch {
		case pollErr != nil && pollErr != unix.EINTR:
			return pollErr
		case n > 0:
			return nil
		}
	}
}

// TrySend writes a packet, and does not wait: what the kernel has no room for is an error.
func (c *Conn) TrySend(to *Addr, b []byte) error {
	s := c.senders.Get().(*Sender)
	defer c.senders.Put(s)
	return s.do(to, b, nil)
}

// failed puts an error of a call into the form of net's: quic-go learns from it that
// the kernel does not segment.
func (c *Conn) failed(op, call string, to netip.AddrPort, err error) error {
	if c.closed.Load() {
		err = net.ErrClosed
	} else if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // it is what the call returned, or the bell's own
		err = os.NewSyscallError(call, errno)
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
	err := c.socket(func(fd uintptr) { _, optErr = unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT) })
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

// reader makes one call that reads a packet.
type reader struct {
	receiver

	b    []byte
	from sockaddr
	size uint32
}

func newReader(c *Conn) *reader {
	r := &reader{}
	r.init(c, func(fd uintptr) (uintptr, unix.Errno) {
		r.size = uint32(unsafe.Sizeof(r.from))
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(r.b))), uintptr(len(r.b)),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&r.from)), uintptr(unsafe.Pointer(&r.size)))
		return n, errno
	})
	return r
}

// ReadFromUDPAddrPort is that of net.UDPConn.
func (c *Conn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	r := c.readers.Get().(*reader)
	defer c.readers.Put(r)
	r.b = b
	n, err := r.receive()
	r.b = nil
	if err != nil {
		return 0, netip.AddrPort{}, c.failed("read", "recvfrom", netip.AddrPort{}, err)
	}
	return n, r.from.get(), nil
}

// ReadFrom implements net.PacketConn.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}
