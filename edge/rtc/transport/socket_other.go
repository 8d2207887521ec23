//go:build !linux

package transport

import (
	"log/slog"
	"net"
	"net/netip"
)

// sockaddr is not needed where there are no batches.
type sockaddr = struct{}

// rawSocket sends packet by packet.
type rawSocket struct{ pc net.PacketConn }

func (r *rawSocket) open(pc net.PacketConn) error {
	r.pc = pc
	return nil
}

func (r *rawSocket) batches() bool { return false }

func (r *rawSocket) sockaddr(netip.AddrPort) sockaddr { return sockaddr{} }

type batchSender struct{ raw *rawSocket }

func (s *batchSender) init(raw *rawSocket) { s.raw = raw }

func (s *batchSender) segments(*dest, []byte, int) error {
	panic("transport: no segmentation on this system")
}

func (s *batchSender) one(d *dest, p []byte) error {
	_, err := s.raw.pc.WriteTo(p, net.UDPAddrFromAddrPort(d.addr))
	return err
}

func unsupported(error) bool { return true }

func errAttr(err error) slog.Attr { return slog.Any("err", err) }
