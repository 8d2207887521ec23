package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Addr is an address in the form that the kernel takes it in for one socket. Make it
// with Conn.Addr.
type Addr struct {
	raw  sockaddr
	size uint32
}

// sockaddr is a RawSockaddrInet6, or a RawSockaddrInet4, which is smaller.
type sockaddr unix.RawSockaddrInet6

func (s *sockaddr) four() *unix.RawSockaddrInet4 { return (*unix.RawSockaddrInet4)(unsafe.Pointer(s)) }

// put takes over an address. An IPv6 socket takes IPv4 addresses in mapped form; ok
// is false for an IPv6 address on an IPv4 socket.
func (a *Addr) put(to netip.AddrPort, six bool) (ok bool) {
	addr := to.Addr()
	if !six {
		if addr = addr.Unmap(); !addr.Is4() {
			return false
		}
		four := a.raw.four()
		*four = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: addr.As4()}
		putPort(&four.Port, to.Port())
		a.size = unix.SizeofSockaddrInet4
		return true
	}
	a.raw = sockaddr{Family: unix.AF_INET6, Addr: addr.As16(), Scope_id: scope(addr.Zone())}
	putPort(&a.raw.Port, to.Port())
	a.size = unix.SizeofSockaddrInet6
	return true
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
