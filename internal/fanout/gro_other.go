//go:build !linux

package fanout

import (
	"errors"
	"net"
)

func withGRO(*net.UDPConn) (net.PacketConn, error) {
	return nil, errors.New("UDP_GRO is there on Linux only")
}
