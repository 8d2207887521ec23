package transport

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is an address in the form that the kernel takes, made once per path.
type sockaddr = unix.Sockaddr

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

func (r *rawSocket) sockaddr(a netip.AddrPort) sockaddr {
	if !r.six && a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// batchSender makes the calls of one batch. Its function values are made once, so
// that a call allocates nothing.
type batchSender struct {
	raw  *rawSocket
	call func(fd uintptr) bool

	// Of the call being made.
	p   []byte
	oob []byte
	to  sockaddr
	err error

	control [64]byte
}

func (s *batchSender) init(raw *rawSocket) {
	s.raw = raw
	s.call = func(fd uintptr) bool {
		_, s.err = unix.SendmsgN(int(fd), s.p, s.oob, s.to, unix.MSG_DONTWAIT)
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
	s.oob = s.control[:unix.CmsgSpace(2)]
	return s.do(d, p)
}

// one sends one packet.
func (s *batchSender) one(d *dest, p []byte) error {
	if s.raw.conn == nil {
		_, err := s.raw.pc.WriteTo(p, net.UDPAddrFromAddrPort(d.addr))
		return err
	}
	s.oob = nil
	return s.do(d, p)
}

func (s *batchSender) do(d *dest, p []byte) error {
	s.p, s.to = p, d.sock
	err := s.raw.conn.Write(s.call)
	if err == nil {
		err = s.err
	}
	s.p, s.to, s.err = nil, nil, nil
	return err
}

// unsupported tells that segmentation does not work from other errors: EIO is
// what a device without checksum offload makes of it, EINVAL an old kernel.
func unsupported(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EOPNOTSUPP)
}

func errAttr(err error) slog.Attr { return slog.Any("err", err) }
