package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
)

// Demux is the node's UDP socket, as the ICE multiplexer reads from it: what comes
// from a viewer and is not STUN never reaches the multiplexer, but goes straight to
// its Conn. A multiplexed packet would wake three goroutines on its way, and viewers
// send feedback all the time.
//
// A source address is a Conn's once a STUN message from there has named it, which
// is what the multiplexer goes by too. Nothing more is believed of it: DTLS and
// SRTCP prove themselves.
type Demux struct {
	net.PacketConn

	udp *net.UDPConn // the same, where it is one of the host's

	mu     sync.RWMutex
	ufrags map[string]*Conn
	paths  map[netip.AddrPort]*Conn
}

// NewDemux returns a Demux that reads from a socket, and closes it in the end.
func NewDemux(conn net.PacketConn) *Demux {
	d := &Demux{PacketConn: conn, ufrags: map[string]*Conn{}, paths: map[netip.AddrPort]*Conn{}}
	d.udp, _ = conn.(*net.UDPConn)
	return d
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter: it returns the next packet
// that is none of a Conn's.
func (d *Demux) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := d.read(b)
		if err != nil || !d.take(b[:n], from) {
			return n, from, err
		}
	}
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (d *Demux) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if d.udp != nil {
		return d.udp.WriteToUDPAddrPort(b, to)
	}
	return d.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

func (d *Demux) read(b []byte) (int, netip.AddrPort, error) {
	if d.udp != nil {
		return d.udp.ReadFromUDPAddrPort(b)
	}
	n, from, err := d.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	addr, ok := from.(*net.UDPAddr)
	if !ok {
		return n, netip.AddrPort{}, errNotUDP
	}
	return n, addr.AddrPort(), nil
}

var errNotUDP = errors.New("a packet that came from no UDP address")

// take gives a packet to its Conn. False: there is none, or it is the agent's.
func (d *Demux) take(b []byte, from netip.AddrPort) bool {
	if len(b) == 0 {
		return false
	}
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	d.mu.RLock()
	c := d.paths[from]
	d.mu.RUnlock()
	stun := b[0] < 4 // RFC 7983, Section 7
	if c == nil {
		if stun {
			d.learn(b, from)
		}
		return false
	}
	c.heard()
	if stun {
		return false
	}
	c.receive(b)
	return true
}

// learn remembers the source of a STUN message that names one of our Conns.
func (d *Demux) learn(b []byte, from netip.AddrPort) {
	ufrag, ok := stunUfrag(b)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.ufrags[string(ufrag)]
	if c == nil {
		return
	}
	// The oldest gives way: it is the one that the client has most likely left.
	if len(c.paths) == maxPaths {
		delete(d.paths, c.paths[0])
		c.paths = append(c.paths[:0], c.paths[1:]...)
	}
	c.paths = append(c.paths, from)
	d.paths[from] = c
}

// maxPaths bounds the addresses that a client can be heard from: one for each of its
// candidates, and those that its NATs make of them.
const maxPaths = 16

// register makes a Conn known by its local ufrag, in place of the one before.
func (d *Demux) register(c *Conn, ufrag string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ufrags, c.ufrag)
	c.ufrag = ufrag
	d.ufrags[ufrag] = c
}

// forget ends a Conn's part in it.
func (d *Demux) forget(c *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ufrags, c.ufrag)
	for _, p := range c.paths {
		delete(d.paths, p)
	}
	c.ufrag, c.paths = "", nil
}

const (
	stunHeader   = 20         // RFC 8489, Section 5
	stunCookie   = 0x2112A442 // of the same
	stunUsername = 0x0006     // Section 14.3
)

// stunUfrag returns the ufrag of ours that a STUN message names, before the colon
// of its USERNAME (RFC 8445, Section 7.2.2).
func stunUfrag(b []byte) ([]byte, bool) {
	if len(b) < stunHeader || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return nil, false
	}
	b = b[stunHeader:]
	for len(b) >= 4 {
		kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[4:]
		if len(b) < size {
			return nil, false
		}
		if kind == stunUsername {
			ufrag, _, found := bytes.Cut(b[:size], []byte{':'})
			return ufrag, found
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil, false
}
