package udp

import (
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// maxMessages are read in one call, as many as quic-go asks for.
	maxMessages = 8
	// knownAddrs are kept in the form of net's: peers send many packets.
	knownAddrs = 256
)

// mmsghdr is one message of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// batchReader makes one call that reads packets.
type batchReader struct {
	receiver

	msgs  [maxMessages]mmsghdr
	iovs  [maxMessages]unix.Iovec
	froms [maxMessages]sockaddr
	want  int

	// known is looked up by a hash of the address: who has the place of another takes
	// it. The addresses are never changed.
	known [knownAddrs]struct {
		key  netip.AddrPort
		addr *net.UDPAddr
	}
}

func (r *batchReader) init(c *Conn) {
	for i := range r.msgs {
		h := &r.msgs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.froms[i]))
	}
	r.receiver.init(c, func(fd uintptr) (uintptr, unix.Errno) {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(r.want),
			unix.MSG_DONTWAIT, 0, 0)
		return n, errno
	})
}

// ReadBatch waits for packets and reads as many as there are, with the control
// messages that have been asked for, like that of ipv4.PacketConn; a message has one buffer.
// There are no flags.
func (c *Conn) ReadBatch(ms []ipv4.Message, _ int) (int, error) {
	r := &c.batch
	r.want = min(len(ms), maxMessages)
	for i := range r.want {
		h, m := &r.msgs[i].hdr, &ms[i]
		r.iovs[i].Base = unsafe.SliceData(m.Buffers[0])
		r.iovs[i].SetLen(len(m.Buffers[0]))
		h.Namelen = uint32(unsafe.Sizeof(r.froms[i]))
		h.Control = unsafe.SliceData(m.OOB)
		h.SetControllen(len(m.OOB))
	}
	n, err := r.receive()
	if err != nil {
		n = 0
	}
	for i := range n {
		h, m := &r.msgs[i].hdr, &ms[i]
		m.N, m.NN, m.Flags = int(r.msgs[i].len), int(h.Controllen), int(h.Flags)
		m.Addr = r.addr(r.froms[i].get())
	}
	for i := range r.want {
		r.iovs[i].Base, r.msgs[i].hdr.Control = nil, nil // quic-go's again
	}
	if err != nil {
		return 0, c.failed("read", "recvmmsg", netip.AddrPort{}, err)
	}
	return n, nil
}

// ReadMsgUDP is that of net.UDPConn.
func (c *Conn) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	m := []ipv4.Message{{Buffers: [][]byte{b}, OOB: oob}}
	if _, err := c.ReadBatch(m, 0); err != nil {
		return 0, 0, 0, nil, err
	}
	return m[0].N, m[0].NN, m[0].Flags, m[0].Addr.(*net.UDPAddr), nil
}

// addr returns an address in the form of net's.
func (r *batchReader) addr(a netip.AddrPort) *net.UDPAddr {
	b := a.Addr().As16()
	k := &r.known[(uint32(a.Port())*31+uint32(b[15])+uint32(b[14])<<3)%knownAddrs]
	if k.key != a || k.addr == nil {
		k.key, k.addr = a, net.UDPAddrFromAddrPort(a)
	}
	return k.addr
}
