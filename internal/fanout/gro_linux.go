package fanout

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// groConn is a UDP socket to which the kernel gives datagrams of one sender
// together (udp(7), UDP_GRO), as it does to browsers on fast networks.
type groConn struct {
	*net.UDPConn

	buf     []byte
	oob     []byte
	pending []byte // what is left of the last read
	size    int    // of each datagram in it
	from    net.Addr
}

const groBuffer = 1 << 16

// withGRO turns on UDP_GRO. The connection is read by one goroutine.
func withGRO(conn *net.UDPConn) (net.PacketConn, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) }); err != nil {
		return nil, err
	}
	return &groConn{UDPConn: conn, buf: make([]byte, groBuffer), oob: make([]byte, unix.CmsgSpace(4))}, set
}

// ReadFrom implements net.PacketConn.
func (c *groConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for len(c.pending) == 0 {
		n, oobn, _, from, err := c.ReadMsgUDP(c.buf, c.oob)
		if err != nil {
			return 0, nil, err
		}
		c.pending, c.size, c.from = c.buf[:n], n, from
		messages, err := unix.ParseSocketControlMessage(c.oob[:oobn])
		if err != nil {
			return 0, nil, err
		}
		for _, m := range messages {
			if m.Header.Level == unix.IPPROTO_UDP && m.Header.Type == unix.UDP_GRO && len(m.Data) >= 4 {
				c.size = int(binary.NativeEndian.Uint32(m.Data))
			}
		}
	}
	n := copy(b, c.pending[:min(c.size, len(c.pending))])
	c.pending = c.pending[min(c.size, len(c.pending)):]
	return n, c.from, nil
}
