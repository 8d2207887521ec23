package udp

import (
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a socket of the host's. quic-go reads it in batches and writes packets with
// their control messages, since it has ReadBatch and WriteMsgUDP. ReadBatch belongs
// to one goroutine; the other methods are safe for concurrent use.
type Conn struct {
	*net.UDPConn
	raw   syscall.RawConn
	six   bool // takes IPv4 addresses in mapped form
	in    reader
	calls sync.Pool // of *writer
}

// Wrap returns conn as quic-go should have it: a *Conn on Linux, itself elsewhere. It
// stays the owner of the socket.
func Wrap(conn *net.UDPConn) (net.PacketConn, error) { return wrap(conn) }

func wrap(conn *net.UDPConn) (*Conn, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var domain int
	var optErr error
	err = raw.Control(func(fd uintptr) { domain, optErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN) })
	if err == nil {
		err = optErr
	}
	if err != nil {
		return nil, err
	}
	c := &Conn{UDPConn: conn, raw: raw, six: domain == unix.AF_INET6}
	c.in.init()
	c.calls.New = func() any { return newWriter() }
	return c, nil
}

// writer makes one call to write. Its function value is made once, so that a call allocates
// nothing.
type writer struct {
	msg  unix.Msghdr
	iov  unix.Iovec
	to   sockaddr
	n    int
	err  error
	call func(fd uintptr) bool
}

func newWriter() *writer {
	w := &writer{}
	w.msg.Iov = &w.iov
	w.msg.SetIovlen(1)
	w.call = func(fd uintptr) bool {
		for {
			n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&w.msg)), unix.MSG_DONTWAIT)
			switch errno {
			case 0:
				w.n, w.err = int(n), nil
				return true
			case unix.EINTR:
			case unix.EAGAIN:
				return false // the poller says when there is room
			default:
				w.n, w.err = 0, errno
				return true
			}
		}
	}
	return w
}

// WriteMsgUDP is that of net.UDPConn: it waits while the socket's buffer is full.
func (c *Conn) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	w := c.calls.Get().(*writer)
	size, err := w.to.put(to, c.six)
	if err != nil {
		c.calls.Put(w)
		return 0, 0, c.failed("write", "sendmsg", to, err)
	}
	w.msg.Name, w.msg.Namelen = (*byte)(unsafe.Pointer(&w.to)), size
	w.iov.Base = unsafe.SliceData(b)
	w.iov.SetLen(len(b))
	w.msg.Control = nil
	if len(oob) > 0 {
		w.msg.Control = unsafe.SliceData(oob)
	}
	w.msg.SetControllen(len(oob))
	err = c.raw.Write(w.call)
	if err == nil {
		err = w.err
	}
	if err != nil {
		err = c.failed("write", "sendmsg", to, err)
	}
	n = w.n
	w.msg.Name, w.msg.Control, w.iov.Base, w.n, w.err = nil, nil, nil, 0, nil
	c.calls.Put(w)
	if err != nil {
		return 0, 0, err
	}
	return n, len(oob), nil
}

// failed puts an error of a call into the form of net's: quic-go learns from it that
// the kernel does not segment.
func (c *Conn) failed(op, call string, to *net.UDPAddr, err error) error {
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // it is what the call returned, or RawConn's own
		err = os.NewSyscallError(call, errno)
	} else if already, ok := err.(*net.OpError); ok { //nolint:errorlint // as above
		err = already.Err
	}
	e := &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Err: err}
	if to != nil {
		e.Addr = to
	}
	return e
}
