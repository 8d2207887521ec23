package impair

import (
	"net"
	"net/netip"
	"sync"
)

// pooledBytes covers every datagram of an ordinary path; larger ones, which
// only loopback carries, are allocated.
const pooledBytes = 2048

// buffer holds a datagram under way. It has one owner, who releases it once.
type buffer struct {
	store [pooledBytes]byte
	large []byte
	n     int
	held  bool
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newBuffer(b []byte) *buffer {
	buf := buffers.Get().(*buffer)
	buf.n, buf.held, buf.large = len(b), true, nil
	if len(b) > pooledBytes {
		buf.large = append([]byte(nil), b...)
	} else {
		copy(buf.store[:], b)
	}
	return buf
}

func (b *buffer) bytes() []byte {
	if b.large != nil {
		return b.large
	}
	return b.store[:b.n]
}

func (b *buffer) release() {
	if !b.held {
		panic("impair: buffer released twice")
	}
	b.held, b.large = false, nil
	buffers.Put(b)
}

// unmapped gives the same address for a client whether the socket is IPv4 or
// takes both families.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// setBuffers asks for buffers that take a key frame's burst. The kernel may
// give less, and then loses more, as the real path would.
func setBuffers(c *net.UDPConn) {
	_ = c.SetReadBuffer(socketBuffers)
	_ = c.SetWriteBuffer(socketBuffers)
}

// closeSocket closes a socket whose only error could be that it is closed.
func closeSocket(c *net.UDPConn) { _ = c.Close() }
