package sim

import (
	"fmt"
	"net"
	"net/netip"
)

// Host is a machine on a simulated network, with one address.
type Host struct {
	net    *Network
	name   string
	number uint32
	addr   netip.Addr

	// Guarded by net.mu.
	sockets   map[uint16]*Conn
	listeners map[uint16]*Listener
	nextPort  uint16
	off       bool // without power
	frozen    bool
	held      []heldDelivery // sent while frozen
}

// firstPort is where ports that nobody asked for begin, as RFC 6335 has it.
const firstPort = 49152

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Addr returns the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// AddrPort returns the host's address with a port.
func (h *Host) AddrPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(h.addr, port) }

// ListenUDP opens a UDP socket; port zero means any free one.
func (h *Host) ListenUDP(port uint16) (*Conn, error) {
	return h.openUDP(port, netip.AddrPort{})
}

// openUDP opens a socket that, given a remote address, speaks to that one only.
func (h *Host) openUDP(port uint16, remote netip.AddrPort) (*Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.closed {
		return nil, net.ErrClosed
	}
	if port == 0 {
		port = h.freePortLocked()
	}
	if h.sockets[port] != nil {
		return nil, fmt.Errorf("%s: udp port %d is taken", h.name, port)
	}
	c := newConn(h, port, remote)
	c.off.Store(h.off)
	h.sockets[port] = c
	return c, nil
}

func (h *Host) freePortLocked() uint16 {
	for {
		port := h.nextPort
		h.nextPort++
		if h.nextPort < firstPort { // wrapped
			h.nextPort = firstPort
		}
		if h.sockets[port] == nil && h.listeners[port] == nil {
			return port
		}
	}
}

func (h *Host) forget(c *Conn) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.sockets[c.port] == c {
		delete(h.sockets, c.port)
	}
}
