//go:build !linux

package transport

import (
	"net"
	"net/netip"
)

// receiver reads packets off one of the host's UDP sockets.
type receiver struct{ udp *net.UDPConn }

func (r *receiver) open(udp *net.UDPConn) { r.udp = udp }

func (r *receiver) read(b []byte) (int, netip.AddrPort, error) { return r.udp.ReadFromUDPAddrPort(b) }
