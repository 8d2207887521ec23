package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is an address in the form that the kernel takes: a RawSockaddrInet6, or
// a RawSockaddrInet4, which is smaller.
type sockaddr unix.RawSockaddrInet6

func (s *sockaddr) four() *unix.RawSockaddrInet4 { return (*unix.RawSockaddrInet4)(unsafe.Pointer(s)) }

// put takes over an address for a socket of either family and returns its size.
func (s *sockaddr) put(a *net.UDPAddr, six bool) (size uint32, err error) {
	four := a.IP.To4()
	switch {
	case !six && four == nil:
		return 0, &net.AddrError{Err: "not an IPv4 address, and the socket is one for IPv4", Addr: a.String()}
	case !six:
		to := s.four()
		*to = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte(four)}
		putPort(&to.Port, a.Port)
		return unix.SizeofSockaddrInet4, nil
	}
	*s = sockaddr{Family: unix.AF_INET6, Scope_id: scope(a.Zone)}
	copy(s.Addr[:], a.IP.To16())
	putPort(&s.Port, a.Port)
	return unix.SizeofSockaddrInet6, nil
}

// get returns the address that the kernel wrote.
func (s *sockaddr) get() netip.AddrPort {
	if s.Family == unix.AF_INET {
		from := s.four()
		return netip.AddrPortFrom(netip.AddrFrom4(from.Addr), port(&from.Port))
	}
	a := netip.AddrFrom16(s.Addr)
	if s.Scope_id != 0 {
		a = a.WithZone(strconv.FormatUint(uint64(s.Scope_id), 10))
	}
	return netip.AddrPortFrom(a, port(&s.Port))
}

func putPort(to *uint16, port int) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(to))[:], uint16(port))
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
