package node

import (
	"context"
	"errors"
	"fmt"
	"net"

	"trellis/internal/udp"
)

// Sockets are the open ports of a node.
type Sockets struct {
	// QUIC carries WebTransport and the backbone. Required. A *net.UDPConn must not be
	// wrapped: quic-go would lose GSO, ECN and batched reads. The node takes over those of
	// the host, as [udp.Open] does.
	QUIC net.PacketConn
	// HTTP serves WHIP and WHEP; nil for none.
	HTTP net.Listener
	// WebRTC carries media. Required.
	WebRTC net.PacketConn
	// WebRTCTCP carries media where UDP is blocked; nil for none.
	WebRTCTCP net.Listener
	// Admin serves health, metrics and status; nil for none.
	Admin net.Listener
}

// Addresses says where a node listens, as "host:port". An empty one of HTTP,
// WebRTCTCP or Admin is not opened. Port 0 is any free one.
type Addresses struct {
	QUIC, HTTP, WebRTC, WebRTCTCP, Admin string
}

// pairTries is how often a free port is looked for that both UDP and TCP have.
const pairTries = 16

// Listen opens real sockets. If HTTP has the address of QUIC, or WebRTCTCP that
// of WebRTC, they get one port number even where any will do.
func Listen(ctx context.Context, a Addresses) (Sockets, error) {
	var s Sockets
	var err error
	if s.QUIC, s.HTTP, err = listenPair(ctx, a.QUIC, a.HTTP); err != nil {
		return Sockets{}, fmt.Errorf("listen for QUIC and HTTP: %w", err)
	}
	if s.WebRTC, s.WebRTCTCP, err = listenPair(ctx, a.WebRTC, a.WebRTCTCP); err != nil {
		return Sockets{}, errors.Join(fmt.Errorf("listen for WebRTC: %w", err), s.Close())
	}
	if a.Admin != "" {
		if s.Admin, err = listenTCP(ctx, a.Admin); err != nil {
			return Sockets{}, errors.Join(fmt.Errorf("listen for the admin interface: %w", err), s.Close())
		}
	}
	return s, nil
}

func listenPair(ctx context.Context, at, tcp string) (net.PacketConn, net.Listener, error) {
	for try := 1; ; try++ {
		conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", at)
		if err != nil {
			return nil, nil, err
		}
		if tcp == "" {
			return conn, nil, nil
		}
		addr := tcp
		if tcp == at {
			addr = conn.LocalAddr().String()
		}
		l, err := listenTCP(ctx, addr)
		if err == nil {
			return conn, l, nil
		}
		err = errors.Join(err, conn.Close())
		// A free UDP port may be taken for TCP: then look for another, unless
		// the number was asked for.
		if _, port, splitErr := net.SplitHostPort(at); splitErr != nil || port != "0" || tcp != at || try == pairTries {
			return nil, nil, err
		}
	}
}

func listenTCP(ctx context.Context, addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}

// open takes over the sockets of the host.
func (s Sockets) open() (Sockets, error) {
	for _, at := range []*net.PacketConn{&s.QUIC, &s.WebRTC} {
		host, ok := (*at).(*net.UDPConn)
		if !ok {
			continue // of a simulation
		}
		conn, err := udp.Open(host)
		if err != nil {
			return s, err
		}
		*at = conn
	}
	return s, nil
}

// Close closes all sockets.
func (s Sockets) Close() error {
	var errs []error
	for _, c := range []interface{ Close() error }{s.QUIC, s.WebRTC} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	for _, l := range []net.Listener{s.HTTP, s.WebRTCTCP, s.Admin} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}
