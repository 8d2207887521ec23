//go:build !linux

package udp

import "net"

// Wrap returns conn as quic-go should have it: a *Conn on Linux, itself elsewhere. It
// stays the owner of the socket.
func Wrap(conn *net.UDPConn) (net.PacketConn, error) { return conn, nil }
