//go:build !linux

package udp

import (
	"net"
	"net/netip"
)

// Conn is a socket of the host's. Its methods are safe for concurrent use.
type Conn struct{ *net.UDPConn }

// Open returns conn, which stays the owner of the socket.
func Open(conn *net.UDPConn) (*Conn, error) { return &Conn{conn}, nil }

// Wrap returns conn as quic-go should have it.
func Wrap(conn *net.UDPConn) (net.PacketConn, error) { return conn, nil }

// Addr is an address in the form that a Sender takes.
type Addr struct{ to netip.AddrPort }

// Addr returns an address in the form that a Sender takes.
func (c *Conn) Addr(to netip.AddrPort) Addr { return Addr{to} }

// TrySend writes a packet.
func (c *Conn) TrySend(to *Addr, b []byte) error {
	_, err := c.WriteToUDPAddrPort(b, to.to)
	return err
}

// Segments reports whether SendSegments works.
func (c *Conn) Segments() bool { return false }

// Unsegmentable tells that segmentation does not work from other errors.
func Unsegmentable(error) bool { return true }

// Sender makes the calls of one goroutine that write to a Conn.
type Sender struct{ conn *Conn }

// NewSender returns a Sender.
func (c *Conn) NewSender() *Sender { return &Sender{c} }

// Send writes one packet.
func (s *Sender) Send(to *Addr, p []byte) error {
	_, err := s.conn.WriteToUDPAddrPort(p, to.to)
	return err
}

// SendSegments is not there: see Conn.Segments.
func (s *Sender) SendSegments(*Addr, []byte, int) error {
	panic("udp: no segmentation on this system")
}
