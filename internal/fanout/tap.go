package fanout

import (
	"errors"
	"net"
	"net/netip"

	"github.com/pion/ice/v4"
)

// tap is a viewer's socket, as its ICE agent reads from it. Media is taken out where
// it is read: on its way through the agent each packet would wake two goroutines, and
// with hundreds of viewers the load would need more of the machine than the server.
type tap struct {
	net.PacketConn

	udp  *net.UDPConn // the same, without UDP_GRO
	take func(b []byte) bool
}

// tapped opens a socket on loopback, with UDP_GRO or without. What take returns true
// for does not reach the agent.
func tapped(gro bool, take func(b []byte) bool) (ice.UDPMux, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	t := &tap{PacketConn: conn, udp: conn, take: take}
	if gro {
		batched, err := withGRO(conn)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		t.PacketConn, t.udp = batched, nil
	}
	return ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: t}), nil
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (t *tap) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := t.read(b)
		if err != nil || !t.take(b[:n]) {
			return n, from, err
		}
	}
}

func (t *tap) read(b []byte) (int, netip.AddrPort, error) {
	if t.udp != nil {
		return t.udp.ReadFromUDPAddrPort(b)
	}
	n, from, err := t.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	return n, from.(*net.UDPAddr).AddrPort(), nil //nolint:forcetypeassert // a UDP socket's
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (t *tap) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return t.WriteTo(b, net.UDPAddrFromAddrPort(to))
}
