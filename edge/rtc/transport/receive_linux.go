package transport

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receiver reads packets off one of the host's UDP sockets, without telling the
// scheduler of calls that do not wait: see batchSender. It belongs to one goroutine.
type receiver struct {
	conn syscall.RawConn
	call func(fd uintptr) bool

	// Of the call being made.
	b    []byte
	from unix.RawSockaddrInet6 // or a RawSockaddrInet4
	size uint32
	n    int
	err  error
}

func (r *receiver) open(udp *net.UDPConn) {
	if r.conn, r.err = udp.SyscallConn(); r.err != nil {
		return // read says so
	}
	r.call = func(fd uintptr) bool {
		for {
			r.size = uint32(unsafe.Sizeof(r.from))
			n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(r.b))), uintptr(len(r.b)),
				unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&r.from)), uintptr(unsafe.Pointer(&r.size)))
			switch errno {
			case 0:
				r.n, r.err = int(n), nil
				return true
			case unix.EINTR:
			case unix.EAGAIN:
				return false // the poller says when there is more
			default:
				r.n, r.err = 0, errno
				return true
			}
		}
	}
}

// read waits for a packet.
func (r *receiver) read(b []byte) (int, netip.AddrPort, error) {
	if r.conn == nil {
		return 0, netip.AddrPort{}, r.err
	}
	r.b = b
	err := r.conn.Read(r.call)
	r.b = nil
	if err == nil {
		err = r.err
	}
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	return r.n, r.sender(), nil
}

func (r *receiver) sender() netip.AddrPort {
	if r.from.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&r.from))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), port(&four.Port))
	}
	a := netip.AddrFrom16(r.from.Addr)
	if r.from.Scope_id != 0 {
		a = a.WithZone(strconv.FormatUint(uint64(r.from.Scope_id), 10))
	}
	return netip.AddrPortFrom(a, port(&r.from.Port))
}
