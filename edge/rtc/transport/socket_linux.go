package transport

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is an address in the form that the kernel takes, made once per path.
type sockaddr struct {
	raw  unix.RawSockaddrInet6 // or a RawSockaddrInet4, which is smaller
	size uint32
}

// rawSocket is the UDP socket, if it is one of the host's.
type rawSocket struct {
	conn syscall.RawConn // nil: not one of the host's
	pc   net.PacketConn
	six  bool // an IPv6 socket, which takes IPv4 addresses in mapped form
}

func (r *rawSocket) open(pc net.PacketConn) error {
	r.pc = pc
	udp, ok := pc.(*net.UDPConn)
	if !ok {
		return nil
	}
	conn, err := udp.SyscallConn()
	if err != nil {
		return err
	}
	var domain int
	var sockErr error
	err = conn.Control(func(fd uintptr) { domain, sockErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN) })
	if err = errors.Join(err, sockErr); err != nil {
		return err
	}
	r.conn, r.six = conn, domain == unix.AF_INET6
	return nil
}

// batches reports whether the kernel knows UDP_SEGMENT (Linux 4.18).
func (r *rawSocket) batches() bool {
	if r.conn == nil {
		return false
	}
	var sockErr error
	err := r.conn.Control(func(fd uintptr) { _, sockErr = unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT) })
	return err == nil && sockErr == nil
}

func (r *rawSocket) sockaddr(a netip.AddrPort) (s sockaddr) {
	if !r.six && a.Addr().Is4() {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		four.Family, four.Addr = unix.AF_INET, a.Addr().As4()
		putPort(&four.Port, a.Port())
		s.size = unix.SizeofSockaddrInet4
		return s
	}
	s.raw.Family, s.raw.Addr = unix.AF_INET6, a.Addr().As16()
	putPort(&s.raw.Port, a.Port())
	s.raw.Scope_id = scope(a.Addr().Zone())
	s.size = unix.SizeofSockaddrInet6
	return s
}

// putPort writes a port in network order.
func putPort(to *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(to))[:], port)
}

func port(from *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(from))[:]) }

// scope returns the index of the interface that a link-local address belongs to:
// RFC 4007, Section 11.2. Zero is the kernel's choice.
func scope(zone string) uint32 {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil || zone == "" {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// batchSender makes the calls of one batch. Its function values are made once, so
// that a call allocates nothing.
//
// The calls never wait for room, so the scheduler is not told of them: a call that
// it knows of wakes its monitor thread, which then looks every 20 us whether the
// call is stuck, and that costs more than all that a lane does.
type batchSender struct {
	raw  *rawSocket
	call func(fd uintptr) bool

	// Of the call being made.
	msg unix.Msghdr
	iov unix.Iovec
	err error

	control [64]byte
}

func (s *batchSender) init(raw *rawSocket) {
	s.raw = raw
	s.msg.Iov = &s.iov
	s.msg.SetIovlen(1)
	s.call = func(fd uintptr) bool {
		s.err = nil
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&s.msg)), unix.MSG_DONTWAIT)
		if errno != 0 {
			s.err = errno
		}
		return true // never wait for room
	}
}

// segments sends p as packets of size bytes each, the last one perhaps shorter.
func (s *batchSender) segments(d *dest, p []byte, size int) error {
	// One control message: struct cmsghdr, then a 16-bit segment size (udp(7)).
	h := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(s.control[unix.CmsgLen(0):], uint16(size))
	s.msg.Control = &s.control[0]
	s.msg.SetControllen(unix.CmsgSpace(2))
	return s.do(d, p)
}

// one sends one packet.
func (s *batchSender) one(d *dest, p []byte) error {
	if s.raw.conn == nil {
		_, err := s.raw.pc.WriteTo(p, net.UDPAddrFromAddrPort(d.addr))
		return err
	}
	s.msg.Control = nil
	s.msg.SetControllen(0)
	return s.do(d, p)
}

func (s *batchSender) do(d *dest, p []byte) error {
	s.msg.Name, s.msg.Namelen = (*byte)(unsafe.Pointer(&d.sock.raw)), d.sock.size
	s.iov.Base = unsafe.SliceData(p)
	s.iov.SetLen(len(p))
	err := s.raw.conn.Write(s.call)
	if err == nil {
		err = s.err
	}
	s.msg.Name, s.iov.Base = nil, nil
	return err
}

// unsupported tells that segmentation does not work from other errors: EIO is
// what a device without checksum offload makes of it, EINVAL an old kernel.
func unsupported(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EOPNOTSUPP)
}

func errAttr(err error) slog.Attr { return slog.Any("err", err) }
